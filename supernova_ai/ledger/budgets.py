"""Which budgets a request falls under, and which period of each it falls into."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from supernova_ai.config import Budget
from supernova_ai.money import show, to_nano

EACH = "*"
"""The user of a budget that every user has one of."""


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """The window of one budget that a hold must fit in. The limit is nano-USD.

    ``scope`` tells windows of one name apart whose budgets were about something else. ``user`` is None where
    the budget is about all of them together, and "" where it is about calls without a user.
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


def shares(
    budgets: Iterable[Budget], *, now: float, provider: str | None, user: str | None, task: str | None
) -> Iterator[BudgetShare]:
    """Yield the window of every budget that bears on this provider, user and task at this time.

    Args:
        now: Unix seconds.
        user: a request without a user shares, with all others such, one window of an "each user" budget.
    """
    for budget in budgets:
        if budget.provider not in (None, provider) or budget.task not in (None, task):
            continue
        if budget.user not in (None, EACH, user):
            continue
        yield share(budget, now=now, user=user)


def share(budget: Budget, *, now: float, user: str | None = None) -> BudgetShare:
    """Return the budget's window at this time; where each user has one, that of this user."""
    name, resets_at = period(budget.per, datetime.fromtimestamp(now, ZoneInfo(budget.time_zone)))
    subject = (user or "") if budget.user == EACH else ""
    return BudgetShare(
        budget.name,
        subject,
        name,
        to_nano(budget.limit),
        resets_at,
        scope(budget),
        budget.time_zone,
        budget.provider,
        subject if budget.user == EACH else budget.user,
        budget.task,
    )


def scope(budget: Budget) -> str:
    """Return what the budget is about as a text, empty where it is about everything in days of UTC.

    >>> from decimal import Decimal
    >>> scope(Budget(name="mine", limit=Decimal(1), per="day", user="ann", time_zone="Asia/Kolkata"))
    '{"time_zone": "Asia/Kolkata", "user": "ann"}'
    """
    return _scope(budget.provider, budget.task, budget.user, budget.time_zone)


@lru_cache(maxsize=1024)  # asked for at every hold
def _scope(provider: str | None, task: str | None, user: str | None, time_zone: str) -> str:
    about = {"provider": provider, "task": task, "time_zone": time_zone, "user": user}
    named = {name: value for name, value in about.items() if value and (name, value) != ("time_zone", "UTC")}
    return json.dumps(named) if named else ""


def told(budgets: Iterable[Budget]) -> str:
    """Return what the budgets are as JSON by name, for other processes to compare with theirs.

    >>> from decimal import Decimal
    >>> told([Budget(name="daily", limit=Decimal("2.5"), per="day")])
    '{"daily": "$2.50 per day"}'
    """
    each = {
        budget.name: f"{show(to_nano(budget.limit))} per {budget.per} {scope(budget)}".strip()
        for budget in budgets
    }
    return json.dumps(each, sort_keys=True)


def differences(budgets: str, others: str) -> list[str]:
    """Return the names of the budgets that differ in two texts of ``told``."""
    mine, theirs = json.loads(budgets), json.loads(others)
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def period(per: str, at: datetime) -> tuple[str, datetime]:
    """Return the name of the day, ISO week or month that holds ``at``, and the instant it ends.

    >>> from datetime import timezone
    >>> period("week", datetime(2026, 12, 31, tzinfo=timezone.utc))[0]
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


def ends(name: str, time_zone: str) -> datetime:
    """Return the instant the period of this name ends, in the zone of its budget.

    >>> ends("2026-W53", "Europe/Paris").isoformat()
    '2027-01-04T00:00:00+01:00'
    """
    return span(name, time_zone)[1]


def span(name: str, time_zone: str) -> tuple[datetime, datetime]:
    """Return the instants the period of this name begins and ends, in the zone of its budget."""
    if "W" in name:
        per, start = "week", datetime.strptime(f"{name}-1", "%G-W%V-%u")
    elif name.count("-") == 1:
        per, start = "month", datetime.strptime(name, "%Y-%m")
    else:
        per, start = "day", datetime.strptime(name, "%Y-%m-%d")
    begins = start.replace(tzinfo=ZoneInfo(time_zone))
    return begins, period(per, begins)[1]
