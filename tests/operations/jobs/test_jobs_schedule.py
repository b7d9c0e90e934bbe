"""A job is due at the instants that its schedule names, also when the clock is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.operations.jobs.schedule import At, Every

PARIS = "Europe/Paris"


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def shown(instant: int, zone: str = "UTC") -> str:
    return f"{datetime.fromtimestamp(instant / 1000, ZoneInfo(zone)):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("per", "latest", "following"),
    [
        ("day", "2026-11-29 03:00", "2026-11-30 03:00"),
        ("week", "2026-11-23 03:00", "2026-11-30 03:00"),
        ("month", "2026-11-01 03:00", "2026-12-01 03:00"),
    ],
)
def test_a_time_of_day(per: str, latest: str, following: str) -> None:
    """It is due each day, on Mondays, or on the first day of a month."""
    schedule = At("03:00", "UTC", per)  # type: ignore[arg-type]
    now = ms("2026-11-29T12:00")
    assert (shown(schedule.latest(now)), shown(schedule.next(now))) == (latest, following)
    assert schedule.latest(ms("2026-11-29T03:00") if per == "day" else now) == ms(latest.replace(" ", "T"))


def test_an_interval_counts_from_1970() -> None:
    """All processes agree on the instants, whenever they started."""
    now = ms("2026-11-29T12:34:56")
    assert shown(Every(300).latest(now)) == "2026-11-29 12:30"
    assert shown(Every(300).next(now)) == "2026-11-29 12:35"
    assert Every(300).next(Every(300).latest(now)) == Every(300).next(now)


def test_a_time_that_summer_time_skips_is_due_when_the_clock_changes() -> None:
    """In Paris there is no 02:30 on 2026-03-29: the job is due at 03:00, the next moment that exists."""
    schedule = At("02:30", PARIS)
    before = ms("2026-03-28T12:00", PARIS)
    assert shown(schedule.next(before), PARIS) == "2026-03-29 03:00"
    assert shown(schedule.next(schedule.next(before)), PARIS) == "2026-03-30 02:30"


def test_a_time_that_occurs_twice_is_due_once() -> None:
    """In Paris it is 02:30 twice on 2026-10-25: the job is due the first time only."""
    schedule = At("02:30", PARIS)
    first = schedule.next(ms("2026-10-24T12:00", PARIS))
    assert first == int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1000)
    assert shown(schedule.next(first), PARIS) == "2026-10-26 02:30"


@given(
    now=st.integers(0, ms("2040-01-01T00:00")),
    at=st.times().map(lambda at: f"{at:%H:%M}"),
    zone=st.sampled_from(["UTC", PARIS, "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
    per=st.sampled_from(["day", "week", "month"]),
)
def test_instants_follow_one_another(now: int, at: str, zone: str, per: str) -> None:
    """Between the latest instant and the next there is none, and the next one's latest is itself."""
    schedule = At(at, zone, per)  # type: ignore[arg-type]
    latest, following = schedule.latest(now), schedule.next(now)
    assert latest <= now < following
    assert schedule.latest(following) == following
    assert schedule.next(latest) == following


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Every(60), "every minute"),
        (Every(300), "every 5 min"),
        (Every(3600), "every hour"),
        (Every(90), "every 90 s"),
        (At("03:00", "UTC"), "daily 03:00"),
        (At("03:00", PARIS, "week"), "Mondays 03:00 Europe/Paris"),
    ],
)
def test_as_people_read_it(schedule: object, text: str) -> None:
    """Lists show a schedule in words."""
    assert str(schedule) == text
