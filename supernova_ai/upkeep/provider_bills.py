"""Provider bills: read a provider's usage export, a CSV file whose columns the caller names."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from supernova_ai.errors import InvalidRequest
from supernova_ai.money import to_nano
from supernova_ai.paths import MAX_CSV_BYTES, open_regular

FIELDS = ("time", "model", "prompt", "completion", "cost", "id")
_WITHOUT_ID = {"time", "model", "prompt", "completion"}
_LEAST_MILLISECONDS = 100_000_000_000  # as seconds, this would be the year 5138

MOST_COST = 10**18
"""Nano-USD: a billion USD for one call is a mistake, and larger sums would not fit into the database."""

_MOST_TOKENS = 10**9  # of one call


@dataclass(frozen=True, slots=True)
class Bill:
    """What the provider charged for one call. Cost in nano-USD, time in Unix milliseconds.

    ``line`` is the line of the file; values that the export does not have are None.
    """

    line: int
    cost: int
    id: str | None = None
    at_ms: int | None = None
    model: str | None = None
    prompt: int | None = None
    completion: int | None = None


def parse_mapping(text: str) -> dict[str, str]:
    """Parse ``field=column`` pairs separated by commas, such as ``cost=cost_usd,id=request_id``.

    Raises:
        InvalidRequest: a field is unknown or repeated, or a field that matching needs is missing.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    found = {field.strip(): column.strip() for field, _, column in pairs}
    wrong = [field for field, column in found.items() if field not in FIELDS or not column]
    if wrong or len(found) < len(pairs):
        where = f" at {wrong[0]!r}" if wrong else ""
        raise InvalidRequest(
            f"the mapping {text!r} is wrong{where}: write field=column once for each of {', '.join(FIELDS)} "
            f"that the export has, separated by commas"
        )
    if "cost" not in found or not ("id" in found or found.keys() >= _WITHOUT_ID):
        raise InvalidRequest(
            f"the mapping {text!r} needs 'cost', and 'id' or else all of 'time', 'model', 'prompt' and "
            f"'completion'"
        )
    return found


def read_bills(file: Path, columns: Mapping[str, str]) -> Iterator[Bill]:
    """Yield every line of the export.

    Args:
        columns: the column of each field, as ``parse_mapping`` returns it. Times are ISO 8601 (UTC if they
            have no zone) or Unix seconds or milliseconds; costs are USD.

    Raises:
        InvalidRequest: the file cannot be read, lacks a column, or has an invalid value.
    """
    try:
        with TextIOWrapper(open_regular(file, MAX_CSV_BYTES), "utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in columns.values() if column not in (reader.fieldnames or ())]
            if missing:
                present = ", ".join(reader.fieldnames or ()) or "none"
                raise InvalidRequest(f"{file} has no column {missing[0]!r}; its columns are: {present}")
            for row in reader:
                values = {field: (row[column] or "").strip() for field, column in columns.items()}
                try:
                    yield _bill(reader.line_num, values)
                except (ValueError, OverflowError) as error:
                    raise InvalidRequest(f"{file}:{reader.line_num}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{file} cannot be read as CSV: {error}") from error


def _bill(line: int, values: Mapping[str, str]) -> Bill:
    cost = to_nano(values["cost"].removeprefix("$"))
    if cost < 0:
        raise ValueError(f"a cost of {values['cost']} is below 0: settle credits by hand")
    if cost > MOST_COST:
        raise ValueError(f"a cost of {values['cost']} is too high for one call")
    return Bill(
        line,
        cost,
        id=values.get("id") or None,
        at_ms=_parse_time(values["time"]) if values.get("time") else None,
        model=values.get("model") or None,
        prompt=_parse_tokens(values["prompt"]) if values.get("prompt") else None,
        completion=_parse_tokens(values["completion"]) if values.get("completion") else None,
    )


def _parse_tokens(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _MOST_TOKENS:
        raise ValueError(f"{text} is not a possible number of tokens")
    return number


def _parse_time(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    return round(number if number >= _LEAST_MILLISECONDS else number * 1000)
