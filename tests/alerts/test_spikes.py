"""A day that spends far more than usual by its hour is alerted once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from supernova_ai.alerts import spikes
from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.config import Spike
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from tests.alerts import alert_service

Spend = Callable[[Mapping[int, str]], None]

NOON = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp())
SPIKE = Spike()


@pytest.fixture
def spend(store: Store) -> Spend:
    """Add spending to the rollups: USD by hour, relative to this noon."""

    def add(spending: Mapping[int, str]) -> None:
        for hours, usd in spending.items():
            alert_service.spend(store, NOON // 3600 + hours, usd)

    return add


def check(store: Store, spike: Spike = SPIKE, *, minutes: int = 30) -> bool:
    return spikes.record_spike(store, spike, now_ms=(NOON + minutes * 60) * 1000)


def history(days: int, usd: str, *, hour: int = -2) -> dict[int, str]:
    """Return this spending for each of the given number of days before today, at this hour from noon."""
    return {hour - 24 * day: usd for day in range(1, days + 1)}


@pytest.mark.parametrize(("usd", "expected"), [("8", False), ("8.000000001", True), ("1000", True)])
def test_a_spike_is_more_than_factor_times_the_usual(
    store: Store, spend: Spend, usd: str, expected: bool
) -> None:
    """With 2 USD usual and a factor of 4, 8 USD is no spike, and a nano-USD more is one."""
    spend(history(20, "2") | {-1: usd})
    assert check(store) is expected
    assert len(store.read(list_alerts)) == expected


def test_a_spike_is_recorded_once_a_day(store: Store, spend: Spend) -> None:
    """The alert covers all spending of the day, has threshold 0, and a later check adds no other."""
    spend(history(20, "2") | {-1: "10"})
    assert [check(store), check(store), check(store, minutes=45)] == [True, False, False]
    (row,) = store.read(list_alerts)
    assert (row.budget, row.subject, row.period, row.threshold) == ("", "", "2026-11-22", 0)
    assert (row.spent, row.limit) == (to_nano(10), to_nano(2))


def test_only_the_same_hours_are_compared(store: Store, spend: Spend) -> None:
    """What other days spent after this hour does not count as usual."""
    spend(history(20, "1") | history(20, "100", hour=1) | {-1: "10"})
    assert check(store)
    assert not check(store, minutes=90)


@pytest.mark.parametrize(("days", "expected"), [(7, False), (8, True)])
def test_a_week_of_whole_days_is_needed(store: Store, spend: Spend, days: int, expected: bool) -> None:
    """The first day may be incomplete and does not count; seven others are needed."""
    spend(history(days, "1") | {-1: "100"})
    assert check(store) is expected


def test_days_without_spending_count_as_zero(store: Store, spend: Spend) -> None:
    """Idle days since the first one count as 0, so that the usual amount can be 0."""
    spend({-24 * 20: "5", -1: "1.01"})
    assert check(store)
    assert store.read(list_alerts)[0].limit == 0


def test_a_cheap_day_is_no_spike(store: Store, spend: Spend) -> None:
    """Below ``least`` there is no alert, however small the usual amount is."""
    spend(history(20, "0.01") | {-1: "0.99"})
    assert not check(store)
    assert check(store, Spike(least=Decimal("0.5")))


def test_one_extreme_day_does_not_hide_the_next(store: Store, spend: Spend) -> None:
    """The usual amount is a median: last week's spike does not hide today's."""
    spend(history(20, "1") | {-2 - 24 * 3: "500", -1: "400"})
    assert check(store)


def test_weekly_spending_is_usual(store: Store, spend: Spend) -> None:
    """A job that runs on the same weekday is no spike on that day."""
    weekly = {-2 - 24 * day: "50" for day in (7, 14, 21)}
    spend(history(27, "1") | weekly | {-1: "60"})
    assert not check(store)


def test_weekly_spending_is_a_spike_on_another_weekday(store: Store, spend: Spend) -> None:
    """The same spending on another weekday is a spike."""
    weekly = {-2 - 24 * day: "50" for day in (6, 13, 20)}
    spend(history(27, "1") | weekly | {-1: "60"})
    assert check(store)


def test_spikes_can_be_switched_off(store: Store, spend: Spend) -> None:
    """Without a factor there is no spike."""
    spend(history(20, "1") | {-1: "1000"})
    assert not check(store, Spike(factor=None))


def test_only_four_weeks_are_compared(store: Store, spend: Spend) -> None:
    """Older days do not count: after four expensive weeks an expensive day is usual."""
    spend({-2 - 24 * day: "1" for day in range(29, 120)} | history(28, "100") | {-1: "150"})
    assert not check(store)
