"""Forecast: what this month, and the current window of each budget, will have cost at its end."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from peewee import Database, fn

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import payers_of, period_at
from supernova_ai.ledger.labels import TAG, TEAM
from supernova_ai.reports.projection import Day, project
from supernova_ai.reports.status import BudgetStatus, budget_statuses
from supernova_ai.store.tables import LabelRow, PayerRow, UsageRow

HISTORY = 56
"""Whole days of history that are used, at most."""

LEAST_DAYS, LEAST_ACTIVE = 21, 7
"""Whole days of history that a forecast needs, and how many of them must have a cost."""

FULLEST = 5
"""Where each user, team or value of a tag has a window of a budget, so many are forecast: the most used."""

Hour = tuple[datetime, int]

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The expected end of a period. Money is nano-USD.

    ``budget`` is empty for the month's total. ``low`` and ``high`` bound the 80 % interval; ``over`` is the
    probability, 0 to 1, that the limit would be exceeded, so that calls will be refused. All are None if
    there is no forecast; ``reason`` then says why. ``days`` is the number of whole days of history.
    """

    budget: str
    subject: str
    period: str
    ends_at: datetime
    limit: int | None
    spent: int
    days: int = 0
    expected: int | None = None
    low: int | None = None
    high: int | None = None
    over: float | None = None
    reason: str | None = None


def forecast(
    database: Database, budgets: Iterable[Budget], *, now: float, time_zone: str = "UTC"
) -> Iterator[Forecast]:
    """Yield the forecast of the month, then of every budget's current window.

    Args:
        now: Unix seconds.
        time_zone: the month's; each budget has its own.
    """
    at = datetime.fromtimestamp(now, ZoneInfo(time_zone))
    name, ends_at = period_at("month", at)
    hours = _hours(database, UsageRow, [], at)
    spent = sum(cost for start, cost in hours if (start.year, start.month) == (at.year, at.month))
    yield _completed(Forecast("", "", name, ends_at, None, spent), hours, at)
    for budget in budgets:
        at = datetime.fromtimestamp(now, ZoneInfo(budget.time_zone))
        for row in budget_statuses(database, [budget], now=now, most=FULLEST):
            yield _of_window(database, budget, row, at)


def _of_window(database: Database, budget: Budget, row: BudgetStatus, at: datetime) -> Forecast:
    spent = row.settled + row.lost
    bare = Forecast(budget.name, row.subject, row.period, row.resets_at, row.limit, spent)
    scopes = [(UsageRow.provider, budget.provider), (UsageRow.task, budget.task)]
    conditions = [column == value for column, value in scopes if value is not None]
    payers = payers_of(budget) | ({row.each: row.subject} if row.each else {})
    if not payers:
        return _completed(bare, _hours(database, UsageRow, conditions, at), at)
    if conditions or len(payers) > 1:
        return replace(bare, reason="the rollups do not have the costs of these scopes together")
    ((label, value),) = payers.items()
    if label == "user":
        return _completed(bare, _hours(database, PayerRow, [PayerRow.user == value], at), at)
    if not value:
        missing = "a team" if label == TEAM else f"the tag {label.removeprefix(TAG)}"
        return replace(bare, reason=f"the rollups do not have the costs of calls without {missing}")
    of = [LabelRow.label == label, LabelRow.value == value]
    return _completed(bare, _hours(database, LabelRow, of, at), at)


def _hours(database: Database, table: Any, conditions: Iterable[Any], at: datetime) -> list[Hour]:
    """Return the local start and the cost of each hour, over the longest history and one day before it."""
    first = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) - (HISTORY + 1) * _DAY
    query = table.select(table.hour, fn.SUM(table.cost)).where(
        (table.hour >= math.ceil(first.timestamp() / 3600)) & (table.attempts > 0), *conditions
    )
    rows = query.group_by(table.hour).order_by(table.hour).tuples().execute(database)
    return [(datetime.fromtimestamp(hour * 3600, at.tzinfo), int(cost)) for hour, cost in rows]


def _completed(bare: Forecast, hours: Sequence[Hour], at: datetime) -> Forecast:
    """Fill in what is expected, or the reason why there is no forecast."""
    past = _past(hours, at.date())
    active = sum(day.cost > 0 for day in past)
    bare = replace(bare, days=len(past))
    if len(past) < LEAST_DAYS or active < LEAST_ACTIVE:
        had = f"{len(past)} whole days, {active} with costs"
        return replace(bare, reason=f"not enough history: {had}; it takes {LEAST_DAYS} and {LEAST_ACTIVE}")
    tomorrow = at.date() + _DAY
    ahead = [Day(at.weekday(), _share_left(hours, at)), *_days(tomorrow, bare.ends_at.date(), {}, 1.0)]
    projection = project(past, ahead)
    low, high = (bare.spent + round(projection.quantile(share)) for share in (0.1, 0.9))
    over = None
    if bare.limit is not None:
        passed = sum(bare.spent + total > bare.limit for total in projection.futures)
        over = passed / len(projection.futures)
    return replace(bare, expected=bare.spent + round(projection.expected), low=low, high=high, over=over)


def _past(hours: Sequence[Hour], today: date) -> list[Day]:
    """Return the whole days before today, without the first one with an attempt, which may be incomplete."""
    costs: defaultdict[date, float] = defaultdict(float)
    for start, cost in hours:
        costs[start.date()] += cost
    return list(_days(min(costs, default=today) + _DAY, today, costs, 0.0))


def _days(first: date, after: date, costs: Mapping[date, float], default: float) -> Iterator[Day]:
    while first < after:
        yield Day(first.weekday(), costs.get(first, default))
        first += _DAY


def _share_left(hours: Sequence[Hour], at: datetime) -> float:
    """Return the share of its cost that this weekday usually still has to come at this time of day."""
    time = _hour_of_day(at)
    total = left = 0.0
    for start, cost in hours:
        if start.date() < at.date() and start.weekday() == at.weekday():
            total += cost
            left += cost * min(1.0, max(0.0, _hour_of_day(start) + 1 - time))
    return left / total if total else 1 - time / 24


def _hour_of_day(moment: datetime) -> float:
    return moment.hour + moment.minute / 60 + moment.second / 3600
