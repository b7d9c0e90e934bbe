"""The period of bars is found from their times, and is None where it is not clear."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from supernova_ai.advisor.bars import Period, period_of

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FRIDAY = datetime(2026, 10, 2, 13, 30, tzinfo=UTC)


def every(step: timedelta, count: int = 300) -> list[datetime]:
    """Bars around the clock, as of crypto."""
    return [FRIDAY + number * step for number in range(count)]


def fx_hours() -> Iterator[datetime]:
    """From Sunday 22:00 to Friday 21:00."""
    for moment in every(HOUR, 2000):
        week_hour = moment.weekday() * 24 + moment.hour
        if week_hour < 4 * 24 + 21 or week_hour >= 6 * 24 + 22:
            yield moment.replace(minute=0)


def stock_days(count: int = 300) -> Iterator[datetime]:
    """Weekdays without holidays, at the opening in New York by UTC, which changes in November."""
    for day in every(DAY, count):
        if day.weekday() < 5 and day.day not in (1, 25):
            yield day + (HOUR if day.month in (11, 12, 1, 2) else timedelta(0))


def stock_bars(step: timedelta) -> Iterator[datetime]:
    """Bars from 13:30 to 20:00 on weekdays."""
    for day in stock_days(60):
        yield from (day + number * step for number in range(int(timedelta(hours=6.5) / step)))


def months(*, last_weekday: bool) -> Iterator[datetime]:
    for number in range(60):
        first = datetime(2020 + number // 12, number % 12 + 1, 1)
        if last_weekday:
            first -= DAY
            while first.weekday() > 4:
                first -= DAY
        yield first


def weeks_with_holidays() -> Iterator[datetime]:
    """Weeks by their first trading day: every eighth Monday is a holiday."""
    for number in range(100):
        yield datetime(2024, 1, 1) + number * 7 * DAY + (DAY if number % 8 == 0 else timedelta(0))


CLEAR = {
    "hours of FX": (list(fx_hours()), Period(1, "hour")),
    "days of a stock": (list(stock_days()), Period(1, "day")),
    "days of crypto": (every(DAY), Period(1, "day")),
    "hours of a stock": (list(stock_bars(HOUR)), Period(1, "hour")),
    "half hours of a stock": (list(stock_bars(30 * MINUTE)), Period(30, "minute")),
    "weeks": (every(7 * DAY), Period(1, "week")),
    "weeks with holidays": (list(weeks_with_holidays()), Period(1, "week")),
    "months by their first day": (list(months(last_weekday=False)), Period(1, "month")),
    "months by their last weekday": (list(months(last_weekday=True)), Period(1, "month")),
    "1 minute": (every(MINUTE), Period(1, "minute")),
    "5 minutes": (every(5 * MINUTE), Period(5, "minute")),
    "15 minutes": (every(15 * MINUTE), Period(15, "minute")),
    "4 hours": (every(4 * HOUR), Period(4, "hour")),
    "three bars": (every(HOUR, 3), Period(1, "hour")),
}


@pytest.mark.parametrize("name", CLEAR)
def test_the_period_is_found(name: str) -> None:
    """Nights, weekends, holidays and a change of the clocks do not matter."""
    times, period = CLEAR[name]
    assert period_of(times) == period


@pytest.mark.parametrize("name", ["hours of FX", "days of crypto", "weeks", "1 minute", "15 minutes"])
def test_missing_bars_do_not_matter(name: str, seed: int) -> None:
    """With a tenth of the bars missing the period is the same."""
    times, period = CLEAR[name]
    kept = [moment for moment in times if random.Random(f"{seed}{moment}").random() > 0.1]
    assert period_of(kept) == period


def quarters() -> list[datetime]:
    return list(islice(months(last_weekday=False), 0, None, 3))


UNCLEAR = {
    "nothing": [],
    "two bars": every(DAY, 2),
    "a Friday, a Monday, a Tuesday": [FRIDAY, FRIDAY + 3 * DAY, FRIDAY + 4 * DAY],
    "quarters": quarters(),
    "two days": every(2 * DAY),
    "seven minutes": every(7 * MINUTE),
    "seconds": every(timedelta(seconds=1)),
    "ninety seconds": every(1.5 * MINUTE),
    "days, then hours": [*every(DAY), *(every(DAY)[-1] + n * HOUR for n in range(1, 300))],
    "days, then some hours": [*every(DAY), *(every(DAY)[-1] + n * HOUR for n in range(1, 100))],
    "all the same": [FRIDAY] * 9,
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_an_unclear_period_is_none(name: str) -> None:
    """Too few bars, a mix of steps, and steps that have no name."""
    assert period_of(UNCLEAR[name]) is None
