"""Export: attempts and report lines as CSV or JSON, row by row, so that memory holds one page of them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

from peewee import Database

from supernova_ai.characters import escaped
from supernova_ai.ledger import labels
from supernova_ai.ledger.budgets import Tag
from supernova_ai.money import to_usd
from supernova_ai.reports.breakdown import ReportLine
from supernova_ai.reports.periods import Period
from supernova_ai.store import bulk
from supernova_ai.store.tables import AttemptRow

Format = Literal["csv", "json"]
Row = Mapping[str, Any]

_FORMULA = re.compile(r"""(\A|[;\t\v\f\r\n])(?=[^\S\t\v\f\r\n]*["']*[=+\-@＝＋－＠])|\A(?=[\t\v\f\r\n])""")
"""Where a formula may begin: a spreadsheet may split at other characters than the comma, and trim cells."""

_DAY_MS = 86_400_000
_REPLACED = {
    "windows",
    "held",
    "cost",
    "saved",
    "started_ms",
    "ended_ms",
}  # internal ids, and times and amounts

_FIELDS = AttemptRow._meta.sorted_field_names
_STARTED = _FIELDS.index("started_ms")
ATTEMPT_COLUMNS = (
    "started",
    "ended",
    *(name for name in _FIELDS if name not in _REPLACED),
    "held_usd",
    "cost_usd",
    "saved_usd",
)
LINE_COLUMNS = (
    *(field.name for field in fields(ReportLine) if field.name not in ("cost", "saved")),
    "success_rate",
    "cost_usd",
    "cost_per_attempt_usd",
    "saved_usd",
)


def attempt_rows(
    database: Database,
    period: Period,
    *,
    team: str | None = None,
    tag: Tag | None = None,
    size: int = bulk.PAGE,
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> Iterator[Row]:
    """Yield the attempts sent in the period, oldest first: money in decimal USD, times in ISO 8601, UTC.

    Args:
        team: only those of this team.
        tag: only those with this tag.
        size: rows per page.
        on_progress: called after each page with how many days of the period were read, and of how many.
    """
    where, arguments = ["started_ms < ?"], []
    if team is not None:
        where.append("team = ?")
        arguments.append(team)
    if tag is not None:
        condition, values = labels.tag_condition(*tag)
        where.append(condition)
        arguments += values
    first, after = (int(moment.timestamp() * 1000) for moment in (period.start, period.end))
    pages = bulk.pages(
        database,
        AttemptRow,
        order=("started_ms", "id"),
        where=" AND ".join(where),
        arguments=[after, *arguments],
        after=(first, ""),
        size=size,
    )
    for page in pages:
        yield from map(_attempt, page)
        on_progress((page[-1][_STARTED] - first) // _DAY_MS, (after - first) // _DAY_MS)


def line_row(line: ReportLine) -> Row:
    """Return the line as a row, with its rates, and money as text in decimal USD."""
    each = line.cost_per_attempt
    plain = asdict(line) | {
        "success_rate": None if line.success_rate is None else round(line.success_rate, 4),
        "cost_usd": _usd(line.cost),
        "cost_per_attempt_usd": None if each is None else _usd(each),
        "saved_usd": _usd(line.saved),
    }
    return {name: plain[name] for name in LINE_COLUMNS}


def write_rows(columns: Sequence[str], rows: Iterable[Row], file: TextIO, form: Format) -> int:
    """Write the rows and return how many there were.

    In CSV an apostrophe goes before whatever a spreadsheet would read as a formula: at the start of a text,
    and after a semicolon, a tab or a line end in it. JSON is exact.

    Args:
        columns: the keys of every row.
        file: opened with ``newline=""``.
    """
    count = 0
    if form == "csv":
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in columns])
            count += 1
        return count
    for row in rows:
        file.write((",\n" if count else "[\n") + escaped(json.dumps(row, ensure_ascii=False)))
        count += 1
    file.write("\n]\n" if count else "[]\n")
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isalnum() else _without_formula(value)
    if isinstance(value, Mapping):
        return _without_formula(" ".join(f"{name}={number}" for name, number in value.items()))
    return value


@lru_cache(maxsize=4096)  # most texts are in many rows
def _without_formula(text: str) -> str:
    return _FORMULA.sub(r"\1'", text)


def _attempt(row: bulk.Row) -> Row:
    plain = dict(zip(_FIELDS, row, strict=True))
    plain |= {"held_usd": _usd(plain["held"]), "cost_usd": _usd(plain["cost"])}
    plain |= {"saved_usd": _usd(plain["saved"]), "tags": dict(labels.from_text(plain["tags"]))}
    plain |= {"started": _iso(plain["started_ms"]), "ended": _iso(plain["ended_ms"])}
    return {name: plain[name] for name in ATTEMPT_COLUMNS}


def _usd(nano: int) -> str:
    return f"{to_usd(nano):f}"


def _iso(moment_ms: int | None) -> str | None:
    if moment_ms is None:
        return None
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="milliseconds")
