"""Spending: what whole periods cost, in one query; and what is lost of it."""

from __future__ import annotations

from collections.abc import Sequence

from peewee import Database, fn

from supernova_ai.reports.periods import Period
from supernova_ai.store.bulk import run
from supernova_ai.store.tables import UsageRow


def costs(database: Database, periods: Sequence[Period]) -> list[int]:
    """Return the cost of each period in nano-USD, lost holds included; they are in order and have no gap."""
    first, after = periods[0].hours[0], periods[-1].hours[1]
    query = UsageRow.select(UsageRow.hour, fn.SUM(UsageRow.cost)).group_by(UsageRow.hour)
    query = query.where((UsageRow.hour >= first) & (UsageRow.hour < after))
    found = [0] * len(periods)
    at = 0
    for hour, cost in query.order_by(UsageRow.hour).tuples().execute(database):
        while hour >= periods[at].hours[1]:
            at += 1
        found[at] += int(cost)
    return found


def lost(database: Database, period: Period) -> tuple[int, int]:
    """Return how many of the attempts sent in the period are lost, and their holds in nano-USD."""
    first, after = (int(moment.timestamp() * 1000) for moment in (period.start, period.end))
    select = "SELECT COUNT(*), COALESCE(SUM(cost_nano), 0) FROM attempt WHERE state = 'lost'"
    ((count, amount),) = run(
        database, f"{select} AND started_ms >= ? AND started_ms < ?", first, after
    ).fetchall()
    return int(count), int(amount)
