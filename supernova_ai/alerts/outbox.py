"""The outbox: alerts that were recorded, what a person is told of each, and which were acknowledged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import ends
from supernova_ai.ledger.thresholds import SPIKE
from supernova_ai.money import show, to_nano, to_usd
from supernova_ai.store.tables import AlertRow

ALL_SPENDING = ""
"""The budget that a spike is told of. No budget of the configuration has this name."""


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
    def of(cls, row: AlertRow, budgets: Iterable[Budget]) -> AlertEvent:
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


def outbox(database: Database, *, acknowledged: bool = False) -> list[AlertRow]:
    """Return the alerts, oldest first; those that a person has acknowledged only if asked for."""
    query = AlertRow.select().order_by(AlertRow.id)
    if not acknowledged:
        query = query.where(AlertRow.state != "acknowledged")
    return list(query.execute(database))


def acknowledge(database: Database, ids: Iterable[int] | None = None) -> int:
    """Mark these alerts, or all, as seen by a person: none is sent any more. Return how many were not yet."""
    query = AlertRow.update({AlertRow.state: "acknowledged"}).where(AlertRow.state != "acknowledged")
    if ids is not None:
        query = query.where(AlertRow.id.in_(list(ids)))
    return int(query.execute(database))
