"""The outbox: alerts of budgets and notices of operations, their messages, and which are acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import each_of, period_bounds
from supernova_ai.ledger.labels import TAG
from supernova_ai.ledger.thresholds import SPIKE_THRESHOLD
from supernova_ai.money import show, to_nano, to_usd
from supernova_ai.secret import redact
from supernova_ai.store.tables import AlertRow

ALL_SPENDING = ""
"""The ``budget`` of an alert of a spike. No budget in the configuration has this name."""

NoticeKind = Literal["key", "config", "job", "access"]
"""What a notice is about."""


class Message(NamedTuple):
    """What a person reads."""

    title: str
    text: str
    urgent: bool


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A threshold that was reached, with the values of that moment; or a notice. Amounts are USD.

    One of ``user``, ``team`` and ``tag``, such as "desk=fx", says whose window it is, where each has one.
    ``threshold`` is percent. ``resets_at`` is None if the configuration has no such budget any more. For a
    spike ``threshold`` is 0, ``budget`` is empty and ``limit`` is what is usually spent by this hour.

    ``kind`` is ``budget`` or a ``NoticeKind``. A notice has no amounts: ``budget`` is what it is about, such
    as ``openai/primary``, and ``notice`` is its title, its text and whether it is urgent.
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
    kind: str = "budget"
    notice: tuple[str, str, bool] | None = None
    team: str = ""
    tag: str = ""

    @classmethod
    def of(cls, row: AlertRow, budgets: Iterable[Budget]) -> AlertEvent:
        """Return the event of a row of the outbox; the budgets in force say when it resets."""
        notice = tuple(json.loads(row.message)) if row.message else None
        budget = next((budget for budget in budgets if budget.name == row.budget), None)
        each = each_of(budget) if budget else "user"
        tag = f"{each.removeprefix(TAG)}={row.subject}" if row.subject and each.startswith(TAG) else ""
        zone = "UTC" if row.budget == ALL_SPENDING else budget and budget.time_zone
        return cls(
            id=row.id,
            budget=row.budget,
            user="" if each == "team" or tag else row.subject,
            period=row.period,
            threshold=row.threshold,
            spent=to_usd(row.spent),
            limit=to_usd(row.limit),
            at=datetime.fromtimestamp(row.at_ms / 1000, UTC),
            resets_at=period_bounds(row.period, zone)[1] if zone and not notice else None,
            kind=row.kind,
            notice=notice,
            team=row.subject if each == "team" else "",
            tag=tag,
        )

    @property
    def percent(self) -> int:
        """The share of the limit that is spent, in whole percent; 0 if the usual amount is 0."""
        return to_nano(self.spent) * 100 // to_nano(self.limit) if self.limit else 0

    def message(self) -> Message:
        """Return the message to send."""
        if self.notice:
            return Message(*self.notice)
        if self.threshold == SPIKE_THRESHOLD:
            return Message(
                f"{show(self.spent)} spent today, usual is {show(self.limit)}",
                f"On {self.period}, {show(self.spent)} was spent until {self.at:%H:%M} UTC: far above the "
                f"{show(self.limit)} that is usual by this hour.",
                urgent=True,
            )
        # These come from outside: show them in one line, and shortened.
        named = {"user": self.user, "team": self.team, "tag": self.tag}
        who = "".join(f" of {of} {' '.join(name.split())[:80]}" for of, name in named.items() if name)
        full = self.spent >= self.limit
        resets = f" It resets on {self.resets_at:%Y-%m-%d at %H:%M %Z}." if self.resets_at else ""
        return Message(
            f"Budget {self.budget}{who}: {self.percent} % spent",
            f"{show(self.spent)} of {show(self.limit)} ({self.percent} %) of the budget {self.budget}{who} "
            f"is spent in {self.period}.{' Calls that cost money are refused.' if full else ''}{resets}",
            urgent=full,
        )


def record_notice(
    database: Database,
    kind: NoticeKind,
    subject: str,
    period: str,
    *,
    title: str,
    text: str,
    urgent: bool = False,
    now_ms: int,
) -> bool:
    """Write a notice into the outbox, inside the caller's operation; it is delivered as an alert is.

    Args:
        subject: what it is about, such as ``openai/primary``.
        period: what tells it from the subject's other notices, such as ``version 3`` or a date.

    Returns:
        Whether it is new: of one kind, subject and period there is one notice, also once acknowledged.
    """
    insert = AlertRow.insert(
        budget=subject,
        subject="",
        period=period,
        threshold=0,
        spent=0,
        limit=0,
        at_ms=now_ms,
        next_ms=now_ms,
        state="new",
        tries=0,
        kind=kind,
        message=json.dumps([redact(title), redact(text), urgent]),
    )
    return bool(list(insert.on_conflict_ignore().returning(AlertRow.id).tuples().execute(database)))


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


def delete(database: Database, *, before_ms: int) -> int:
    """Delete the alerts recorded before that time, in any state; return how many there were."""
    return int(AlertRow.delete().where(AlertRow.at_ms < before_ms).execute(database))
