"""Spikes: today's spending is far above what is usual by this hour of the day.

Usual is the median, over the last four weeks, of what was spent from midnight to the end of the same hour;
or that of the same weekday alone, if it is more: a job that runs every Monday is no spike. Medians, because
one wild day must not make the next one look usual. Days are those of UTC, as the rollups' hours are.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from statistics import median_high

from peewee import Database, fn

from supernova_ai.alerts.outbox import ALL_SPENDING
from supernova_ai.config import Spike
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.ledger.thresholds import SPIKE, record
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import UsageRow

DAYS = 28
"""How many days back are compared."""

LEAST_DAYS = 7
"""Whole days of history without which nothing is called a spike."""


def look(store: Store, spike: Spike, *, now_ms: int) -> bool:
    """Record a spike if there is one and nobody has told it today; say whether one was recorded."""
    spent, usual = store.read(lambda database: compare(database, now_ms=now_ms))
    if usual is None or spike.factor is None:
        return False
    if spent < to_nano(spike.least) or spent <= usual * spike.factor:
        return False
    today = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"
    key = (ALL_SPENDING, "", today, SPIKE)
    return store.write(
        lambda database: record(database, key, spent=spent, limit=usual, now_ms=now_ms)
    ).result()


def compare(database: Database, *, now_ms: int) -> tuple[int, int | None]:
    """Return today's spending so far and what is usual by this hour, None while too few days are known.

    Both are nano-USD, settled and lost together. The first day of the history is left out: it may have
    begun in its middle.
    """
    today, hour = divmod(now_ms // HOUR_MS, 24)
    query = (
        UsageRow.select(UsageRow.hour, fn.SUM(UsageRow.cost))
        .where(UsageRow.hour >= (today - DAYS - 1) * 24)
        .group_by(UsageRow.hour)
    )
    spent: Counter[int] = Counter()
    first = today
    for number, cost in query.tuples().execute(database):
        day, of_day = divmod(number, 24)
        first = min(first, day)
        if of_day <= hour:
            spent[day] += int(cost)
    days = range(max(first + 1, today - DAYS), today)
    if len(days) < LEAST_DAYS:
        return spent[today], None
    same_weekday = [spent[day] for day in days if (today - day) % 7 == 0]
    return spent[today], max(median_high([spent[day] for day in days]), median_high(same_weekday))
