"""What the ledger says of its rows: the latest attempts, and how each budget stands. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from peewee import Database, fn

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import EACH, period
from supernova_ai.money import to_nano
from supernova_ai.store.tables import Attempt, Window
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
) -> list[Attempt]:
    """Return the latest attempts, oldest first; those of one request or user if its id is given."""
    query = Attempt.select().where(Attempt.started_ms >= since_ms)
    if request is not None:
        query = query.where(Attempt.request == request)
    if user is not None:
        query = query.where(Attempt.user == user)
    latest = query.order_by(Attempt.started_ms.desc(), Attempt.id.desc()).limit(limit)
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
    used = Window.settled + Window.held + Window.lost
    for budget in budgets:
        if user is not None and budget.user not in (None, EACH, user):
            continue
        name, resets_at = period(budget.per, datetime.fromtimestamp(now, ZoneInfo(budget.time_zone)))
        query = Window.select(Window, fn.COUNT(Window.id).over().alias("subjects")).where(
            (Window.budget == budget.name) & (Window.period == name)
        )
        if user is not None and budget.user == EACH:
            query = query.where(Window.subject == user)
        rows = list(query.order_by(used.desc(), Window.subject).limit(most).execute(database))
        if not rows and budget.name != PROBE:
            subject = user if user is not None and budget.user == EACH else ""
            rows = [Window(subject=subject, settled=0, held=0, lost=0)]
        for row in rows:
            yield Standing(
                budget.name,
                row.subject,
                name,
                to_nano(budget.limit),
                row.settled,
                row.held,
                row.lost,
                resets_at,
                getattr(row, "subjects", 1),
            )
