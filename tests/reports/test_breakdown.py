"""Reports from the rollups agree with the rows of the attempts."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peewee import Database, SqliteDatabase

from supernova_ai.ledger import rollups
from supernova_ai.ledger.rollups import EndedAttempt
from supernova_ai.reports.breakdown import GROUPINGS, Grouping, ReportLine, lines, report
from supernova_ai.reports.periods import Period, latest_periods, periods_between
from supernova_ai.store import Store
from supernova_ai.store.tables import TABLES

HOUR_MS = 3_600_000
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati")
BEGIN = datetime(2026, 10, 30, tzinfo=UTC)  # New York leaves daylight saving time two days later


def ended(draw: Any) -> EndedAttempt:
    """Make an ended attempt; ``draw(choices)`` picks one."""
    state = draw(["settled", "settled", "released", "lost"])
    tokens = [draw(range(100)) for _ in range(5)]
    row: list[Any] = [
        int(BEGIN.timestamp() * 1000) + draw(range(0, 4 * 24 * HOUR_MS, HOUR_MS // 7)),
        draw(["openai", "anthropic"]),
        draw(["gpt", "claude"]),
        draw(["economy", "premium"]),
        draw(["chat", "summary"]),
        draw([None, "hello"]),
        draw([None, "ann", "bob"]),
        draw([None, "1"]),
        state,
        0 if state == "released" else draw(range(0, 10**10, 7**9)),
        *tokens,
        draw([None, *range(0, 70_000, 997)]),
        draw([None, *range(0, 700, 99)]),
        draw([None, None, "RateLimited", "ProviderTimeout"]),
        None if state == "released" else draw(["exact", "estimated"]),
        draw([None, "fx", "FX"]),
        draw([None, '{"desk":"spot"}', '{"book":"b","desk":"Spot"}']),
        draw([0, 7, -3]) if state == "settled" else 0,
    ]
    kept = state == "settled" and row[-5] is None and draw([False, False, True])
    found = EndedAttempt(*row)
    return found._replace(cost_nano=0, cost_basis="cached", saved_nano=0) if kept else found


def expected(rows: Iterable[EndedAttempt], period: Period, by: Grouping | None) -> dict[str, dict[str, Any]]:
    """Add up the rows one by one."""
    named = {"prompt": "prompt_name", "error": "error_class", "user": "user_id"}
    joined = {"model": ("provider", "model"), "session": ("user_id", "session_id"), None: ()}
    groups: defaultdict[str, list[EndedAttempt]] = defaultdict(list)
    for row in rows:
        hour = datetime.fromtimestamp(row.started_ms // HOUR_MS * 3600, UTC)
        if period.start <= hour < period.end:
            columns = joined.get(by, (named.get(by or "", by),))
            tags = {f"tag:{name}": value for name, value in json.loads(row.tags or "{}").items()}
            key = (
                tags.get(str(by), "") if "tag:" in str(name) else getattr(row, str(name)) for name in columns
            )
            groups["/".join(str(part or "") for part in key)].append(row)
    return {name: _sums(group, by) for name, group in groups.items()}


def _sums(group: list[EndedAttempt], by: Grouping | None) -> dict[str, Any]:
    answered = [row for row in group if row.state == "settled" and not row.error_class]
    return {
        "attempts": len(group),
        "answered": len(answered),
        "cached": sum(row.cost_basis == "cached" for row in group),
        **{state: sum(row.state == state for row in group) for state in ("settled", "released", "lost")},
        "cost": sum(row.cost_nano for row in group),
        "prompt_tokens": sum(row.prompt_tokens for row in group),
        "completion_tokens": sum(row.completion_tokens for row in group),
        "saved": sum(row.saved_nano for row in group),
        "errors": {}
        if by in ("user", "session", "team", "tag:desk", "tag:book")
        else Counter(row.error_class for row in group if row.error_class),
        "answer": sorted(row.latency_ms for row in answered if row.latency_ms is not None),
        "first": sorted(row.first_token_ms for row in answered if row.first_token_ms is not None),
    }


def agree(found: list[ReportLine], wanted: dict[str, dict[str, Any]], by: Grouping | None) -> None:
    """Assert that the lines have the expected sums, and percentiles within their buckets."""
    assert sorted(line.name for line in found) == sorted(wanted)
    assert [line.cost for line in found] == sorted((line.cost for line in found), reverse=True)
    for line in found:
        sums = wanted[line.name]
        assert {name: getattr(line, name) for name in sums if name not in ("answer", "first")} == {
            name: value for name, value in sums.items() if name not in ("answer", "first")
        }
        for what in ("answer", "first"):
            for percent in (50, 95):
                reported, durations = getattr(line, f"{what}_p{percent}_ms"), sums[what]
                if by not in (None, "provider", "model") or not durations:
                    assert reported is None
                    continue
                true = max(1, durations[math.ceil(len(durations) * percent / 100) - 1])
                assert true <= reported
                assert reported < true * math.sqrt(2)


def fill(database: Database, rows: Iterable[EndedAttempt]) -> None:
    """Add the rows to the rollups; each lost one is first counted otherwise and then corrected."""
    for row in rows:
        if row.state == "lost":
            other = row._replace(error_class="ProcessDied", cost_nano=row.cost_nano + 1)
            rollups.add(database, other)
            rollups.add(database, other, times=-1)
        rollups.add(database, row)


def check(database: Database, rows: list[EndedAttempt], zone: str) -> None:
    """Assert that the reports of every grouping agree with the rows, and the days with the total."""
    start = BEGIN.astimezone(ZoneInfo(zone))
    for per in ("day", "week", "month"):
        for period in periods_between(per, start, start + timedelta(days=4)):
            for by in (*GROUPINGS, "tag:desk", "tag:book"):
                agree(lines(database, period, by), expected(rows, period, by), by)
    days = list(periods_between("day", start, start + timedelta(days=5)))
    every = Period(f"{days[0].name} to {days[-1].name}", days[0].start, days[-1].end)
    groupings: tuple[Grouping | None, ...] = (None, *GROUPINGS, "tag:desk")
    for group in groupings:
        parts, whole = report(database, days, group)
        assert parts == [line for period in days for line in lines(database, period, group)]
        if rows or group:
            agree(whole, expected(rows, every, group), group)
        assert whole == lines(database, every, group)


@pytest.mark.proof
@settings(max_examples=15)
@given(data=st.data(), zone=st.sampled_from(ZONES), size=st.integers(0, 25))
def test_reports_agree_with_the_rows(data: st.DataObject, zone: str, size: int) -> None:
    """Whatever the attempts are, each period and grouping has the sums of its rows."""
    rows = [ended(lambda choices: data.draw(st.sampled_from(choices))) for _ in range(size)]
    database = SqliteDatabase(":memory:")
    with database.bind_ctx(TABLES):
        database.create_tables(TABLES)
    fill(database, rows)
    check(database, rows, zone)


def test_reports_agree_on_both_engines(store: Store, seed: int) -> None:
    """SQLite and PostgreSQL report a random ledger of 200 attempts correctly."""
    chance = random.Random(seed)
    rows = [ended(chance.choice) for _ in range(200)]
    store.write(lambda database: fill(database, rows)).result()
    store.read(lambda database: check(database, rows, "Asia/Kolkata"))


def day() -> Period:
    return Period("2026-10-30", BEGIN, BEGIN + timedelta(days=1))


def test_an_empty_period_has_one_line_of_zeros(store: Store) -> None:
    """Without a grouping a day without attempts has a line without rates; with a grouping it has none."""
    (line,) = store.read(lambda database: lines(database, day()))
    assert (line.name, line.attempts, line.cost, line.errors) == ("", 0, 0, {})
    assert (line.success_rate, line.cost_per_attempt, line.answer_p50_ms) == (None, None, None)
    assert store.read(lambda database: lines(database, day(), "model")) == []


def attempt(**given: Any) -> EndedAttempt:
    ordinary = ended(lambda choices: choices[0])
    return ordinary._replace(latency_ms=None, first_token_ms=None, error_class=None, **given)


def test_rates_of_a_line(store: Store) -> None:
    """The success rate counts answers without an error; the cost per attempt is rounded to the nano-USD."""
    rows = [
        attempt(cost_nano=5),
        attempt(cost_nano=5),
        attempt(state="released")._replace(error_class="RateLimited"),
    ]
    store.write(lambda database: fill(database, rows)).result()
    (line,) = store.read(lambda database: lines(database, day()))
    assert line.success_rate == pytest.approx(2 / 3)
    assert line.cost_per_attempt == 3
    assert line.errors == {"RateLimited": 1}


def test_cached_answers_do_not_count_as_success(store: Store) -> None:
    """They count as attempts and not in the success rate; with cached answers alone there is no rate."""
    kept = attempt(cost_nano=0, cost_basis="cached")
    failed = attempt(state="released", cost_nano=0)._replace(error_class="RateLimited")
    store.write(lambda database: fill(database, [attempt(cost_nano=5), failed, kept, kept])).result()
    (line,) = store.read(lambda database: lines(database, day()))
    assert (line.attempts, line.answered, line.cached, line.success_rate) == (4, 3, 2, 0.5)
    store.write(lambda database: fill(database, [kept._replace(user_id="eve")])).result()
    eve = store.read(lambda database: lines(database, day(), "user"))[-1]
    assert (eve.name, eve.attempts, eve.success_rate) == ("eve", 1, None)


def test_a_limit_keeps_the_most_expensive(store: Store) -> None:
    """The most expensive users come first; equal session ids of two users stay separate."""
    rows = [
        attempt(user_id=name, session_id="1", cost_nano=cost)
        for name, cost in (("ann", 3), ("bob", 5), ("eve", 4))
    ]
    store.write(lambda database: fill(database, rows)).result()
    top = store.read(lambda database: lines(database, day(), "user", limit=2))
    assert [(line.name, line.cost) for line in top] == [("bob", 5), ("eve", 4)]
    sessions = store.read(lambda database: lines(database, day(), "session"))
    assert [line.name for line in sessions] == ["bob/1", "eve/1", "ann/1"]


def test_open_holds_are_in_no_report(store: Store) -> None:
    """A rollup row from which all attempts were subtracted again has no line."""
    row = attempt(state="lost", cost_nano=5)

    def undo(database: Database) -> None:
        rollups.add(database, row)
        rollups.add(database, row, times=-1)

    store.write(undo).result()
    assert store.read(lambda database: lines(database, day(), "provider")) == []


def test_days_follow_the_time_zone() -> None:
    """A day has 24 hours, 25 or 23 when the clock changes, and days have no gaps."""
    zone = ZoneInfo("America/New_York")
    autumn = list(
        periods_between("day", datetime(2026, 10, 31, tzinfo=zone), datetime(2026, 11, 3, tzinfo=zone))
    )
    assert [(period.name, period.hours[1] - period.hours[0]) for period in autumn] == [
        ("2026-10-31", 24),
        ("2026-11-01", 25),
        ("2026-11-02", 24),
    ]
    assert [period.hours[0] for period in autumn[1:]] == [period.hours[1] for period in autumn[:-1]]
    (spring,) = periods_between(
        "day", datetime(2026, 3, 8, 12, tzinfo=zone), datetime(2026, 3, 8, 13, tzinfo=zone)
    )
    assert spring.hours[1] - spring.hours[0] == 23


@pytest.mark.parametrize(
    ("per", "at", "name", "first", "days"),
    [
        ("week", datetime(2027, 1, 2, tzinfo=UTC), "2026-W53", datetime(2026, 12, 28, tzinfo=UTC), 7),
        ("month", datetime(2028, 2, 29, 23, tzinfo=UTC), "2028-02", datetime(2028, 2, 1, tzinfo=UTC), 29),
        ("day", datetime(2028, 2, 29, 23, tzinfo=UTC), "2028-02-29", datetime(2028, 2, 29, tzinfo=UTC), 1),
    ],
)
def test_periods_are_whole(per: Any, at: datetime, name: str, first: datetime, days: int) -> None:
    """Week 53, a February of a leap year and its last day begin and end as in the calendar."""
    (period,) = periods_between(per, at, at + timedelta(minutes=1))
    assert period == Period(name, first, first + timedelta(days=days))


def test_an_hour_counts_in_the_day_in_which_it_begins() -> None:
    """India's midnight is at 18:30 UTC: the hour from 18:00 belongs to the day before."""
    midnight = datetime(2026, 11, 2, tzinfo=ZoneInfo("Asia/Kolkata"))
    (period,) = periods_between("day", midnight, midnight + timedelta(hours=1))
    assert datetime.fromtimestamp(period.hours[0] * 3600, UTC) == datetime(2026, 11, 1, 19, tzinfo=UTC)


def test_the_latest_days_include_today() -> None:
    """One day is today, even at its first moment; thirty days touch two months."""
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    assert [period.name for period in latest_periods("day", 1, midnight)] == ["2026-11-22"]
    assert [period.name for period in latest_periods("day", 2, midnight)] == ["2026-11-21", "2026-11-22"]
    assert [period.name for period in latest_periods("month", 30, midnight)] == ["2026-10", "2026-11"]
