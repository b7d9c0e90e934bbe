"""Which window a moment falls into, and when that window ends in the budget's time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import BudgetWindow, Payer, period_at, windows_for

Per = Literal["day", "week", "month"]


def share(per: Per, zone: str, at: datetime) -> BudgetWindow:
    budget = Budget(name="b", limit=Decimal("1.5"), per=per, time_zone=zone)
    (found,) = windows_for([budget], now=at.timestamp(), provider="openai", payer=Payer(), task="chat")
    return found


@pytest.mark.parametrize(
    ("per", "at", "name", "ends"),
    [
        ("day", "2026-11-22", "2026-11-22", "2026-11-23"),
        ("day", "2028-02-28", "2028-02-28", "2028-02-29"),
        ("day", "2028-02-29", "2028-02-29", "2028-03-01"),
        ("day", "2026-12-31", "2026-12-31", "2027-01-01"),
        ("week", "2026-11-16", "2026-W47", "2026-11-23"),
        ("week", "2026-11-22", "2026-W47", "2026-11-23"),
        ("week", "2026-12-31", "2026-W53", "2027-01-04"),
        ("week", "2027-01-03", "2026-W53", "2027-01-04"),
        ("week", "2027-01-04", "2027-W01", "2027-01-11"),
        ("week", "2024-12-30", "2025-W01", "2025-01-06"),
        ("month", "2026-11-01", "2026-11", "2026-12-01"),
        ("month", "2026-12-31", "2026-12", "2027-01-01"),
        ("month", "2028-02-29", "2028-02", "2028-03-01"),
        ("month", "2027-01-31", "2027-01", "2027-02-01"),
    ],
)
def test_a_period_has_its_name_and_ends_at_midnight(per: str, at: str, name: str, ends: str) -> None:
    """Days, ISO weeks and months have their calendar names, also on leap days and in week 53."""
    zone = ZoneInfo("Europe/Paris")
    for hour in (0, 12, 23):
        moment = datetime.fromisoformat(at).replace(hour=hour, minute=59, tzinfo=zone)
        assert period_at(per, moment) == (name, datetime.fromisoformat(ends).replace(tzinfo=zone))


def test_a_window_has_the_limit_in_nano_usd() -> None:
    """The limit of a budget becomes a whole number."""
    assert share("day", "UTC", datetime(2026, 11, 22, tzinfo=UTC)).limit == 1_500_000_000


@pytest.mark.parametrize(
    ("zone", "name"),
    [("UTC", "2026-11-22"), ("Asia/Tokyo", "2026-11-23"), ("America/Los_Angeles", "2026-11-22")],
)
def test_a_window_is_the_budgets_own_day(zone: str, name: str) -> None:
    """One moment falls on different days for budgets in different time zones."""
    assert share("day", zone, datetime(2026, 11, 22, 16, tzinfo=UTC)).period == name


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Paris", date(2026, 3, 29), 23),
        ("Europe/Paris", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Africa/Cairo", date(2026, 4, 24), 23),  # its clocks change at midnight: the day starts at one
    ],
)
def test_days_on_which_clocks_change_end_at_local_midnight(zone: str, day: date, hours: float) -> None:
    """All hours of such a day fall into it, repeated ones too, and it resets when the next day starts."""
    here = ZoneInfo(zone)
    start = datetime(day.year, day.month, day.day, tzinfo=here).astimezone(UTC)
    end = start + timedelta(hours=hours)
    moments = [start + timedelta(minutes=i) for i in range(0, int(hours * 60), 30)]
    found = {share("day", zone, moment) for moment in moments}
    assert len(found) == 1
    (only,) = found
    assert only.period == day.isoformat()
    assert only.resets_at.astimezone(UTC) == end
    assert (only.resets_at.hour, only.resets_at.minute) == (0, 0)
    assert share("day", zone, end).period == (day + timedelta(days=1)).isoformat()


def test_a_week_and_a_month_over_a_change_of_clocks_end_at_local_midnight() -> None:
    """The time zone's offset at the end counts, not the present one."""
    before = datetime(2026, 10, 20, 12, tzinfo=ZoneInfo("Europe/Paris"))
    assert share("week", "Europe/Paris", before).resets_at.isoformat() == "2026-10-26T00:00:00+01:00"
    assert share("month", "Europe/Paris", before).resets_at.isoformat() == "2026-11-01T00:00:00+01:00"


@given(
    st.sampled_from(["day", "week", "month"]),
    st.sampled_from(["UTC", "Europe/Paris", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
)
def test_windows_have_no_gaps(per: Per, zone: str, at: datetime) -> None:
    """A window lasts until its reset, and the next one starts there."""
    now = share(per, zone, at)
    reset = now.resets_at.astimezone(UTC)
    assert at < reset
    assert share(per, zone, reset - timedelta(seconds=1)).period == now.period
    assert share(per, zone, reset).period != now.period


@pytest.mark.parametrize(
    ("scope", "subjects"),
    [
        ({}, {"ann": "", "bob": "", None: ""}),
        ({"provider": "openai"}, {"ann": "", "bob": "", None: ""}),
        ({"provider": "ollama"}, {}),
        ({"task": "chat"}, {"ann": "", "bob": "", None: ""}),
        ({"task": "summary"}, {}),
        ({"user": "ann"}, {"ann": ""}),
        ({"user": "*"}, {"ann": "ann", "bob": "bob", None: ""}),
        ({"user": "*", "provider": "openai", "task": "chat"}, {"ann": "ann", "bob": "bob", None: ""}),
        ({"user": "ann", "provider": "ollama"}, {}),
        ({"user": "ann", "provider": "openai", "task": "chat"}, {"ann": ""}),
        ({"team": "fx"}, {"ann": ""}),
        ({"team": "*"}, {"ann": "fx", "bob": "rates", None: ""}),
        ({"team": "fx", "user": "bob"}, {}),
        ({"tag": {"desk": "spot"}}, {"ann": ""}),
        ({"tag": {"Desk": "spot"}}, {}),
        ({"tag": {"desk": "*"}}, {"ann": "spot", "bob": "Spot", None: ""}),
        ({"tag": {"desk": "*"}, "team": "rates"}, {"bob": "Spot"}),
    ],
)
def test_a_budget_applies_to_its_scope_only(scope: dict[str, Any], subjects: dict[str | None, str]) -> None:
    """Each part of a scope narrows a budget; "*" gives every user, team or value a window of their own."""
    payers = {
        "ann": Payer("ann", "fx", {"desk": "spot"}),
        "bob": Payer("bob", "rates", {"desk": "Spot", "book": "spot"}),
        None: Payer(),
    }
    budget = Budget(name="b", limit=Decimal(1), per="day", **scope)
    found = {
        user: one.subject
        for user, payer in payers.items()
        for one in windows_for([budget], now=0, provider="openai", payer=payer, task="chat")
    }
    assert found == subjects
