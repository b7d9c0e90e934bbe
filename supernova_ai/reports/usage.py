"""Patterns of use: in which hours attempts are sent, and for which tasks in which tiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peewee import Database, fn

from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.reports.periods import Period
from supernova_ai.store.tables import AttemptRow, PayerRow, UsageRow


@dataclass(frozen=True, slots=True)
class TaskUse:
    """The attempts of one task in one tier, and their cost in nano-USD."""

    task: str
    tier: str
    attempts: int
    cost: int


def by_hour(database: Database, period: Period, user: str | None = None) -> dict[int, int]:
    """Return the ended attempts of each hour since the epoch that has some; only this user's, if given."""
    table = UsageRow if user is None else PayerRow
    first, after = period.hours
    query = table.select(table.hour, fn.SUM(table.attempts)).group_by(table.hour)
    query = query.where((table.hour >= first) & (table.hour < after))
    if user is not None:
        query = query.where(PayerRow.user == user)
    return {hour: int(attempts) for hour, attempts in query.tuples().execute(database)}


def by_task(database: Database, period: Period, user: str | None = None) -> list[TaskUse]:
    """Return the ended attempts of each task and tier, the most frequent first; only this user's, if given.

    Rollups do not have the tasks of a user: those are counted from the attempts that are not archived.
    """
    first, after = period.hours
    rows: Any
    if user is None:
        sums = (fn.SUM(UsageRow.attempts), fn.SUM(UsageRow.cost))
        query = UsageRow.select(UsageRow.task, UsageRow.tier, *sums).group_by(UsageRow.task, UsageRow.tier)
        rows = query.where((UsageRow.hour >= first) & (UsageRow.hour < after)).tuples()
    else:
        of_user = (AttemptRow.user == user) & (AttemptRow.state != "held")
        within = (AttemptRow.started_ms >= first * HOUR_MS) & (AttemptRow.started_ms < after * HOUR_MS)
        sums = (fn.COUNT(AttemptRow.id), fn.SUM(AttemptRow.cost))
        columns = (AttemptRow.task, AttemptRow.tier)
        rows = AttemptRow.select(*columns, *sums).where(of_user & within).group_by(*columns).tuples()
    found = [
        TaskUse(task, tier, int(attempts), int(cost)) for task, tier, attempts, cost in rows.execute(database)
    ]
    return sorted(found, key=lambda use: (-use.attempts, use.task, use.tier))
