"""Rollups: sums by the hour or day, kept in the transaction that ends an attempt: reports need no rows.

They can always be made again from the rows: ``contributions`` says what one row adds to which sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from peewee import Database

from supernova_ai.store import bulk
from supernova_ai.store.tables import DailyRow, LatencyRow, PayerRow, Table, UsageRow

HOUR_MS = 3_600_000
HOURS = {"hour": 1, "day": 24}
"""The periods of rollups, and how many hours each has."""

ROLLUPS: tuple[type[Table], ...] = (UsageRow, PayerRow, DailyRow, LatencyRow)
TABLES = {table._meta.table_name: bulk.key(table) for table in ROLLUPS}
"""The columns that make the key of each rollup; the first is its period, since the epoch."""


class Ended(NamedTuple):
    """What an ended attempt's row says, in the order of ``COLUMNS``. Money is nano-USD."""

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


COLUMNS = ", ".join(Ended._fields)
"""The columns of an attempt's row that count, for a SELECT."""

AMOUNTS = tuple(name for name in Ended._fields if name.endswith(("_nano", "_tokens")))
"""Those of them that are money or tokens."""


class Sum(NamedTuple):
    """What to add to one row of one rollup."""

    table: str
    key: tuple[Any, ...]
    amounts: dict[str, int]


def contributions(row: Ended) -> Iterator[Sum]:
    """Yield what the row of an ended attempt adds to the rollups."""
    hour = row.started_ms // HOUR_MS
    answered = row.state == "settled" and row.error_class is None
    counts = {"attempts": 1, "cached": int(row.cost_basis == "cached")}
    counts |= {state: int(row.state == state) for state in ("settled", "released", "lost")}
    tokens = {"prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens}
    yield Sum(
        "usage_rollup",
        (hour, row.provider, row.model, row.tier, row.task, row.prompt_name or "", row.error_class or ""),
        counts | {name: getattr(row, name) for name in AMOUNTS},
    )
    paid = {"answered": int(answered), **counts, "cost_nano": row.cost_nano, **tokens}
    yield Sum("payer_rollup", (hour, row.user_id or "", row.session_id or ""), paid)
    yield Sum("daily_rollup", (hour // HOURS["day"], row.user_id or ""), paid)
    if answered:
        for what, took in (("answer", row.latency_ms), ("first", row.first_token_ms)):
            if took is not None:
                key = (hour, row.provider, row.model, what, bucket(took))
                yield Sum("latency_rollup", key, {"attempts": 1})


def add(database: Database, row: Ended, *, times: int = 1) -> None:
    """Add an ended attempt to the rollups, or (``times=-1``) take it out of them."""
    for table, key, amounts in contributions(row):
        columns = (*TABLES[table], *amounts)
        changes = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in amounts)
        bulk.run(
            database,
            f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - names of ours
            f"VALUES ({', '.join('?' * len(columns))}) "
            f"ON CONFLICT ({', '.join(TABLES[table])}) DO UPDATE SET {changes}",
            *key,
            *(amount * times for amount in amounts.values()),
        )


def bucket(took_ms: int) -> int:
    """Return the step a duration falls in: each is the square root of two longer than the one before."""
    return math.ceil(2 * math.log2(max(1, took_ms)))


def bucket_ms(number: int) -> float:
    """Return the longest duration of a step, in milliseconds."""
    return float(2 ** (number / 2))
