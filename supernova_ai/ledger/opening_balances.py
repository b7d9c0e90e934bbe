"""Opening balances: a new window starts with what its scope has already cost in its period.

A budget may be added, renamed or given another period or scope in the middle of a period. Its window then
opens in the transaction that needs it first. The rollups say what ended attempts cost; that sum is kept as
the window's opening. Open holds, and lost ones, whose cost may still be learnt, are added to the window
itself: it moves when they end, as if it had always existed.

Rollups know whole hours of UTC, and not every combination of provider, task, user, team and tag. So a rollup
that covers the whole scope is read, and the attempts that it counts beyond the scope are subtracted. Archived
attempts cannot be subtracted: an opening may then be too high, and never too low.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from peewee import Database

from supernova_ai.ledger import labels
from supernova_ai.ledger.budgets import BudgetWindow, Tag, period_bounds
from supernova_ai.ledger.rollups import HOUR_MS, HOURS
from supernova_ai.store.bulk import run
from supernova_ai.store.tables import OpeningRow

_DAY_HOURS = HOURS["day"]
_SCOPE_COLUMNS = ("provider", "user_id", "task", "team", "tags", "started_ms")


@dataclass(frozen=True, slots=True)
class WindowScope:
    """Which attempts a window counts. Times are Unix milliseconds.

    None is all; a user, a team or the value of a tag is "" for calls without one.
    """

    provider: str | None
    user: str | None
    task: str | None
    team: str | None
    tag: Tag | None
    start_ms: int
    end_ms: int

    @classmethod
    def of(cls, window: BudgetWindow) -> WindowScope:
        """Return the scope of the window."""
        start, end = (
            int(moment.timestamp() * 1000) for moment in period_bounds(window.period, window.time_zone)
        )
        return cls(window.provider, window.user, window.task, window.team, window.tag, start, end)

    @classmethod
    def of_opening(cls, row: OpeningRow) -> WindowScope:
        """Return the scope of a window's opening."""
        tag = next(iter(labels.from_text(row.tag).items()), None)
        return cls(row.provider, row.user, row.task, row.team, tag, row.start_ms, row.end_ms)

    def contains(self, row: Any) -> bool:
        """Say whether an attempt's row, by column, is in the scope."""
        return (
            self.start_ms <= row["started_ms"] < self.end_ms
            and self.provider in (None, row["provider"])
            and self.user in (None, row["user_id"] or "")
            and self.task in (None, row["task"])
            and self.team in (None, row["team"] or "")
            and (self.tag is None or labels.from_text(row["tags"]).get(self.tag[0], "") == self.tag[1])
        )


@dataclass(frozen=True, slots=True)
class Spending:
    """What a scope has cost so far, in nano-USD, and the attempts that may still change it."""

    settled: int
    held: int
    lost: int
    open: Sequence[tuple[str, str]]  # the attempts' ids, and the windows that count them, as JSON

    @classmethod
    def of(cls, database: Database, scope: WindowScope) -> Spending:
        """Add up what the scope has cost."""
        where, arguments = condition(scope)
        rows = run(
            database,
            "SELECT id, windows, state, held_nano FROM attempt "  # noqa: S608 - conditions of ours
            f"WHERE state IN ('held', 'lost') AND held_nano > 0 AND {where}",
            *arguments,
        ).fetchall()
        held, lost = (sum(row[3] for row in rows if row[2] == state) for state in ("held", "lost"))
        settled = max(0, _ended_cost(database, scope) - lost)
        return cls(settled, held, lost, [(row[0], row[1]) for row in rows])


def open_window(database: Database, window: BudgetWindow, *, now_ms: int) -> None:
    """Insert the window, unless it exists, with what its scope has cost."""
    # NOT EXISTS instead of ON CONFLICT: PostgreSQL would use up an id at each refusal.
    made = run(
        database,
        "INSERT INTO budget_window (budget, subject, period, scope, settled_nano, held_nano, lost_nano) "
        "SELECT ?, ?, ?, ?, 0, 0, 0 WHERE NOT EXISTS "
        "(SELECT 1 FROM budget_window WHERE budget = ? AND subject = ? AND period = ? AND scope = ?) "
        "RETURNING id",
        *window.key,
        *window.key,
    ).fetchone()
    if made is None:
        return
    (window_id,) = made
    scope = WindowScope.of(window)
    spent = Spending.of(database, scope)
    for attempt, windows in spent.open:
        _add_window(database, attempt, windows, window_id)
    if spent.settled:
        tag = labels.to_text(dict([scope.tag])) if scope.tag else None
        own = asdict(scope) | {"tag": tag, "window": window_id, "opened_ms": now_ms, "settled": spent.settled}
        OpeningRow.insert(own).execute(database)
    if spent.settled or spent.open:
        run(
            database,
            "UPDATE budget_window SET settled_nano = ?, held_nano = ?, lost_nano = ? WHERE id = ?",
            *(spent.settled, spent.held, spent.lost, window_id),
        )


def count_in_windows(database: Database, attempt: str) -> None:
    """Move an ended attempt from the openings that contain it to their windows, before it is corrected."""
    names = (*_SCOPE_COLUMNS, "windows", "state", "cost_nano", "ended_ms")
    select = f"SELECT {', '.join(names)} FROM attempt WHERE id = ?"  # noqa: S608 - names of ours
    (values,) = run(database, select, attempt).fetchall()
    row = dict(zip(names, values, strict=True))
    windows, state, cost = row["windows"], row["state"], row["cost_nano"]
    openings = OpeningRow.select().where(
        (OpeningRow.start_ms <= row["started_ms"])
        & (OpeningRow.end_ms > row["started_ms"])
        & (OpeningRow.user.is_null() | (OpeningRow.user == (row["user_id"] or "")))
        & (OpeningRow.team.is_null() | (OpeningRow.team == (row["team"] or "")))
        & (OpeningRow.opened_ms >= row["ended_ms"])
        & (OpeningRow.settled >= cost)
    )
    for opening in list(openings.execute(database)):
        window_id = opening.window
        if window_id in json.loads(windows) or not WindowScope.of_opening(opening).contains(row):
            continue
        windows = _add_window(database, attempt, windows, window_id)
        run(
            database,
            "UPDATE window_opening SET settled_nano = settled_nano - ? WHERE window_id = ?",
            cost,
            window_id,
        )
        if state == "lost":
            run(
                database,
                "UPDATE budget_window SET settled_nano = settled_nano - ?, lost_nano = lost_nano + ? "
                "WHERE id = ?",
                *(cost, cost, window_id),
            )


def _add_window(database: Database, attempt: str, windows: str, window_id: int) -> str:
    """Add a window to those that count the attempt; return all of them as JSON."""
    counting = json.dumps([*json.loads(windows), window_id])
    run(database, "UPDATE attempt SET windows = ? WHERE id = ?", counting, attempt)
    return counting


def _ended_cost(database: Database, scope: WindowScope) -> int:
    """Return what the scope's ended attempts cost, archived ones included, in nano-USD."""
    first, last = scope.start_ms // HOUR_MS, -(-scope.end_ms // HOUR_MS)
    wider = _in_rollups(scope)
    counted = sum(
        int(run(database, select, *arguments).fetchone()[0])
        for select, arguments in _rollup_queries(wider, first, last)
    )
    return counted and counted - _cost_beyond(database, scope, wider, first, last)


def _in_rollups(scope: WindowScope) -> WindowScope:
    """Return the scope if a rollup has its cost, else the wider scope that comes nearest."""
    everything = replace(scope, provider=None, user=None, task=None, team=None, tag=None)
    if scope.user is not None:
        return replace(everything, user=scope.user)
    if scope.team:
        return replace(everything, team=scope.team)
    if scope.tag and scope.tag[1]:
        return replace(everything, tag=scope.tag)
    return replace(scope, team=None, tag=None)  # no rollup has the calls without a team or a tag


def _cost_beyond(database: Database, scope: WindowScope, wider: WindowScope, first: int, last: int) -> int:
    """Return what the attempts cost that the rollups' sum contains and the scope does not, in nano-USD."""
    edges = (first * HOUR_MS, scope.start_ms), (scope.end_ms, last * HOUR_MS)
    beyond = sum(_table_cost(database, replace(wider, start_ms=a, end_ms=b)) for a, b in edges if a < b)
    if wider != scope:
        beyond += _table_cost(database, wider) - _table_cost(database, scope)
    return beyond


def _table_cost(database: Database, scope: WindowScope) -> int:
    """Return what the scope's ended attempts in the table cost, in nano-USD."""
    where, arguments = condition(scope)
    select = f"SELECT COALESCE(SUM(cost_nano), 0) FROM attempt WHERE state <> 'held' AND {where}"  # noqa: S608
    return int(run(database, select, *arguments).fetchone()[0])


def _rollup_queries(scope: WindowScope, first: int, last: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield queries whose results add up to the scope's cost in the whole hours of the rollups."""
    label: Tag | None = None
    if scope.team:
        label = labels.TEAM, scope.team
    elif scope.tag:
        label = labels.TAG + scope.tag[0], scope.tag[1]
    if scope.user is None and label is None:
        select = "SELECT COALESCE(SUM(cost_nano), 0) FROM usage_rollup WHERE hour >= ? AND hour < ?"
        arguments: list[Any] = [first, last]
        for name, value in (("provider", scope.provider), ("task", scope.task)):
            if value is not None:
                select += f" AND {name} = ?"
                arguments.append(value)
        yield select, arguments
        return
    # By single days and hours, because the keys of these rollups begin with the day or hour.
    days = range(-(-first // _DAY_HOURS), last // _DAY_HOURS)
    whole = range(days.start * _DAY_HOURS, days.stop * _DAY_HOURS)
    hours = [hour for hour in range(first, last) if hour not in whole]
    tables = [("daily_rollup", "day", days), ("payer_rollup", "hour", hours)]
    where, values = "user_id = ?", [scope.user]
    if label is not None:
        tables = [("label_rollup", "hour", range(first, last))]
        where, values = "label = ? AND value = ?", [*label]
    for table, period, numbers in tables:
        if numbers:
            marks = ", ".join("?" * len(numbers))
            yield (
                f"SELECT COALESCE(SUM(cost_nano), 0) FROM {table} "  # noqa: S608 - names of ours
                f"WHERE {where} AND {period} IN ({marks})",
                [*values, *numbers],
            )


def condition(scope: WindowScope) -> tuple[str, list[Any]]:
    """Return the SQL condition for an attempt to be in the scope, and its arguments."""
    conditions = ["started_ms >= ?", "started_ms < ?"]
    values: list[Any] = [scope.start_ms, scope.end_ms]
    named = {"provider": scope.provider, "user_id": scope.user, "task": scope.task, "team": scope.team}
    for name, value in named.items():
        if value == "":
            conditions.append(f"{name} IS NULL")
        elif value is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    if scope.tag:
        condition, arguments = labels.tag_condition(*scope.tag)
        conditions.append(condition)
        values += arguments
    return " AND ".join(conditions), values
