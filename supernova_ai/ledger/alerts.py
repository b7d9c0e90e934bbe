"""Alerts: a budget window that passes a threshold is told once, however many processes see it pass.

Recording is part of the transaction that spends: it writes a row into the outbox, and a unique index lets
only the first one in. Delivery (``courier``) reads the outbox and never delays a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import ends
from supernova_ai.ledger.holds import Spent
from supernova_ai.money import show, to_nano, to_usd
from supernova_ai.store.bulk import run
from supernova_ai.store.tables import Alert

FULL = 100
"""The threshold every budget has, in percent."""

SPIKE = 0
"""The threshold that stands for a spike; its "limit" is what is usual."""

ALL_SPENDING = ""
"""The budget that a spike is told of. No budget of the configuration has this name."""

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


class Message(NamedTuple):
    """What a person is told."""

    title: str
    text: str
    urgent: bool


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A threshold that was passed, as it was at that moment. Amounts are USD.

    ``user`` is empty where the budget is not one of each user. ``threshold`` is percent. For a spike it is
    0, ``budget`` is empty and ``limit`` is what is usually spent by this hour. ``resets_at`` is None where
    there is no such budget any more.
    """

    id: int
    budget: str
    user: str
    period: str
    threshold: int
    spent: Decimal
    limit: Decimal
    at: datetime
    resets_at: datetime | None

    @classmethod
    def of(cls, row: Alert, budgets: Iterable[Budget]) -> AlertEvent:
        """Read a row of the outbox in the light of the budgets in force."""
        zones = {budget.name: budget.time_zone for budget in budgets} | {ALL_SPENDING: "UTC"}
        return cls(
            id=row.id,
            budget=row.budget,
            user=row.subject,
            period=row.period,
            threshold=row.threshold,
            spent=to_usd(row.spent),
            limit=to_usd(row.limit),
            at=datetime.fromtimestamp(row.at_ms / 1000, UTC),
            resets_at=ends(row.period, zones[row.budget]) if row.budget in zones else None,
        )

    @property
    def percent(self) -> int:
        """How much of the limit is spent, in whole percent; 0 where nothing is usual."""
        return to_nano(self.spent) * 100 // to_nano(self.limit) if self.limit else 0

    def message(self) -> Message:
        """Return what to tell a person."""
        if self.threshold == SPIKE:
            return Message(
                f"{show(self.spent)} spent today, usual is {show(self.limit)}",
                f"On {self.period}, {show(self.spent)} was spent until {self.at:%H:%M} UTC: far above the "
                f"{show(self.limit)} that is usual by this hour.",
                urgent=True,
            )
        # A user's id comes from outside: in one line, and not a long one.
        who = f" of user {' '.join(self.user.split())[:80]}" if self.user else ""
        full = self.spent >= self.limit
        resets = f" It resets on {self.resets_at:%Y-%m-%d at %H:%M %Z}." if self.resets_at else ""
        return Message(
            f"Budget {self.budget}{who}: {self.percent} % spent",
            f"{show(self.spent)} of {show(self.limit)} ({self.percent} %) of the budget {self.budget}{who} "
            f"is spent in {self.period}.{' What it cannot bear is refused.' if full else ''}{resets}",
            urgent=full,
        )


def outbox(database: Database, *, acknowledged: bool = False) -> list[Alert]:
    """Return the alerts, oldest first; those that a person has acknowledged only if asked for."""
    query = Alert.select().order_by(Alert.id)
    if not acknowledged:
        query = query.where(Alert.state != "acknowledged")
    return list(query.execute(database))


def acknowledge(database: Database, ids: Iterable[int] | None = None) -> int:
    """Mark these alerts, or all, as seen by a person: none is sent any more. Return how many were not yet."""
    query = Alert.update({Alert.state: "acknowledged"}).where(Alert.state != "acknowledged")
    if ids is not None:
        query = query.where(Alert.id.in_(list(ids)))
    return int(query.execute(database))
