"""Spikes: today's spending is far above the usual amount by this hour of the day.

The usual amount is the median, over the last four weeks, of what was spent from midnight to the end of the
same hour; or the median of the same weekday alone, if that is more: a job that runs every Monday is no spike.
A median, so that one extreme day does not make the next one look usual. Days are UTC days, like the rollups'.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from statistics import median_high

from peewee import Database, fn

from supernova_ai.alerts.outbox import ALL_SPENDING
from supernova_ai.config import Spike
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.ledger.thresholds import SPIKE_THRESHOLD, record_alert
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import UsageRow

DAYS = 28
"""How many past days are compared."""

LEAST_DAYS = 7
"""How many whole days of history a spike needs."""


def record_spike(store: Store, spike: Spike, *, now_ms: int) -> bool:
    """Record an alert if today is a spike and has none yet; return whether one was recorded."""
    spent, usual = store.read(lambda database: _spent_and_usual(database, now_ms=now_ms))
    if usual is None or spike.factor is None:
        return False
    if spent < to_nano(spike.least) or spent <= usual * spike.factor:
        return False
    today = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"
    key = (ALL_SPENDING, "", today, SPIKE_THRESHOLD)
    return store.write(
        lambda database: record_alert(database, key, spent=spent, limit=usual, now_ms=now_ms)
    ).result()


def _spent_and_usual(database: Database, *, now_ms: int) -> tuple[int, int | None]:
    """Return today's spending so far and the usual amount by this hour, None with too little history.

    Both are nano-USD, settled and lost together. The first day of the history is not compared: it may be
    incomplete.
    """
    today, hour = divmod(now_ms // HOUR_MS, 24)
    query = (
        UsageRow.select(UsageRow.hour, fn.SUM(UsageRow.cost))
        .where(UsageRow.hour >= (today - DAYS - 1) * 24)
        .group_by(UsageRow.hour)
    )
    spent: Counter[int] = Counter()
    first = today
    for epoch_hour, cost in query.tuples().execute(database):
        day, hour_of_day = divmod(epoch_hour, 24)
        first = min(first, day)
        if hour_of_day <= hour:
            spent[day] += int(cost)
    days = range(max(first + 1, today - DAYS), today)
    if len(days) < LEAST_DAYS:
        return spent[today], None
    same_weekday = [spent[day] for day in days if (today - day) % 7 == 0]
    return spent[today], max(median_high([spent[day] for day in days]), median_high(same_weekday))
