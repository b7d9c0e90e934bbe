"""Openings: a window that is new begins with what its scope has already cost in its period.

A budget may be added, renamed or given another period or scope amid a period. Its window then opens in the
transaction that needs it first. What has ended is summed up from the rollups, and kept as the opening. Holds
that are open, and lost ones, of which more may be learnt, are made to carry the window instead: whatever
becomes of them moves it as if it had always been there.

Rollups know whole hours of UTC, and not every combination of provider, user and task. So the rollup that has
the whole scope is read, and the attempts that it counts beyond the scope are taken off again. Those of them
that are in an archive by now are not: an opening may then be too high, and never too low.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peewee import Database

from supernova_ai.ledger.budgets import BudgetShare, span
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.store.bulk import run

_DAY_HOURS = 24


@dataclass(frozen=True, slots=True)
class Scope:
    """Which attempts a window is about; None is all. A user of "" is nobody. Times are Unix milliseconds."""

    provider: str | None
    user: str | None
    task: str | None
    start_ms: int
    end_ms: int

    @classmethod
    def of(cls, share: BudgetShare) -> Scope:
        """Return the scope of the share's window."""
        start, end = (int(moment.timestamp() * 1000) for moment in span(share.period, share.time_zone))
        return cls(share.provider, share.user, share.task, start, end)

    def holds(self, row: Any) -> bool:
        """Say whether an attempt's row, by column, is in it."""
        return (
            self.start_ms <= row["started_ms"] < self.end_ms
            and self.provider in (None, row["provider"])
            and self.user in (None, row["user_id"] or "")
            and self.task in (None, row["task"])
        )


@dataclass(frozen=True, slots=True)
class Spending:
    """What a scope has cost so far, in nano-USD, and the attempts that may yet change it."""

    settled: int
    held: int
    lost: int
    open: Sequence[tuple[str, str]]  # ids, and the windows that they carry

    @classmethod
    def of(cls, database: Database, scope: Scope) -> Spending:
        """Add up what the scope has cost."""
        where, arguments = _matching(scope)
        rows = run(
            database,
            "SELECT id, windows, state, held_nano FROM attempt "  # noqa: S608 - conditions of ours
            f"WHERE state IN ('held', 'lost') AND held_nano > 0 AND {where}",
            *arguments,
        ).fetchall()
        held, lost = (sum(row[3] for row in rows if row[2] == state) for state in ("held", "lost"))
        settled = max(0, _ended(database, scope) - lost)
        return cls(settled, held, lost, [(row[0], row[1]) for row in rows])


def open_window(database: Database, share: BudgetShare, *, now_ms: int) -> None:
    """Make the share's window, if it is not there, with what its scope has cost."""
    key = (share.budget, share.subject, share.period, share.scope)
    # Not tried where there is one: at each refusal PostgreSQL would use up an id for nothing.
    made = run(
        database,
        "INSERT INTO budget_window (budget, subject, period, scope, settled_nano, held_nano, lost_nano) "
        "SELECT ?, ?, ?, ?, 0, 0, 0 WHERE NOT EXISTS "
        "(SELECT 1 FROM budget_window WHERE budget = ? AND subject = ? AND period = ? AND scope = ?) "
        "RETURNING id",
        *key,
        *key,
    ).fetchone()
    if made is None:
        return
    (window,) = made
    scope = Scope.of(share)
    spent = Spending.of(database, scope)
    for attempt, windows in spent.open:
        _carry(database, attempt, windows, window)
    if spent.settled:
        run(
            database,
            "INSERT INTO window_opening (window_id, provider, user_id, task, start_ms, end_ms, opened_ms, "
            "settled_nano) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(window, scope.provider, scope.user, scope.task, scope.start_ms, scope.end_ms),
            now_ms,
            spent.settled,
        )
    if spent.settled or spent.open:
        run(
            database,
            "UPDATE budget_window SET settled_nano = ?, held_nano = ?, lost_nano = ? WHERE id = ?",
            *(spent.settled, spent.held, spent.lost, window),
        )


def adopt(database: Database, attempt: str) -> None:
    """Move an ended attempt, which is to be corrected, from the openings that count it into their windows."""
    (row,) = run(
        database,
        "SELECT windows, state, cost_nano, provider, user_id, task, started_ms, ended_ms FROM attempt "
        "WHERE id = ?",
        attempt,
    ).fetchall()
    windows, state, cost, provider, user, task, started_ms, ended_ms = row
    found = run(
        database,
        "SELECT window_id FROM window_opening WHERE start_ms <= ? AND end_ms > ? AND opened_ms >= ? "
        "AND settled_nano >= ? AND (provider IS NULL OR provider = ?) AND (user_id IS NULL OR user_id = ?) "
        "AND (task IS NULL OR task = ?)",
        *(started_ms, started_ms, ended_ms, cost, provider, user or "", task),
    ).fetchall()
    for (window,) in found:
        if window in json.loads(windows):
            continue
        windows = _carry(database, attempt, windows, window)
        run(
            database,
            "UPDATE window_opening SET settled_nano = settled_nano - ? WHERE window_id = ?",
            cost,
            window,
        )
        if state == "lost":
            run(
                database,
                "UPDATE budget_window SET settled_nano = settled_nano - ?, lost_nano = lost_nano + ? "
                "WHERE id = ?",
                *(cost, cost, window),
            )


def _carry(database: Database, attempt: str, windows: str, window: int) -> str:
    """Let the attempt carry one window more; return all that it carries."""
    carried = json.dumps([*json.loads(windows), window])
    run(database, "UPDATE attempt SET windows = ? WHERE id = ?", carried, attempt)
    return carried


def _ended(database: Database, scope: Scope) -> int:
    """Return what the scope's ended attempts cost, in nano-USD."""
    first, last = scope.start_ms // HOUR_MS, -(-scope.end_ms // HOUR_MS)
    counted = sum(
        int(run(database, select, *arguments).fetchone()[0])
        for select, arguments in _sums(scope, first, last)
    )
    return counted and counted - _beyond(database, scope, first, last)


def _beyond(database: Database, scope: Scope, first: int, last: int) -> int:
    """Return what those attempts cost that the rollups count and that are not in the scope."""
    wider = scope if scope.user is None else replace(scope, provider=None, task=None)
    edges = (first * HOUR_MS, scope.start_ms), (scope.end_ms, last * HOUR_MS)
    beyond = sum(_cost(database, replace(wider, start_ms=a, end_ms=b)) for a, b in edges if a < b)
    if wider != scope:
        beyond += _cost(database, wider) - _cost(database, scope)
    return beyond


def _cost(database: Database, scope: Scope) -> int:
    """Return what the scope's ended attempts cost that are in the table, in nano-USD."""
    where, arguments = _matching(scope)
    select = f"SELECT COALESCE(SUM(cost_nano), 0) FROM attempt WHERE state <> 'held' AND {where}"  # noqa: S608
    return int(run(database, select, *arguments).fetchone()[0])


def _sums(scope: Scope, first: int, last: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield queries whose results are, together, what the rollups have of the scope and maybe more."""
    if scope.user is None:
        select = "SELECT COALESCE(SUM(cost_nano), 0) FROM usage_rollup WHERE hour >= ? AND hour < ?"
        arguments: list[Any] = [first, last]
        for name, value in (("provider", scope.provider), ("task", scope.task)):
            if value is not None:
                select += f" AND {name} = ?"
                arguments.append(value)
        yield select, arguments
        return
    # Each day and hour by itself, for the key of these rollups begins with it.
    days = range(-(-first // _DAY_HOURS), last // _DAY_HOURS)
    whole = range(days.start * _DAY_HOURS, days.stop * _DAY_HOURS)
    hours = [hour for hour in range(first, last) if hour not in whole]
    for table, period, numbers in (("daily_rollup", "day", days), ("payer_rollup", "hour", hours)):
        if numbers:
            marks = ", ".join("?" * len(numbers))
            yield (
                f"SELECT COALESCE(SUM(cost_nano), 0) FROM {table} "  # noqa: S608 - names of ours
                f"WHERE user_id = ? AND {period} IN ({marks})",
                [scope.user, *numbers],
            )


def _matching(scope: Scope) -> tuple[str, list[Any]]:
    """Return the condition for an attempt to be in the scope, and its arguments."""
    conditions = ["started_ms >= ?", "started_ms < ?"]
    values: list[Any] = [scope.start_ms, scope.end_ms]
    for name, value in (("provider", scope.provider), ("user_id", scope.user), ("task", scope.task)):
        if name == "user_id" and value == "":
            conditions.append("user_id IS NULL")
        elif value is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    return " AND ".join(conditions), values
