"""Which budgets a request falls under, and which period of each it falls into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from supernova_ai.config import Budget
from supernova_ai.money import to_nano

EACH = "*"
"""The user of a budget that every user has one of."""


@dataclass(frozen=True, slots=True)
class Share:
    """The window of one budget that a hold must fit in. The limit is nano-USD."""

    budget: str
    subject: str
    period: str
    limit: int
    resets_at: datetime


def shares(
    budgets: Iterable[Budget], *, now: float, provider: str | None, user: str | None, task: str | None
) -> Iterator[Share]:
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
        name, resets_at = period(budget.per, datetime.fromtimestamp(now, ZoneInfo(budget.time_zone)))
        subject = (user or "") if budget.user == EACH else ""
        yield Share(budget.name, subject, name, to_nano(budget.limit), resets_at)


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
    if "W" in name:
        per, start = "week", datetime.strptime(f"{name}-1", "%G-W%V-%u")
    elif name.count("-") == 1:
        per, start = "month", datetime.strptime(name, "%Y-%m")
    else:
        per, start = "day", datetime.strptime(name, "%Y-%m-%d")
    return period(per, start.replace(tzinfo=ZoneInfo(time_zone)))[1]
