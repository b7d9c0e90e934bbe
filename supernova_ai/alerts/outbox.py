"""The outbox: recorded alerts, the message of each, and which ones were acknowledged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import period_bounds
from supernova_ai.ledger.thresholds import SPIKE_THRESHOLD
from supernova_ai.money import show, to_nano, to_usd
from supernova_ai.store.tables import AlertRow

ALL_SPENDING = ""
"""The ``budget`` of an alert of a spike. No budget in the configuration has this name."""


class Message(NamedTuple):
    """What a person reads."""

    title: str
    text: str
    urgent: bool


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A threshold that was reached, with the values of that moment. Amounts are USD.

    ``user`` is empty unless each user has a window of the budget. ``threshold`` is percent. For a spike it is
    0, ``budget`` is empty and ``limit`` is what is usually spent by this hour. ``resets_at`` is None if the
    configuration has no such budget any more.
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
    def of(cls, row: AlertRow, budgets: Iterable[Budget]) -> AlertEvent:
        """Return the event of a row of the outbox; the budgets in force say when it resets."""
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
            resets_at=period_bounds(row.period, zones[row.budget])[1] if row.budget in zones else None,
        )

    @property
    def percent(self) -> int:
        """The share of the limit that is spent, in whole percent; 0 if the usual amount is 0."""
        return to_nano(self.spent) * 100 // to_nano(self.limit) if self.limit else 0

    def message(self) -> Message:
        """Return the message to send."""
        if self.threshold == SPIKE_THRESHOLD:
            return Message(
                f"{show(self.spent)} spent today, usual is {show(self.limit)}",
                f"On {self.period}, {show(self.spent)} was spent until {self.at:%H:%M} UTC: far above the "
                f"{show(self.limit)} that is usual by this hour.",
                urgent=True,
            )
        # A user's id comes from outside: show it in one line, and shortened.
        who = f" of user {' '.join(self.user.split())[:80]}" if self.user else ""
        full = self.spent >= self.limit
        resets = f" It resets on {self.resets_at:%Y-%m-%d at %H:%M %Z}." if self.resets_at else ""
        return Message(
            f"Budget {self.budget}{who}: {self.percent} % spent",
            f"{show(self.spent)} of {show(self.limit)} ({self.percent} %) of the budget {self.budget}{who} "
            f"is spent in {self.period}.{' Calls that cost money are refused.' if full else ''}{resets}",
            urgent=full,
        )


def list_alerts(database: Database, *, acknowledged: bool = False) -> list[AlertRow]:
    """Return the alerts, oldest first; acknowledged ones only if asked for."""
    query = AlertRow.select().order_by(AlertRow.id)
    if not acknowledged:
        query = query.where(AlertRow.state != "acknowledged")
    return list(query.execute(database))


def acknowledge(database: Database, ids: Iterable[int] | None = None) -> int:
    """Acknowledge these alerts, or all: they are not sent any more. Return how many were open before."""
    query = AlertRow.update({AlertRow.state: "acknowledged"}).where(AlertRow.state != "acknowledged")
    if ids is not None:
        query = query.where(AlertRow.id.in_(list(ids)))
    return int(query.execute(database))
