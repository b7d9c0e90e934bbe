"""Status: how full each budget's current window is, and the latest attempts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from peewee import Database, fn

from supernova_ai.config import Budget
from supernova_ai.ledger import holds
from supernova_ai.ledger.budgets import EACH_USER, window_of
from supernova_ai.store.tables import AttemptRow, WindowRow
from supernova_ai.types import PROBE


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The current window of a budget, in nano-USD.

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
        """What is left of the limit."""
        return max(0, self.limit - self.used)


def latest_attempts(
    database: Database, *, limit: int, since_ms: int = 0, request: str | None = None, user: str | None = None
) -> list[AttemptRow]:
    """Return the latest attempts, oldest first; only those of a request or user if its id is given."""
    query = AttemptRow.select().where(AttemptRow.started_ms >= since_ms)
    if request is not None:
        query = query.where(AttemptRow.request == request)
    if user is not None:
        query = query.where(AttemptRow.user == user)
    latest = query.order_by(AttemptRow.started_ms.desc(), AttemptRow.id.desc()).limit(limit)
    return list(latest.execute(database))[::-1]


def budget_statuses(
    database: Database,
    budgets: Iterable[Budget],
    *,
    now: float,
    user: str | None = None,
    most: int | None = None,
) -> Iterator[BudgetStatus]:
    """Yield the status of every budget. Where each user has a window: one per user, the most used first.

    The budget of paid probes is left out until a probe has cost something.

    Args:
        now: Unix seconds.
        user: only the budgets that apply to this user.
        most: at most so many users of each budget.
    """
    used = WindowRow.settled + WindowRow.held + WindowRow.lost
    for budget in budgets:
        if user is not None and budget.user not in (None, EACH_USER, user):
            continue
        window = window_of(budget, now=now, user=user)
        current = (
            (WindowRow.budget == window.budget)
            & (WindowRow.period == window.period)
            & (WindowRow.scope == window.scope)
        )
        if user is not None:
            current &= WindowRow.subject == window.subject
        subjects = fn.COUNT(WindowRow.id).over()
        query = WindowRow.select(
            WindowRow.subject, WindowRow.settled, WindowRow.held, WindowRow.lost, subjects
        ).where(current)
        rows = list(query.order_by(used.desc(), WindowRow.subject).limit(most).tuples().execute(database))
        if not rows and budget.name != PROBE:
            # No window is open yet. If each user has one, there is no user whose amounts could be shown.
            no_user = budget.user == EACH_USER and user is None
            amounts = (0, 0, 0) if no_user else holds.window_amounts(database, window)
            rows = [(window.subject, *amounts, 1)]
        for subject, settled, held, lost, count in rows:
            yield BudgetStatus(
                budget=window.budget,
                subject=subject,
                period=window.period,
                limit=window.limit,
                settled=settled,
                held=held,
                lost=lost,
                resets_at=window.resets_at,
                subjects=count,
            )
