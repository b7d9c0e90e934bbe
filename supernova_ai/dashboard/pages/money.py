"""The page Money: what was spent, every budget, what is expected, and who or what it was spent on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from supernova_ai.config import Config
from supernova_ai.dashboard.charts import Chart, Series
from supernova_ai.dashboard.page import Download, Page, Part, Reading
from supernova_ai.errors import InvalidRequest
from supernova_ai.money import to_usd
from supernova_ai.reports import breakdown, export, spending, traffic
from supernova_ai.reports.advice import PROMPTS, advice_cost
from supernova_ai.reports.breakdown import Grouping, ReportLine
from supernova_ai.reports.forecast import Forecast, forecast
from supernova_ai.reports.periods import Per, Period, latest_periods, periods_between
from supernova_ai.reports.savings import savings
from supernova_ai.reports.status import BudgetStatus, budget_statuses
from supernova_ai.reports.suggestions import LEAST_RATED, suggestions

PERIODS = {"today": "today", "week": "this week", "month": "this month", "30 days": "the last 30 days"}
GROUPINGS = ("provider", "model", "user", "team", "task", "tier", "prompt")

_ROWS = 50
_SUBJECTS = 5
"""Where each user, team or value of a tag has a window of a budget, so many are shown: the most used."""

SUGGESTED_FROM_DAYS = 30
"""Suggestions are of so many days: a month that has just begun says little."""

_MINUTE_S, _SLOWLY_S = 60.0, 300.0

_PERS: Mapping[Per, str] = {"day": "Today", "week": "This week", "month": "This month"}


@dataclass(frozen=True, slots=True)
class Gauge:
    """The window of a budget as a bar: where each amount begins and ends, in percent of the limit."""

    status: BudgetStatus
    level: str
    settled: float
    lost: float
    held: float

    @classmethod
    def of(cls, status: BudgetStatus, thresholds: Sequence[int]) -> Gauge:
        """Return the bar of a window. It warns at the last threshold but one, and is bad at the last."""
        settled, lost, held = (
            100 * amount / status.limit for amount in (status.settled, status.lost, status.held)
        )
        reached = sum(settled + lost + held >= threshold for threshold in thresholds)
        left = len(thresholds) - reached
        return cls(status, "bad" if not left else "warm" if left == 1 else "c1", settled, lost, held)

    @property
    def used(self) -> float:
        """The used share of the limit, 0 to 1."""
        return self.status.used / self.status.limit


def _spending(reading: Reading) -> Mapping[str, Any]:
    # Whole minutes: the expectation and the chart would be others every second.
    database, now = reading.database, reading.now.replace(second=0, microsecond=0)
    today, week, month = (latest_periods(per, 1, now)[0] for per in _PERS)
    (expected, *_) = forecast(database, [], now=now.timestamp(), time_zone=str(now.tzinfo))
    hours = [_hours_before(now, until, until - 24) for until in range(0, -8 * 24, -24)]
    last, *earlier = spending.costs(database, hours[::-1])[::-1]
    (whole,) = breakdown.lines(database, month)
    return {
        "today": spending.costs(database, [today])[0],
        "week": spending.costs(database, [week])[0],
        "month": whole,
        "held": traffic.held(database, now_ms=reading.now_ms, most=0),
        "lost": spending.lost(database, month),
        "last_day": last,
        "usual_day": sum(earlier) // len(earlier),
        "expected": expected,
        "chart": _month(reading, now, month, expected),
        "month_name": f"{now:%B %Y}",
    }


def _hours_before(now: datetime, until: int, start: int) -> Period:
    """Return the whole hours between these, counted from the end of the present one."""
    end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return Period("", end + timedelta(hours=start), end + timedelta(hours=until))


def _month(reading: Reading, now: datetime, month: Period, expected: Forecast) -> Chart:
    """Draw what was spent since the month began, and how it is expected to go on."""
    days = list(periods_between("day", month.start, min(month.end, now + timedelta(microseconds=1))))
    total, sums = 0, [0]
    for cost in spending.costs(reading.database, days):
        total += cost
        sums.append(total)
    past = [*(day.start for day in days), now]
    ahead = [day.start for day in periods_between("day", now + timedelta(days=1), month.end)]
    ahead = [*(day for day in ahead if day > now), month.end]
    times = [moment.timestamp() for moment in (*past, *ahead)]
    spent = [*map(_usd, sums), *[None] * len(ahead)]
    series = [Series("Spent", spent, "c1")]
    if expected.expected is not None and expected.high is not None and expected.low is not None:
        share = [(time - now.timestamp()) / (times[-1] - now.timestamp()) for time in times[len(past) - 1 :]]

        def reaching(end: int) -> list[float | None]:
            begin = [None] * (len(past) - 1)
            return [*begin, *(_usd(round(total + (end - total) * part)) for part in share)]

        series += [
            Series("At most", reaching(expected.high), "c1", "band"),
            Series("At least", reaching(expected.low), "c1", "band-end"),
            Series("Expected", reaching(expected.expected), "c1", "dashed"),
        ]
    limit = _monthly_limit(reading.config)
    if limit is not None:
        series.append(Series("Limit", [limit] * len(times), "bad", "dashed"))
    return Chart(f"What was spent in {now:%B}, day by day, and what is expected", times, series, "usd")


def _monthly_limit(config: Config) -> float | None:
    """Return the least limit of the budgets over all calls of a month, in USD."""
    scopes = ("provider", "user", "task", "team", "tag")
    limits = (
        budget.limit
        for budget in config.budgets
        if budget.per == "month" and not any(getattr(budget, scope) for scope in scopes)
    )
    return float(min(limits, default=0)) or None


def _usd(nano: int) -> float:
    return float(to_usd(nano))


def _budgets(reading: Reading) -> Mapping[str, Any]:
    budgets, thresholds = reading.config.all_budgets, reading.config.alerts.thresholds
    found = budget_statuses(reading.database, budgets, now=reading.now.timestamp(), most=_SUBJECTS)
    pers = {budget.name: budget.per for budget in budgets}
    gauges = [Gauge.of(status, thresholds) for status in found]
    groups = {
        title: [gauge for gauge in gauges if pers[gauge.status.budget] == per] for per, title in _PERS.items()
    }
    return {
        "groups": {title: group for title, group in groups.items() if group},
        "thresholds": thresholds,
        "editable": {budget.name for budget in reading.config.budgets},
        "shown": _SUBJECTS,
    }


def _outlook(reading: Reading) -> Mapping[str, Any]:
    now = reading.now.replace(second=0, microsecond=0)
    found = forecast(reading.database, reading.config.budgets, now=now.timestamp(), time_zone=str(now.tzinfo))
    return {"rows": list(found)}


def _breakdown(reading: Reading) -> Mapping[str, Any]:
    period, by, labels = _asked(reading)
    found = breakdown.lines(reading.database, period, by, limit=_ROWS + 1)
    (whole,) = breakdown.lines(reading.database, period)
    return {
        "rows": found[:_ROWS],
        "more": len(found) > _ROWS,
        "whole": whole,
        "by": by,
        "groupings": [(name, name) for name in (*GROUPINGS, *labels)],
        "period": reading.one_of("period", PERIODS, "month"),
        "periods": list(PERIODS.items()),
    }


def _asked(reading: Reading) -> tuple[Period, Grouping, list[Grouping]]:
    """Return the period and the grouping that the address asks for, and the tags that could be asked for."""
    name = reading.one_of("period", PERIODS, "month")
    if name == "30 days":
        days = latest_periods("day", 30, reading.now)
        period = Period(f"{days[0].name} to {days[-1].name}", days[0].start, days[-1].end)
    else:
        per: Per = "day" if name == "today" else "week" if name == "week" else "month"
        (period,) = latest_periods(per, 1, reading.now)
    labels = [label for label in breakdown.labels(reading.database, period) if label not in GROUPINGS]
    try:
        by = breakdown.grouping(reading.chosen.get("by", "model"))
    except InvalidRequest:
        by = "model"
    return period, by, labels


def _file(reading: Reading) -> tuple[str, Sequence[str], Iterable[Mapping[str, Any]]]:
    period, by, _ = _asked(reading)
    found: list[ReportLine] = breakdown.lines(reading.database, period, by)
    name = re.sub(r"[^a-z0-9-]+", "-", f"costs-by-{by}-{period.name}".lower())
    return name, export.LINE_COLUMNS, [export.line_row(line) for line in found]


def _saved(reading: Reading) -> Mapping[str, Any]:
    (month,) = latest_periods("month", 1, reading.now)
    found = savings(reading.database, reading.config, month)
    return {
        "rows": found,
        "whole": sum(saving.amount for saving in found),
        "advice": advice_cost(reading.database, month),
        "prefix": PROMPTS,
    }


def _suggestions(reading: Reading) -> Mapping[str, Any]:
    days = latest_periods("day", SUGGESTED_FROM_DAYS, reading.now)
    period = Period("", days[0].start, days[-1].end)
    found = suggestions(reading.database, reading.config, period)
    return {"found": found, "days": SUGGESTED_FROM_DAYS, "least": LEAST_RATED}


MONEY = Page(
    "money",
    "Money",
    (
        Part("spending", "Spending", _spending),
        Part("budgets", "Budgets", _budgets, controls=frozenset({"budget", "price"})),
        Part("outlook", "Outlook", _outlook, every_s=_MINUTE_S),
        Part("breakdown", "Where it went", _breakdown, takes=("by", "period")),
        Part("saved", "Saved", _saved, every_s=_SLOWLY_S),
        Part("suggestions", "Suggestions", _suggestions, every_s=_SLOWLY_S),
    ),
    Download(_file, takes=("by", "period")),
)
