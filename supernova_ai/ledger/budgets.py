"""Which budgets apply to an attempt, and which window of each: the day, ISO week or month it falls into."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from supernova_ai.config import Budget
from supernova_ai.ledger.labels import TAG, TEAM
from supernova_ai.money import show, to_nano

EACH = "*"
"""The user, team or value of a tag of a budget that gives each of them a window of their own."""

Tag = tuple[str, str]
"""The name and the value of a tag."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays for a call: the user, the team and the tags that budgets may count apart."""

    user: str | None = None
    team: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BudgetWindow:
    """One window of a budget. The limit is nano-USD.

    ``subject`` is the user, team or value of the tag where each has a window, else empty. ``scope`` tells
    apart windows of the same name whose budgets had another scope or time zone. ``user``, ``team`` and
    ``tag`` are None where the budget covers all of them together; a user, a team or the value of a tag is ""
    where the budget covers calls without one.
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
    team: str | None
    tag: Tag | None

    @property
    def covers(self) -> str:
        """What the window counts, for people; empty if it counts every call.

        >>> from decimal import Decimal
        >>> window_of(Budget(name="b", limit=Decimal(1), per="day", team="fx", task="chat"), now=0).covers
        "task 'chat', team 'fx'"
        """
        tag, value = self.tag or ("", None)
        scope = {"provider": self.provider, "task": self.task, "user": self.user, "team": self.team}
        named = [*scope.items(), (f"tag {tag}", value)]
        return ", ".join(f"{of} {what!r}" if what else f"no {of}" for of, what in named if what is not None)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the window's row: budget, subject, period and scope."""
        return self.budget, self.subject, self.period, self.scope


def windows_for(
    budgets: Iterable[Budget], *, now: float, provider: str | None, payer: Payer, task: str | None
) -> Iterator[BudgetWindow]:
    """Yield the window of every budget that applies to this provider, payer and task at this time.

    Args:
        now: Unix seconds.
        payer: all requests without a user share one window of an "each user" budget; likewise for teams and
            tags.
    """
    for budget in budgets:
        if budget.provider not in (None, provider) or budget.task not in (None, task):
            continue
        if all(asked in (None, EACH, own) for asked, own in _sides(budget, payer)):
            yield window_of(budget, now=now, payer=payer)


def window_of(budget: Budget, *, now: float, payer: Payer = Payer()) -> BudgetWindow:
    """Return the budget's window at this time; where each user, team or value has one, that of the payer."""
    name, resets_at = period_at(budget.per, datetime.fromtimestamp(now, ZoneInfo(budget.time_zone)))
    sides = _sides(budget, payer)
    user, team, value = ((own or "") if asked == EACH else asked for asked, own in sides)
    tag = budget_tag(budget)
    return BudgetWindow(
        budget.name,
        subject_of(budget, payer) or "",
        name,
        to_nano(budget.limit),
        resets_at,
        scope_key(budget),
        budget.time_zone,
        budget.provider,
        user,
        budget.task,
        team,
        (tag[0], value) if tag and value is not None else None,
    )


def may_count(budget: Budget, payer: Payer) -> bool:
    """Say whether the budget may count calls of this user, of this team and with these tags; None is any."""
    return all(own is None or asked in (None, EACH, own) for asked, own in _sides(budget, payer))


def subject_of(budget: Budget, payer: Payer) -> str | None:
    """Return the user, team or value of a tag whose window of the budget counts the payer's calls, if any."""
    return next((own for asked, own in _sides(budget, payer) if asked == EACH), None)


def _sides(budget: Budget, payer: Payer) -> tuple[tuple[str | None, str | None], ...]:
    """Return the user, team and value of the tag of a budget, each with the payer's own."""
    name, value = budget_tag(budget) or ("", None)
    return (budget.user, payer.user), (budget.team, payer.team), (value, payer.tags.get(name))


def budget_tag(budget: Budget) -> Tag | None:
    """Return the name and the value of the tag that a budget counts."""
    return next(iter(budget.tag.items())) if budget.tag else None


def each_of(budget: Budget) -> str:
    """Return what has a window each: "user", "team", or "tag:" and the tag's name; "" if nothing has."""
    return next((label for label, asked in payers_of(budget).items() if asked == EACH), "")


def payers_of(budget: Budget) -> dict[str, str]:
    """Return the user, the team and the value of the tag that a budget counts, by "user", "team" and "tag:…".

    >>> from decimal import Decimal
    >>> payers_of(Budget(name="b", limit=Decimal(1), per="day", user="*", tag={"desk": "fx"}))
    {'user': '*', 'tag:desk': 'fx'}
    """
    tag, value = budget_tag(budget) or ("", None)
    asked = {"user": budget.user, TEAM: budget.team, f"{TAG}{tag}": value}
    return {label: name for label, name in asked.items() if name is not None}


def scope_key(budget: Budget) -> str:
    """Return the budget's scope and time zone as text; empty for a budget over everything in UTC.

    >>> from decimal import Decimal
    >>> scope_key(Budget(name="mine", limit=Decimal(1), per="day", user="ann", time_zone="Asia/Kolkata"))
    '{"time_zone": "Asia/Kolkata", "user": "ann"}'
    """
    tag = budget_tag(budget)
    return _scope_key(budget.provider, tag, budget.task, budget.team, budget.time_zone, budget.user)


@lru_cache(maxsize=1024)  # needed for every hold
def _scope_key(
    provider: str | None,
    tag: Tag | None,
    task: str | None,
    team: str | None,
    time_zone: str,
    user: str | None,
) -> str:
    # Not {"tag": {…}}: the erasure of a user finds a budget's user in this text by its name.
    tagged = {f"{TAG}{tag[0]}": tag[1]} if tag else {}
    scope = {"provider": provider, **tagged, "task": task, "team": team, "time_zone": time_zone, "user": user}
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
