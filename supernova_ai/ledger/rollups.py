"""Rollups: sums by hour and day, and counts of failures, changed in the transaction that ends an attempt.

Reports read them instead of the attempts. ``contributions`` says what one row adds to which sums, so that the
sums can always be recomputed from the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from peewee import Database

from supernova_ai.ledger.labels import labels_of
from supernova_ai.store import bulk
from supernova_ai.store.bulk import Statement
from supernova_ai.store.tables import DailyRow, LabelRow, LatencyRow, PayerRow, Table, UsageRow
from supernova_ai.types import FailurePattern

HOUR_MS = 3_600_000
HOURS = {"hour": 1, "day": 24}
"""The periods of rollups, and how many hours each has."""

ROLLUPS: tuple[type[Table], ...] = (UsageRow, PayerRow, DailyRow, LabelRow, LatencyRow)
KEY_COLUMNS = {table._meta.table_name: bulk.key(table) for table in ROLLUPS}
"""The columns of each rollup's key; the first is its hour or day, since the epoch."""


class EndedAttempt(NamedTuple):
    """The columns of an ended attempt that rollups count, in the order of ``COLUMNS``. Money is nano-USD."""

    started_ms: int
    provider: str
    model: str
    tier: str
    task: str
    prompt_name: str | None
    user_id: str | None
    session_id: str | None
    state: str
    cost_nano: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    latency_ms: int | None
    first_token_ms: int | None
    error_class: str | None
    cost_basis: str | None
    team: str | None
    tags: str | None
    saved_nano: int


COLUMNS = ", ".join(EndedAttempt._fields)
"""The columns for a SELECT."""

AMOUNTS = tuple(name for name in EndedAttempt._fields if name.endswith(("_nano", "_tokens")))
"""The columns that are money or tokens."""

_PAID = ("cost_nano", "prompt_tokens", "completion_tokens", "saved_nano")
_amounts_of, _paid_of = attrgetter(*AMOUNTS), attrgetter(*_PAID)


class RollupChange(NamedTuple):
    """The amounts to add to one row of one rollup."""

    table: str
    key: tuple[Any, ...]
    amounts: dict[str, int]


def contributions(row: EndedAttempt) -> Iterator[RollupChange]:
    """Yield what the row of an ended attempt adds to the rollups."""
    hour = row.started_ms // HOUR_MS
    answered = row.state == "settled" and row.error_class is None
    counts = {"attempts": 1, "cached": int(row.cost_basis == "cached")}
    counts |= {state: int(row.state == state) for state in ("settled", "released", "lost")}
    yield RollupChange(
        "usage_rollup",
        (hour, row.provider, row.model, row.tier, row.task, row.prompt_name or "", row.error_class or ""),
        counts | dict(zip(AMOUNTS, _amounts_of(row), strict=True)),
    )
    paid = {"answered": int(answered), **counts, **dict(zip(_PAID, _paid_of(row), strict=True))}
    yield RollupChange("payer_rollup", (hour, row.user_id or "", row.session_id or ""), paid)
    yield RollupChange("daily_rollup", (hour // HOURS["day"], row.user_id or ""), paid)
    for label, value in labels_of(row.team, row.tags):
        yield RollupChange("label_rollup", (hour, label, value), paid)
    if answered:
        for what, duration_ms in (("answer", row.latency_ms), ("first", row.first_token_ms)):
            if duration_ms is not None:
                key = (hour, row.provider, row.model, what, bucket(duration_ms))
                yield RollupChange("latency_rollup", key, {"attempts": 1})


# Ends may come out of order, from machines that share the database.
_COUNT_FAILURE = """
INSERT INTO failure_pattern (fingerprint, provider, model, error, status, message, first_ms, last_ms, seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (fingerprint) DO UPDATE SET
  model = excluded.model,
  first_ms = CASE WHEN excluded.first_ms < failure_pattern.first_ms
    THEN excluded.first_ms ELSE failure_pattern.first_ms END,
  last_ms = CASE WHEN excluded.last_ms > failure_pattern.last_ms
    THEN excluded.last_ms ELSE failure_pattern.last_ms END,
  seen = failure_pattern.seen + 1
"""


class Sums:
    """What ended attempts add to the rollups and to the counts of failures, together."""

    def __init__(self) -> None:
        self._amounts: dict[str, dict[tuple[Any, ...], dict[str, int]]] = {}
        self._failures: list[tuple[Any, ...]] = []

    def add(self, row: EndedAttempt, *, times: int = 1) -> None:
        """Add an ended attempt, or subtract it (``times=-1``)."""
        for table, key, amounts in contributions(row):
            rows = self._amounts.setdefault(table, {})
            sums = rows.get(key)
            if sums is None and times == 1:
                rows[key] = amounts
            else:
                sums = sums or dict.fromkeys(amounts, 0)
                rows[key] = {name: sums[name] + amount * times for name, amount in amounts.items()}

    def add_failure(self, failure: FailurePattern, *, provider: str, model: str, at_ms: int) -> None:
        """Count one more failure of this pattern. ``at_ms`` is Unix milliseconds."""
        pattern = (failure.fingerprint, provider, model, failure.error, failure.status, failure.message)
        self._failures.append((*pattern, at_ms, at_ms))

    def statements(self) -> Iterator[Statement]:
        """Yield the statements that write the sums, always in one order: others write the same rows."""
        for table in KEY_COLUMNS:
            if rows := self._amounts.get(table):
                columns = (*KEY_COLUMNS[table], *next(iter(rows.values())))
                values = [value for key in sorted(rows) for value in (*key, *rows[key].values())]
                yield _upsert(table, columns, len(rows)), tuple(values)
        for failure in sorted(self._failures, key=itemgetter(0)):
            yield _COUNT_FAILURE, failure


@lru_cache(maxsize=256)
def _upsert(table: str, columns: tuple[str, ...], count: int) -> str:
    keys = KEY_COLUMNS[table]
    changes = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in columns[len(keys) :])
    values = ", ".join([f"({bulk.marks(len(columns))})"] * count)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values} "  # noqa: S608 - names of ours
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
    )


def add(database: Database, row: EndedAttempt, *, times: int = 1) -> None:
    """Add an ended attempt to the rollups, or subtract it from them (``times=-1``)."""
    sums = Sums()
    sums.add(row, times=times)
    bulk.run_all(database, list(sums.statements()))


def bucket(duration_ms: int) -> int:
    """Return the number of the bucket for a duration; each bucket is √2 times as long as the one before."""
    return math.ceil(2 * math.log2(max(1, duration_ms)))


def bucket_ms(number: int) -> float:
    """Return the longest duration of a bucket, in milliseconds."""
    return float(2 ** (number / 2))
