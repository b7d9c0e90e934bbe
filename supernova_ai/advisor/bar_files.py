"""Read the rows of a file of bars: delimited text with or without a header, or JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from supernova_ai.advisor.bar_formats import check_columns
from supernova_ai.errors import InvalidRequest
from supernova_ai.paths import MAX_CSV_BYTES, open_regular, reason_of

_DELIMITERS = ",;\t"
_TIME = re.compile(r"\d[\d :./TZ+-]*")


def read_file(path: str | Path) -> Any:
    """Return the content of a file of bars, for ``raw_bars``.

    Raises:
        InvalidRequest: the file cannot be read; or, while the rows are taken, one has too many cells.
    """
    try:
        with open_regular(path, MAX_CSV_BYTES) as file:
            text = file.read().decode("utf-8-sig")
        if text.lstrip()[:1] in ("{", "["):
            return json.loads(text)
        delimiter = max(_DELIMITERS, key=text.lstrip().partition("\n")[0].count)
        rows = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise InvalidRequest(
            f"{path} cannot be read: {reason_of(error)}. Give a UTF-8 file of bars"
        ) from error
    rows = [row for row in rows if len(row) > 1 or "".join(row).strip()]
    if not rows or _TIME.fullmatch(rows[0][0].strip()):  # no header, as in the klines of Binance
        return rows
    return _named_rows(rows)


def _named_rows(rows: list[list[str]]) -> Iterator[dict[str, str | None]]:
    beginnings = [row[0].strip().lower() for row in rows[:2]]
    if beginnings == ["ticker", "price"]:  # yfinance, grouped by ticker
        rows[:2] = rows[1::-1]
    names, *rows = rows
    check_columns(names)
    for number, row in enumerate(rows):
        if any(cell.strip() for cell in row[len(names) :]):
            raise InvalidRequest(
                f"bar {number} ({row[0]}) has {len(row)} values for {len(names)} columns: write numbers with "
                f'a comma in quotes, such as "1,234.50"'
            )
        yield dict(zip(names, [*row, *[None] * (len(names) - len(row))], strict=False))
