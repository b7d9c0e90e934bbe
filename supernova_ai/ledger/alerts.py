"""Alerts: a budget window that passes a threshold is told once, however many processes see it pass.

Recording is part of the transaction that spends; delivery reads the outbox and never delays a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peewee import Database

from supernova_ai.ledger.holds import Spent

FULL = 100
"""The threshold every budget has, in percent."""


class Watch:
    """Writes an alert into the outbox when a window passes a threshold.

    Args:
        limits: nano-USD by budget.
        thresholds: percent of the limit; 100 is always one.
    """

    def __init__(self, limits: Mapping[str, int], thresholds: Iterable[int]) -> None:
        self._limits = limits
        self._thresholds = tuple(sorted({*thresholds, FULL}))
        self._told: set[tuple[str, str, str, int]] = (
            set()
        )  # so that a window past its thresholds costs no statements

    def look(self, database: Database, windows: Iterable[Spent], *, now_ms: int) -> None:
        """Record each threshold that one of the windows has reached and nobody has told yet."""
        for window in windows:
            limit = self._limits.get(window.budget)
            if limit is None:
                continue
            for threshold in self._thresholds:
                key = (window.budget, window.subject, window.period, threshold)
                if window.amount * 100 < threshold * limit or key in self._told:
                    continue
                if not _insert(database, (*key, window.amount, limit, now_ms, now_ms)):
                    self._told.add(key)  # not at the first time: that transaction may yet be undone


def _insert(database: Database, row: tuple[object, ...]) -> bool:
    statement = (
        "INSERT INTO alert "
        "(budget, subject, period, threshold, spent_nano, limit_nano, at_ms, next_ms, state, tries) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'new', 0) ON CONFLICT DO NOTHING"
    )
    return bool(database.execute_sql(statement.replace("?", database.param), row).rowcount)
