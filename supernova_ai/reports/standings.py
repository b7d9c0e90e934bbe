"""What the ledger says of its rows: the latest attempts, and how each budget stands. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from peewee import Database, fn

from supernova_ai.config import Budget
from supernova_ai.ledger import holds
from supernova_ai.ledger.budgets import EACH, share
from supernova_ai.store.tables import AttemptRow, WindowRow
from supernova_ai.types import PROBE


@dataclass(frozen=True, slots=True)
class Standing:
    """How the current window of a budget stands, in nano-USD.

    ``subject`` is the user where each user has a window, else empty; ``subjects`` is how many users have one.
    """

    budget: str
    subject: str
    period: str
    limit: int
    settled: int
    held: int
    lost: int
    resets_at: datetime
    subjects: int = 1

    @property
    def used(self) -> int:
        """What counts against the limit."""
        return self.settled + self.held + self.lost

    @property
    def left(self) -> int:
        """What the window can still bear."""
        return max(0, self.limit - self.used)


def attempts(
    database: Database, *, limit: int, since_ms: int = 0, request: str | None = None, user: str | None = None
) -> list[AttemptRow]:
    """Return the latest attempts, oldest first; those of one request or user if its id is given."""
    query = AttemptRow.select().where(AttemptRow.started_ms >= since_ms)
    if request is not None:
        query = query.where(AttemptRow.request == request)
    if user is not None:
        query = query.where(AttemptRow.user == user)
    latest = query.order_by(AttemptRow.started_ms.desc(), AttemptRow.id.desc()).limit(limit)
    return list(latest.execute(database))[::-1]


def standings(
    database: Database,
    budgets: Iterable[Budget],
    *,
    now: float,
    user: str | None = None,
    most: int | None = None,
) -> Iterator[Standing]:
    """Yield how every budget stands. Where each user has a window, one row per user, the most used first.

    The budget of paid probes is left out until a probe was paid for.

    Args:
        now: Unix seconds.
        user: only the budgets that bound this user.
        most: at most so many users of each budget.
    """
    used = WindowRow.settled + WindowRow.held + WindowRow.lost
    for budget in budgets:
        if user is not None and budget.user not in (None, EACH, user):
            continue
        of = share(budget, now=now, user=user)
        here = (
            (WindowRow.budget == of.budget) & (WindowRow.period == of.period) & (WindowRow.scope == of.scope)
        )
        if user is not None:
            here &= WindowRow.subject == of.subject
        subjects = fn.COUNT(WindowRow.id).over()
        query = WindowRow.select(
            WindowRow.subject, WindowRow.settled, WindowRow.held, WindowRow.lost, subjects
        ).where(here)
        rows = list(query.order_by(used.desc(), WindowRow.subject).limit(most).tuples().execute(database))
        if not rows and budget.name != PROBE:
            # No window is open yet. That of each user would be the window of nobody in particular.
            nobodys = budget.user == EACH and user is None
            rows = [(of.subject, *((0, 0, 0) if nobodys else holds.standing(database, of)), 1)]
        for subject, settled, held, lost, count in rows:
            yield Standing(of.budget, subject, of.period, of.limit, settled, held, lost, of.resets_at, count)
