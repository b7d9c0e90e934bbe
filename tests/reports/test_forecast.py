"""The forecast is exact for a repeating past, has an interval for a noisy one, and none for a short one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import scope_key
from supernova_ai.reports.forecast import Forecast, forecast
from supernova_ai.reports.projection import Day, project
from supernova_ai.store import Store
from supernova_ai.store.tables import LabelRow, PayerRow, UsageRow, WindowRow

USD = 10**9
NOW = datetime(2026, 11, 18, 15, tzinfo=UTC)  # a Wednesday
WEEK = (5, 4, 3, 3, 4, 0, 1)
"""USD per hour from 9 to 17, by weekday."""

Cost = Callable[[datetime], int]


def weekly(at: datetime) -> int:
    return WEEK[at.weekday()] * USD * (9 <= at.hour < 17)


def spend(store: Store, cost: Cost, *, days: int, now: datetime, user: str = "ann") -> None:
    """Fill the rollups, hour by hour, from this many days before the day of ``now`` until ``now``."""
    first = now.replace(hour=0, minute=0) - timedelta(days=days)
    usage, payer, label = [], [], []
    for hour in range(int(first.timestamp()) // 3600, int(now.timestamp()) // 3600):
        spent = cost(datetime.fromtimestamp(hour * 3600, now.tzinfo))
        ends = {"attempts": 1, "cached": 0, "settled": 1, "released": 0, "lost": 0, "cost": spent}
        tokens = {"prompt_tokens": 0, "completion_tokens": 0}
        where = {"provider": "openai", "model": "gpt", "tier": "standard", "task": "chat", "prompt": ""}
        more = {"cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0}
        usage.append({"hour": hour, "error": "", **where, **ends, **tokens, **more})
        payer.append({"hour": hour, "user": user, "session": "", "answered": 1, **ends, **tokens})
        label.append(
            {"hour": hour, "label": "team", "value": "fx", **ends, **tokens, "answered": 1, "saved": 0}
        )

    def write(database: Database) -> None:
        for start in range(0, len(usage), 200):
            UsageRow.insert_many(usage[start : start + 200]).execute(database)
            PayerRow.insert_many(payer[start : start + 200]).execute(database)
            LabelRow.insert_many(label[start : start + 200]).execute(database)

    store.write(write).result()


def ask(store: Store, now: datetime, *budgets: Budget) -> list[Forecast]:
    zone = str(now.tzinfo)
    return store.read(lambda database: list(forecast(database, budgets, now=now.timestamp(), time_zone=zone)))


@pytest.mark.parametrize(
    ("new_database", "zone", "day", "hour"),
    [
        ("sqlite", "UTC", 1, 0),  # the first hour of the month, and the last
        ("sqlite", "UTC", 30, 23),
        ("sqlite", "America/New_York", 1, 0),  # the clocks change on this day, or did before
        ("sqlite", "America/New_York", 18, 15),
        ("sqlite", "Asia/Kolkata", 18, 15),  # its hours begin at half past the rollups'
        ("postgresql", "Asia/Kolkata", 18, 15),
    ],
    indirect=["new_database"],
)
def test_a_perfectly_weekly_series_is_forecast_exactly(store: Store, zone: str, day: int, hour: int) -> None:
    """At any time, and over a change of the clock, the month ends at the sum of its weeks."""
    now = datetime(2026, 11, day, hour, 30 if zone == "Asia/Kolkata" else 0, tzinfo=ZoneInfo(zone))
    spend(store, weekly, days=60, now=now)
    (month,) = ask(store, now)
    every_day = [datetime(2026, 11, number, 12) for number in range(1, 31)]
    total = sum(WEEK[at.weekday()] * 8 * USD for at in every_day)
    assert (month.expected, month.low, month.high) == (total, total, total)
    assert (month.days, month.reason, month.period) == (56, None, "2026-11")
    assert month.ends_at == datetime(2026, 12, 1, tzinfo=ZoneInfo(zone))


def test_the_rest_of_an_hour_counts(store: Store) -> None:
    """At half past three, half of the hour's usual cost is still to come."""
    now = NOW + timedelta(minutes=30)
    spend(store, weekly, days=60, now=now)
    (month,) = ask(store, now)
    (then,) = ask(store, NOW)
    assert then.expected is not None
    assert month.expected == then.expected - 3 * USD // 2


def test_a_short_history_gives_a_reason(store: Store) -> None:
    """Twenty whole days are not enough, since the first may be incomplete; one day later they are."""
    spend(store, weekly, days=21, now=NOW)
    (month,) = ask(store, NOW)
    assert month.reason == ("not enough history: 20 whole days, 17 with costs; it takes 21 and 7")
    assert (month.expected, month.low, month.high, month.over) == (None, None, None, None)
    assert month.spent == sum(WEEK[(day - 2) % 7] * 8 for day in range(1, 18)) * USD + 6 * 3 * USD
    (next_day,) = ask(store, NOW + timedelta(days=1))
    assert next_day.reason is None


def test_an_empty_ledger_has_no_history(store: Store) -> None:
    """Nothing is forecast before the first attempt."""
    (month,) = ask(store, NOW)
    assert (month.spent, month.days, month.expected) == (0, 0, None)


def test_few_days_with_costs_are_not_enough(store: Store) -> None:
    """Six weeks with costs on six days only give no forecast."""
    spend(store, lambda at: USD * (at.weekday() == 0 and at.hour == 9), days=44, now=NOW)
    (month,) = ask(store, NOW)
    assert (month.reason or "").startswith("not enough history: 43 whole days, 6 with costs")


def test_each_budget_has_its_own_past(store: Store) -> None:
    """A budget of a provider, task, user or team is forecast from its own spending, in its current window."""
    spend(store, weekly, days=60, now=NOW)
    spent = 6 * 3 * USD
    day = 8 * 3 * USD

    openai = Budget(name="openai", limit=Decimal(20), per="day", provider="openai")
    each = Budget(name="each", limit=Decimal(30), per="day", user="*")

    def window(budget: Budget, subject: str = "") -> None:
        key = {"budget": budget.name, "subject": subject, "period": "2026-11-18", "scope": scope_key(budget)}
        store.write(lambda database: WindowRow.insert(**key, settled=spent).execute(database)).result()

    window(openai)
    window(each, "ann")
    window(each, "bob")
    team = Budget(name="team", limit=Decimal(30), per="day", team="*")
    window(team, "fx")
    window(team, "")
    found = ask(
        store,
        NOW,
        openai,
        Budget(name="nobody", limit=Decimal(20), per="day", provider="anthropic", task="chat"),
        each,
        Budget(name="both", limit=Decimal(20), per="day", user="ann", task="chat"),
        team,
    )[1:]
    assert [(row.budget, row.subject, row.expected, row.over) for row in found] == [
        ("openai", "", day, 1.0),
        ("nobody", "", None, None),
        ("each", "ann", day, 0.0),
        ("each", "bob", None, None),
        ("both", "", None, None),
        ("team", "", None, None),
        ("team", "fx", day, 0.0),
    ]
    assert found[-2].reason == "the rollups do not have the costs of calls without a team"
    assert found[-3].reason == "the rollups do not have the costs of these scopes together"


def noisy(weeks: int) -> list[Day]:
    chance = random.Random(1)
    return [Day(day % 7, WEEK[day % 7] * chance.uniform(0.5, 1.5)) for day in range(7 * weeks)]


def ahead(days: int) -> Sequence[Day]:
    return [Day(day % 7, 1.0) for day in range(days)]


def test_a_noisy_past_gives_an_interval() -> None:
    """The interval contains the expectation, widens with the days ahead, and is the same each time."""
    week, month = project(noisy(8), ahead(7)), project(noisy(8), ahead(28))
    for found, usual in ((week, 20), (month, 80)):
        assert found.quantile(0.1) < found.expected < found.quantile(0.9)
        assert found.expected == pytest.approx(usual, rel=0.2)
    assert week.quantile(0.9) - week.quantile(0.1) < month.quantile(0.9) - month.quantile(0.1)
    assert project(noisy(8), ahead(7)) == week


def test_no_future_is_below_zero() -> None:
    """Where most days cost nothing, the low end is not below zero."""
    past = [Day(day % 7, 100.0 * (day % 11 == 0)) for day in range(56)]
    found = project(past, ahead(3))
    assert found.futures[0] >= 0


def test_the_latest_weeks_count_most() -> None:
    """Four weeks after the costs doubled, the forecast is close to the new costs."""
    past = [Day(day % 7, WEEK[day % 7] * (2.0 if day >= 28 else 1.0)) for day in range(56)]
    assert project(past, ahead(7)).expected == pytest.approx(40, rel=0.05)


def test_nothing_ahead_costs_nothing() -> None:
    """At the very end of a period the remaining cost is zero."""
    assert project(noisy(8), [Day(2, 0.0)]).expected == 0
