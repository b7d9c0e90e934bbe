"""Recount a ledger: its windows and rollups, added up again from the rows of its attempts."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

from peewee import Database, SqliteDatabase

from supernova_ai.store import Store
from supernova_ai.store.tables import (
    AttemptRow,
    DailyRow,
    LabelRow,
    LatencyRow,
    OpeningRow,
    PayerRow,
    SliceRow,
    Table,
    UsageRow,
    WindowRow,
)
from supernova_ai.upkeep.verify import verify_ledger


def check(database: Database) -> None:
    """Assert that every window and every rollup says what the rows of the attempts say."""
    attempts = list(AttemptRow.select().execute(database))
    columns = WindowRow.select(WindowRow.id, WindowRow.settled, WindowRow.held, WindowRow.lost).tuples()
    sums = {number: amounts for number, *amounts in columns.execute(database)}
    for part in SliceRow.select().execute(database):
        change = (part.settled, part.held - part.size, part.lost)
        sums[part.window] = [one + other for one, other in zip(sums[part.window], change, strict=True)]
        assert part.settled + part.held + part.lost <= part.size
    windows = {number: amounts for number, amounts in sums.items() if any(amounts)}
    openings = {row.window: row.settled for row in OpeningRow.select().execute(database) if row.settled}
    assert windows == _windows(attempts, openings)
    assert _found(database) == _rollups(attempts)


def _windows(attempts: Iterable[Any], openings: dict[int, int]) -> dict[int, list[int]]:
    sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    sums.update({window: [settled, 0, 0] for window, settled in openings.items()})
    for attempt in attempts:
        amounts = (
            attempt.cost if attempt.state == "settled" else 0,
            attempt.held if attempt.state == "held" else 0,
            attempt.cost if attempt.state == "lost" else 0,
        )
        for window in json.loads(attempt.windows):
            sums[window] = [one + other for one, other in zip(sums[window], amounts, strict=True)]
    return {window: amounts for window, amounts in sums.items() if any(amounts)}


_KEYS: dict[type[Table], tuple[str, ...]] = {
    UsageRow: ("hour", "provider", "model", "tier", "task", "prompt", "error"),
    PayerRow: ("hour", "user", "session"),
    DailyRow: ("day", "user"),
    LabelRow: ("hour", "label", "value"),
    LatencyRow: ("hour", "provider", "model", "what", "bucket"),
}


def _rollups(attempts: Iterable[Any]) -> Counter[tuple[Any, ...]]:
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in attempts:
        if row.state == "held":
            continue
        hour = row.started_ms // 3_600_000
        where = (hour, row.provider, row.model, row.tier, row.task, row.prompt_name or "", row.error or "")
        usage, payer = (UsageRow, *where), (PayerRow, hour, row.user or "", row.session or "")
        answered = row.state == "settled" and row.error is None
        daily = (DailyRow, row.started_ms // 86_400_000, row.user or "")
        named = {"team": row.team} if row.team else {}
        named |= {f"tag:{name}": value for name, value in json.loads(row.tags or "{}").items()}
        payers = [payer, daily, *((LabelRow, hour, *each) for each in named.items())]
        for whose in payers:
            sums[(*whose, "answered")] += answered
        for who in (usage, *payers):
            sums[(*who, "attempts")] += 1
            sums[(*who, "cached")] += row.basis == "cached"
            sums[(*who, row.state)] += 1
            sums[(*who, "cost")] += row.cost
            sums[(*who, "saved")] += row.saved
            sums[(*who, "prompt_tokens")] += row.prompt
            sums[(*who, "completion_tokens")] += row.completion
        for name in ("cached", "cache_write", "reasoning"):
            sums[(*usage, f"{name}_tokens")] += getattr(row, name)
        for what, took in (("answer", row.latency_ms), ("first", row.first_token_ms)):
            if answered and took is not None:
                step = next(n for n in count() if 2**n >= took * took)  # the root of two, n times
                sums[(LatencyRow, hour, row.provider, row.model, what, step, "attempts")] += 1
    return _without_zeros(sums)


def _found(database: Database) -> Counter[tuple[Any, ...]]:
    sums: Counter[tuple[Any, ...]] = Counter()
    for table, names in _KEYS.items():
        for row in table.select().dicts().execute(database):
            key = [row.pop(name) for name in names]
            assert min(amount for column, amount in row.items() if column != "saved") >= 0
            for column, amount in row.items():
                sums[(table, *key, column)] = amount
    return _without_zeros(sums)


def _without_zeros(sums: Counter[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter({key: amount for key, amount in sums.items() if amount})  # what is saved may be below 0


def attempts(store: Store) -> dict[str, Any]:
    """Read every attempt's row by its id."""
    rows: Iterable[Any] = store.read(lambda database: list(AttemptRow.select().execute(database)))
    return {row.id: row for row in rows}


def check_store(store: Store) -> None:
    """Assert that the database is whole and its books are right, also in the eyes of ``ledger verify``."""

    def operation(database: Database) -> None:
        if isinstance(database, SqliteDatabase):
            assert database.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
        check(database)

    store.read(operation)
    assert verify_ledger(store, (), folder=Path("no archives")).problems == ()
