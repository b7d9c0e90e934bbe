"""Sums over the attempts in the table, added up by the database, as rollups and windows should have them.

``rollups.contributions`` says the same of one row; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt
from operator import add
from typing import Any

from peewee import Database

from supernova_ai.ledger import opening_balances, rollups
from supernova_ai.ledger.labels import labels_of
from supernova_ai.ledger.opening_balances import WindowScope
from supernova_ai.store import bulk

Key = tuple[Any, ...]
Amounts = tuple[int, ...]
Sums = dict[str, dict[Key, Amounts]]
"""The amounts of each rollup by its name and key, in the order of ``AMOUNT_COLUMNS``."""

DAY_MS = rollups.HOURS["day"] * rollups.HOUR_MS

AMOUNT_COLUMNS = {
    name: tuple(column for column in bulk.columns(table) if column not in rollups.KEY_COLUMNS[name])
    for table in rollups.ROLLUPS
    for name in [table._meta.table_name]
}
"""The columns of each rollup that are no part of its key."""

_COUNTED = {
    "answered": "state = 'settled' AND error_class IS NULL",
    "cached": "cost_basis = 'cached'",
    **{state: f"state = '{state}'" for state in ("settled", "released", "lost")},
}
_HOUR, _DAY = f"started_ms / {rollups.HOUR_MS}", f"started_ms / {DAY_MS}"
_USER = "COALESCE(user_id, '')"
_KEYS = {
    "usage_rollup": (
        *(_HOUR, "provider", "model", "tier", "task"),
        *("COALESCE(prompt_name, '')", "COALESCE(error_class, '')"),
    ),
    "payer_rollup": (_HOUR, _USER, "COALESCE(session_id, '')"),
    "daily_rollup": (_DAY, _USER),
    "label_rollup": (_HOUR, "team", "tags"),
}
"""The SQL of the keys; that of labels is one of ``labels_of``."""

_LAST_BUCKET = 124
"""That of the longest duration in 64 bits."""


def of_day(database: Database, day: int) -> Sums:
    """Return what the ended attempts of a day, since the epoch, add up to."""
    sums: Sums = {name: {} for name in rollups.KEY_COLUMNS}
    for name in ("usage_rollup", "payer_rollup", "daily_rollup"):
        keys = len(_KEYS[name])
        sums[name] = {row[:keys]: row[keys:] for row in _grouped(database, name, day)}
    for hour, team, tags, *amounts in _grouped(database, "label_rollup", day):
        for label in labels_of(team, tags):
            _add(sums, "label_rollup", (hour, *label), tuple(amounts))
    for hour, provider, model, answer, first, count in _run(database, _LATENCIES, day):
        for what, bucket in (("answer", answer), ("first", first)):
            if bucket is not None:
                _add(sums, "latency_rollup", (hour, provider, model, what, bucket), (count,))
    return sums


def include(sums: Sums, row: Mapping[str, Any]) -> None:
    """Add an ended attempt that is not in the table, by column, to the sums."""
    ended = rollups.EndedAttempt(*(row[name] for name in rollups.EndedAttempt._fields))
    for name, key, amounts in rollups.contributions(ended):
        _add(sums, name, key, tuple(amounts[column] for column in AMOUNT_COLUMNS[name]))


def stored(database: Database, name: str, day: int) -> dict[Key, Amounts]:
    """Return what the rollup has for a day."""
    keys = rollups.KEY_COLUMNS[name]
    per_day = rollups.HOURS["day"] // rollups.HOURS[keys[0]]
    columns = ", ".join((*keys, *AMOUNT_COLUMNS[name]))
    select = f"SELECT {columns} FROM {name} WHERE {keys[0]} >= ? AND {keys[0]} < ?"  # noqa: S608 - names of ours
    rows = bulk.run(database, select, day * per_day, (day + 1) * per_day).fetchall()
    return {row[: len(keys)]: row[len(keys) :] for row in rows}


def days(database: Database) -> set[int]:
    """Return the days that have attempts or rollups."""
    found = {day for (day,) in bulk.run(database, f"SELECT DISTINCT {_DAY} FROM attempt").fetchall()}  # noqa: S608
    for name, (period, *_) in rollups.KEY_COLUMNS.items():
        per_day = rollups.HOURS["day"] // rollups.HOURS[period]
        select = f"SELECT DISTINCT {period} / {per_day} FROM {name}"  # noqa: S608 - names of ours
        found.update(day for (day,) in bulk.run(database, select).fetchall())
    return found


def by_windows(database: Database) -> Iterator[tuple[str, str, int, int]]:
    """Yield the windows' ids as their text, a state, and the cost and the holds of the attempts with both."""
    select = f"SELECT windows, state, {_sum('cost_nano')}, {_sum('held_nano')} FROM attempt GROUP BY 1, 2"  # noqa: S608
    yield from bulk.run(database, select)


def in_scope(database: Database, scope: WindowScope) -> list[tuple[str, int]]:
    """Return the cost of the ended attempts in the scope, by the text of their windows' ids."""
    where, arguments = opening_balances.condition(scope)
    select = f"SELECT windows, {_sum('cost_nano')} FROM attempt WHERE state <> 'held' AND {where} GROUP BY 1"  # noqa: S608
    return list(bulk.run(database, select, *arguments).fetchall())


def tags(database: Database) -> list[str]:
    """Return the different texts of tags."""
    select = "SELECT DISTINCT tags FROM attempt WHERE tags IS NOT NULL"
    return [text for (text,) in bulk.run(database, select).fetchall()]


def _sum(term: str) -> str:
    return f"CAST(SUM({term}) AS BIGINT)"  # else PostgreSQL returns a Decimal


def _amount(column: str) -> str:
    if column == "attempts":
        return "COUNT(*)"
    counted = _COUNTED.get(column)
    return _sum(f"CASE WHEN {counted} THEN 1 ELSE 0 END" if counted else column)


def _grouped(database: Database, name: str, day: int) -> Iterator[Any]:
    return _run(database, _SELECTS[name], day)


def _run(database: Database, select: str, day: int) -> Iterator[Any]:
    yield from bulk.run(database, select, day * DAY_MS, (day + 1) * DAY_MS)


def _select(name: str) -> str:
    keys = _KEYS[name]
    amounts = map(_amount, AMOUNT_COLUMNS[name])
    where = " AND (team IS NOT NULL OR tags IS NOT NULL)" if name == "label_rollup" else ""
    return (
        f"SELECT {', '.join((*keys, *amounts))} FROM attempt "  # noqa: S608 - names of ours
        f"WHERE state <> 'held' AND started_ms >= ? AND started_ms < ?{where} "
        f"GROUP BY {', '.join(map(str, range(1, len(keys) + 1)))}"
    )


def _bucket(column: str, low: int = 0, high: int = _LAST_BUCKET) -> str:
    """Return the SQL of ``rollups.bucket``, a search by halves: not every SQLite has a logarithm."""
    if low == high:
        return str(low)
    middle = (low + high) // 2
    halves = _bucket(column, low, middle), _bucket(column, middle + 1, high)
    return f"CASE WHEN {column} <= {isqrt(2**middle)} THEN {halves[0]} ELSE {halves[1]} END"


def _bucket_or_null(column: str) -> str:
    return f"CASE WHEN {column} IS NOT NULL THEN {_bucket(column)} END"


_SELECTS = {name: _select(name) for name in _KEYS}
_LATENCIES = (
    f"SELECT {_HOUR}, provider, model, {_bucket_or_null('latency_ms')}, "  # noqa: S608 - names of ours
    f"{_bucket_or_null('first_token_ms')}, COUNT(*) FROM attempt "
    # Not "state =": SQLite would choose the index of the states, and read the attempts of all days.
    "WHERE NOT (state <> 'settled') AND error_class IS NULL AND started_ms >= ? AND started_ms < ? "
    "GROUP BY 1, 2, 3, 4, 5"
)


def _add(sums: Sums, name: str, key: Key, amounts: Amounts) -> None:
    before = sums[name].get(key)
    sums[name][key] = tuple(map(add, before, amounts)) if before else amounts
