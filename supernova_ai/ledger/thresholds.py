"""Thresholds: a budget window that reaches one writes an alert, once, however many processes see it.

The alert is written into the outbox by the transaction that spends; a unique index admits only the first one.
The package ``alerts`` delivers it later, so that no call waits for a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from peewee import Database

from supernova_ai.ledger.slices import Spent
from supernova_ai.store.bulk import run

FULL = 100
"""The threshold that every budget has, in percent."""

SPIKE_THRESHOLD = 0
"""The threshold of an alert of a spike; the "limit" of such an alert is the usual amount."""

AlertKey = tuple[str, str, str, int]
"""Budget, subject, period and threshold: each has one alert."""

_MOST_REMEMBERED = 10_000


class ThresholdWatch:
    """Writes an alert into the outbox when a window reaches a threshold.

    Args:
        limits: nano-USD by budget.
        thresholds: percent of the limit; 100 is always one.
        on_alert: called on the writer's thread when an alert is recorded, before it is committed.
    """

    def __init__(
        self,
        limits: Mapping[str, int],
        thresholds: Iterable[int],
        on_alert: Callable[[], object] = lambda: None,
    ) -> None:
        self._limits = limits
        self._thresholds = tuple(sorted({*thresholds, FULL}))
        self._on_alert = on_alert
        # Saves the statements for windows that are past their thresholds.
        self._recorded: set[AlertKey] = set()

    def check(self, database: Database, windows: Iterable[Spent], *, now_ms: int) -> list[AlertKey]:
        """Record an alert for each threshold that a window has reached, inside the caller's operation.

        Returns:
            The alerts to ``remember`` once the operation is committed, and not before: the transaction may
            still be rolled back, and the alert with it.
        """
        reached: list[AlertKey] = []
        for budget, subject, period, amount in windows:
            limit = self._limits.get(budget)
            if limit is None:
                continue
            for threshold in self._thresholds:
                key = (budget, subject, period, threshold)
                if amount * 100 < threshold * limit or key in self._recorded:
                    continue
                reached.append(key)
                if record_alert(database, key, spent=amount, limit=limit, now_ms=now_ms):
                    self._on_alert()
        return reached

    def remember(self, keys: Iterable[AlertKey]) -> None:
        """Remember that these alerts are in the outbox and committed."""
        if len(self._recorded) > _MOST_REMEMBERED:
            self._recorded.clear()  # each then costs one statement more when it is reached again
        self._recorded.update(keys)


def record_alert(database: Database, key: AlertKey, *, spent: int, limit: int, now_ms: int) -> bool:
    """Write an alert into the outbox; return False if it is there already. Amounts are nano-USD.

    An alert is written again once its threshold is reached under a higher limit, unless it is of a spike.
    """
    statement = (
        "INSERT INTO alert "
        "(budget, subject, period, threshold, spent_nano, limit_nano, at_ms, next_ms, state, tries) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'new', 0) "
        "ON CONFLICT (kind, budget, subject, period, threshold) DO UPDATE "
        "SET spent_nano = excluded.spent_nano, limit_nano = excluded.limit_nano, "
        "at_ms = excluded.at_ms, next_ms = excluded.next_ms, "
        "state = 'new', tries = 0, detail = NULL "
        "WHERE alert.limit_nano < excluded.limit_nano AND alert.threshold <> ?"
    )
    row = (*key, spent, limit, now_ms, now_ms, SPIKE_THRESHOLD)
    return bool(run(database, statement, *row).rowcount)
