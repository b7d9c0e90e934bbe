"""Whatever the calendar and the clocks do, each cost is in exactly one window of each budget."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import Hold, Ledger, lost_end
from supernova_ai.store import Store
from supernova_ai.store.tables import WindowRow
from tests.holds import place_hold, settled
from tests.recount import check_store

pytestmark = pytest.mark.proof

ZONES = (
    "UTC",
    "Etc/GMT-14",  # 14 hours ahead of UTC: its day starts first
    "Etc/GMT+12",  # 12 hours behind UTC: its day starts last
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",  # its clocks change by half an hour
    "Africa/Cairo",  # its clocks change at midnight
)
NAMES = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
BUDGETS = tuple(
    Budget.model_validate({"name": f"zone{number}-{per}", "limit": 1000, "per": per, "time_zone": zone})
    for number, zone in enumerate(ZONES)
    for per in NAMES
)
MOMENTS = {
    "clocks go forward in Paris": "2026-03-29",
    "clocks go back in Paris": "2026-10-25",
    "clocks go forward in New York": "2026-03-08",
    "clocks go back in New York": "2026-11-01",
    "clocks go forward at midnight in Cairo": "2026-04-24",
    "clocks go back half an hour": "2026-04-05",
    "leap day": "2028-02-29",
    "no leap day": "2027-03-01",
    "week 53": "2026-12-28",
    "new year in week 53": "2027-01-01",
}


@pytest.mark.parametrize("day", MOMENTS.values(), ids=MOMENTS)
def test_every_cost_is_in_one_window_of_each_budget(day: str, where: str, seed: int) -> None:
    """Over two days around the moment, with the clock set back at times, every window has the sum that an
    independent reading of the calendar gives, even if an attempt ends in another period than it began in.
    """
    chance = Random(f"{seed} {day}")
    now = start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=26)
    expected: Counter[tuple[str, str]] = Counter()
    with Store(where) as store:
        ledger = Ledger(store, BUDGETS, clock=lambda: now.timestamp())
        open_: list[tuple[Hold, list[tuple[str, str]]]] = []
        number = 0
        while now < start + timedelta(hours=52):
            number += 1
            amount = chance.randint(1, 10**6)
            hold = ledger.write(place_hold(ledger, f"{number}", amount)).result()
            windows = [
                (budget.name, now.astimezone(ZoneInfo(budget.time_zone)).strftime(NAMES[budget.per]))
                for budget in BUDGETS
            ]
            open_.append((hold, windows))
            step = chance.randint(20, 110)
            now += timedelta(minutes=-60 if chance.random() < 0.15 else step)
            while len(open_) > 4:
                hold, windows = open_.pop(chance.randrange(len(open_)))
                cost = chance.randint(0, hold.amount)
                assert ledger.end(hold, settled(cost, ledger.now_ms())).result()
                expected.update(dict.fromkeys(windows, cost))
        for hold, windows in open_:
            assert ledger.end(hold, lost_end(hold, ended_ms=ledger.now_ms(), error="Timeout")).result()
            expected.update(dict.fromkeys(windows, hold.amount))
        check_store(store)
        assert store.read(found) == expected


def found(database: Database) -> dict[tuple[str, str], int]:
    """Read what each window has used."""
    used = WindowRow.settled + WindowRow.held + WindowRow.lost
    rows = WindowRow.select(WindowRow.budget, WindowRow.period, used).tuples().execute(database)
    return {(budget, period): amount for budget, period, amount in rows}


def test_clock_set_back_opens_no_second_window(where: str) -> None:
    """A clock set back over midnight finds both days' windows as they were."""
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    now = midnight - timedelta(minutes=30)
    budget = Budget(name="daily", limit=Decimal("0.000001"), per="day")
    with Store(where) as store:
        ledger = Ledger(store, [budget], clock=lambda: now.timestamp())

        def take(name: str, amount: int) -> None:
            ledger.write(place_hold(ledger, name, amount)).result()

        take("today", 1000)
        now = midnight + timedelta(minutes=30)
        take("tomorrow", 400)
        now -= timedelta(hours=1)
        with pytest.raises(BudgetExceeded):
            take("today again", 1)
        now += timedelta(hours=1)
        take("tomorrow again", 600)
        with pytest.raises(BudgetExceeded):
            take("too much", 1)
        assert store.read(found) == {("daily", "2026-11-22"): 1000, ("daily", "2026-11-23"): 1000}


@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_machines_whose_clocks_disagree_share_one_window(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is a week wrong uses the window of the database server's day, and no other."""
    true = time.time
    budget = Budget(name="daily", limit=Decimal("0.000001"), per="day")
    with Store(where) as store:
        ledger = Ledger(store, [budget])
        ledger.write(place_hold(ledger, "here", 600)).result()
        monkeypatch.setattr(time, "time", lambda: true() - 8 * 86_400)
        with Store(where) as skewed:
            other = Ledger(skewed, [budget])
            assert other.sweep() == 0
            other.write(place_hold(other, "there", 400)).result()
            with pytest.raises(BudgetExceeded):
                other.write(place_hold(other, "too much", 1)).result()
            assert list(skewed.read(found).values()) == [1000]
            other.close()
        ledger.close()
