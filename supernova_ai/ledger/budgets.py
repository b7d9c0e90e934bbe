"""Which budgets apply to an attempt, and which window of each: the day, ISO week or month it falls into."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from supernova_ai.config import Budget
from supernova_ai.money import show, to_nano

EACH_USER = "*"
"""The ``user`` of a budget that gives every user a window of their own."""


@dataclass(frozen=True, slots=True)
class BudgetWindow:
    """One window of a budget. The limit is nano-USD.

    ``subject`` is the user where each user has a window, else empty. ``scope`` tells apart windows of the
    same name whose budgets had another provider, user, task or time zone. ``user`` is None where the budget
    covers all users together, and "" where it covers calls without a user.
    """

    budget: str
    subject: str
    period: str
    limit: int
    resets_at: datetime
    scope: str
    time_zone: str
    provider: str | None
    user: str | None
    task: str | None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the window's row: budget, subject, period and scope."""
        return self.budget, self.subject, self.period, self.scope


def windows_for(
    budgets: Iterable[Budget], *, now: float, provider: str | None, user: str | None, task: str | None
) -> Iterator[BudgetWindow]:
    """Yield the window of every budget that applies to this provider, user and task at this time.

    Args:
        now: Unix seconds.
        user: all requests without a user share one window of an "each user" budget.
    """
    for budget in budgets:
        if budget.provider not in (None, provider) or budget.task not in (None, task):
            continue
        if budget.user not in (None, EACH_USER, user):
            continue
        yield window_of(budget, now=now, user=user)


def window_of(budget: Budget, *, now: float, user: str | None = None) -> BudgetWindow:
    """Return the budget's window at this time; where each user has a window, the one of this user."""
    name, resets_at = period_at(budget.per, datetime.fromtimestamp(now, ZoneInfo(budget.time_zone)))
    subject = (user or "") if budget.user == EACH_USER else ""
    return BudgetWindow(
        budget.name,
        subject,
        name,
        to_nano(budget.limit),
        resets_at,
        scope_key(budget),
        budget.time_zone,
        budget.provider,
        subject if budget.user == EACH_USER else budget.user,
        budget.task,
    )


def scope_key(budget: Budget) -> str:
    """Return the budget's scope and time zone as text; empty for a budget over everything in UTC.

    >>> from decimal import Decimal
    >>> scope_key(Budget(name="mine", limit=Decimal(1), per="day", user="ann", time_zone="Asia/Kolkata"))
    '{"time_zone": "Asia/Kolkata", "user": "ann"}'
    """
    return _scope_key(budget.provider, budget.task, budget.user, budget.time_zone)


@lru_cache(maxsize=1024)  # needed for every hold
def _scope_key(provider: str | None, task: str | None, user: str | None, time_zone: str) -> str:
    scope = {"provider": provider, "task": task, "time_zone": time_zone, "user": user}
    named = {name: value for name, value in scope.items() if value and (name, value) != ("time_zone", "UTC")}
    return json.dumps(named) if named else ""


def describe(budgets: Iterable[Budget]) -> str:
    """Return the budgets as JSON by name, for other processes to compare with theirs.

    >>> from decimal import Decimal
    >>> describe([Budget(name="daily", limit=Decimal("2.5"), per="day")])
    '{"daily": "$2.50 per day"}'
    """
    by_name = {
        budget.name: f"{show(to_nano(budget.limit))} per {budget.per} {scope_key(budget)}".strip()
        for budget in budgets
    }
    return json.dumps(by_name, sort_keys=True)


def differing_budgets(budgets: str, others: str) -> list[str]:
    """Return the names of the budgets that differ between two results of ``describe``."""
    mine, theirs = json.loads(budgets), json.loads(others)
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def period_at(per: str, at: datetime) -> tuple[str, datetime]:
    """Return the name of the day, ISO week or month that contains ``at``, and the instant it ends.

    >>> from datetime import timezone
    >>> period_at("week", datetime(2026, 12, 31, tzinfo=timezone.utc))[0]
    '2026-W53'
    """
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if per == "day":
        return f"{at:%Y-%m-%d}", midnight + timedelta(days=1)
    if per == "week":
        year, week, weekday = at.isocalendar()
        return f"{year}-W{week:02}", midnight + timedelta(days=8 - weekday)
    first = midnight.replace(day=1)
    return f"{at:%Y-%m}", (first + timedelta(days=32)).replace(day=1)


def period_bounds(name: str, time_zone: str) -> tuple[datetime, datetime]:
    """Return the instants at which the period of this name begins and ends, in the budget's time zone.

    >>> period_bounds("2026-W53", "Europe/Paris")[1].isoformat()
    '2027-01-04T00:00:00+01:00'
    """
    if "W" in name:
        per, start = "week", datetime.strptime(f"{name}-1", "%G-W%V-%u")
    elif name.count("-") == 1:
        per, start = "month", datetime.strptime(name, "%Y-%m")
    else:
        per, start = "day", datetime.strptime(name, "%Y-%m-%d")
    begins = start.replace(tzinfo=ZoneInfo(time_zone))
    return begins, period_at(per, begins)[1]
