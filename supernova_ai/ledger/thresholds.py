"""Thresholds: a budget window that passes one writes an alert, once, however many processes see it pass.

Recording is part of the transaction that spends: it writes a row into the outbox, and a unique index lets
only the first one in. ``alerts`` delivers what is in the outbox, and never delays a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from peewee import Database

from supernova_ai.ledger.holds import Spent
from supernova_ai.store.bulk import run

FULL = 100
"""The threshold every budget has, in percent."""

SPIKE = 0
"""The threshold that stands for a spike; its "limit" is what is usual."""

Key = tuple[str, str, str, int]
"""Budget, subject, period and threshold: there is one alert for each."""

_REMEMBERED = 10_000


class Watch:
    """Writes an alert into the outbox when a window passes a threshold.

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
        # So that a window past its thresholds costs no statements.
        self._told: set[Key] = set()

    def look(self, database: Database, windows: Iterable[Spent], *, now_ms: int) -> list[Key]:
        """Record each threshold that one of the windows has reached, inside the caller's operation.

        Returns:
            What ``remember`` may be given once the operation is committed, and not before: the transaction
            may yet be undone, and the alert with it.
        """
        reached = [
            (window, limit, threshold)
            for window in windows
            if (limit := self._limits.get(window.budget)) is not None
            for threshold in self._thresholds
            if window.amount * 100 >= threshold * limit and (*window[:3], threshold) not in self._told
        ]
        for window, limit, threshold in reached:
            if record(database, (*window[:3], threshold), spent=window.amount, limit=limit, now_ms=now_ms):
                self._on_alert()
        return [(*window[:3], threshold) for window, _, threshold in reached]

    def remember(self, keys: Iterable[Key]) -> None:
        """Take note that these alerts are in the outbox, for good."""
        if len(self._told) > _REMEMBERED:
            self._told.clear()  # each costs one more statement when it is met again
        self._told.update(keys)


def record(database: Database, key: Key, *, spent: int, limit: int, now_ms: int) -> bool:
    """Write an alert into the outbox; say whether it is news. Amounts are nano-USD.

    A threshold that was told is told again once it is reached under a higher limit; a spike is not.
    """
    statement = (
        "INSERT INTO alert "
        "(budget, subject, period, threshold, spent_nano, limit_nano, at_ms, next_ms, state, tries) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'new', 0) "
        "ON CONFLICT (budget, subject, period, threshold) DO UPDATE SET spent_nano = excluded.spent_nano, "
        "limit_nano = excluded.limit_nano, at_ms = excluded.at_ms, next_ms = excluded.next_ms, "
        "state = 'new', tries = 0, detail = NULL "
        "WHERE alert.limit_nano < excluded.limit_nano AND alert.threshold <> ?"
    )
    row = (*key, spent, limit, now_ms, now_ms, SPIKE)
    return bool(run(database, statement, *row).rowcount)
