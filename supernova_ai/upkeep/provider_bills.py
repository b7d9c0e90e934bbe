"""Read a provider's usage export: a CSV file whose columns the caller names."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from supernova_ai.errors import InvalidRequest
from supernova_ai.money import to_nano
from supernova_ai.paths import MOST_TABLE, open_regular

FIELDS = ("time", "model", "prompt", "completion", "cost", "id")
_WITHOUT_ID = {"time", "model", "prompt", "completion"}
_MILLISECONDS = 100_000_000_000  # a number of seconds this large is in the year 5138

MOST_COST = 10**18
"""Nano-USD: a thousand million USD for one call is a mistake, and the database has no room for much more."""

_MOST_TOKENS = 10**9  # of one call


@dataclass(frozen=True, slots=True)
class Bill:
    """What the provider charged for one call. Cost in nano-USD, time in Unix milliseconds.

    ``line`` is that of the file; what the export does not say is None.
    """

    line: int
    cost: int
    id: str | None = None
    at_ms: int | None = None
    model: str | None = None
    prompt: int | None = None
    completion: int | None = None


def mapping(text: str) -> dict[str, str]:
    """Read ``field=column`` pairs with commas between, such as ``cost=cost_usd,id=request_id``.

    Raises:
        InvalidRequest: a field is unknown or twice, or those needed to match are missing.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    found = {field.strip(): column.strip() for field, _, column in pairs}
    wrong = [field for field, column in found.items() if field not in FIELDS or not column]
    if wrong or len(found) < len(pairs):
        place = f" at {wrong[0]!r}" if wrong else ""
        raise InvalidRequest(
            f"the mapping {text!r} is wrong{place}: write field=column once for each of {', '.join(FIELDS)} "
            f"that the export has, with commas between"
        )
    if "cost" not in found or not ("id" in found or found.keys() >= _WITHOUT_ID):
        raise InvalidRequest(
            f"the mapping {text!r} needs 'cost', and 'id' or else all of 'time', 'model', 'prompt' and "
            f"'completion'"
        )
    return found


def read(file: Path, columns: Mapping[str, str]) -> Iterator[Bill]:
    """Yield every line of the export.

    Args:
        columns: the column of each field, as ``mapping`` gives it. Times are ISO 8601 (UTC where they have no
            zone) or Unix seconds or milliseconds; costs are USD.

    Raises:
        InvalidRequest: the file cannot be read, lacks a column, or has a value that is not one; nothing is
            guessed.
    """
    try:
        with TextIOWrapper(open_regular(file, MOST_TABLE), "utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in columns.values() if column not in (reader.fieldnames or ())]
            if missing:
                there = ", ".join(reader.fieldnames or ()) or "none"
                raise InvalidRequest(f"{file} has no column {missing[0]!r}; its columns are: {there}")
            for row in reader:
                said = {field: (row[column] or "").strip() for field, column in columns.items()}
                try:
                    yield _bill(reader.line_num, said)
                except (ValueError, OverflowError) as error:
                    raise InvalidRequest(f"{file}:{reader.line_num}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{file} cannot be read as CSV: {error}") from error


def _bill(line: int, said: Mapping[str, str]) -> Bill:
    cost = to_nano(said["cost"].removeprefix("$"))
    if cost < 0:
        raise ValueError(f"a cost of {said['cost']} is below 0: settle credits by hand")
    if cost > MOST_COST:
        raise ValueError(f"a cost of {said['cost']} cannot be that of one call")
    return Bill(
        line,
        cost,
        id=said.get("id") or None,
        at_ms=_moment(said["time"]) if said.get("time") else None,
        model=said.get("model") or None,
        prompt=_tokens(said["prompt"]) if said.get("prompt") else None,
        completion=_tokens(said["completion"]) if said.get("completion") else None,
    )


def _tokens(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _MOST_TOKENS:
        raise ValueError(f"{text} cannot be a number of tokens")
    return number


def _moment(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    return round(number if number >= _MILLISECONDS else number * 1000)
