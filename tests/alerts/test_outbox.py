"""A threshold that is reached is recorded once, in the transaction that reaches it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from peewee import Database, OperationalError

from supernova_ai.alerts.outbox import (
    AlertEvent,
    Message,
    NoticeKind,
    acknowledge,
    list_alerts,
    record_notice,
)
from supernova_ai.config import Budget
from supernova_ai.errors import StoreError
from supernova_ai.ledger import End, Ledger
from supernova_ai.ledger.slices import Spent
from supernova_ai.ledger.thresholds import ThresholdWatch
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow, ProcessRow
from supernova_ai.types import Usage
from tests.holds import OpenLedger, Take, entry, release, settle
from tests.processes import FORK

DAILY = Budget(name="daily", limit=Decimal(1), per="day")
EACH = Budget(name="each-user", limit=Decimal(1), per="month", user="*", time_zone="Asia/Tokyo")


@pytest.fixture
def open_watched(store: Store, clock: SimpleNamespace) -> Iterator[OpenLedger]:
    """OpenLedger a ledger with these budgets and thresholds at 50 and 80 percent."""
    with ExitStack() as opened:

        def open_(*budgets: Budget, **given: Any) -> Ledger:
            ledger = Ledger(store, budgets, thresholds=(50, 80), clock=lambda: clock.now, **given)
            opened.callback(ledger.close)
            return ledger

        yield open_


def _settled(usd: str) -> End:
    return End("settled", to_nano(usd), "exact", Usage(), 0)


def recorded(store: Store) -> list[tuple[str, str, str, int]]:
    rows = store.read(list_alerts)
    return [(row.budget, row.subject, row.period, row.threshold) for row in rows]


def test_each_threshold_is_recorded_once_when_it_is_reached(
    open_watched: OpenLedger, take: Take, store: Store, clock: SimpleNamespace
) -> None:
    """Below a threshold there is no alert, at it there is one with the amount spent; 100 is always one."""
    ledger = open_watched(DAILY)
    for usd, expected in (
        ("0.499999999", []),
        ("0.000000001", [50]),
        ("0.4", [50, 80]),
        ("0.1", [50, 80, 100]),
    ):
        settle(ledger, take(ledger, usd), usd)
        assert [row[3] for row in recorded(store)] == expected
    first, second, _ = store.read(list_alerts)
    assert (first.budget, first.period, first.spent, first.limit) == (
        "daily",
        "2026-11-22",
        to_nano("0.5"),
        to_nano(1),
    )
    assert second.spent == to_nano("0.9")
    assert {first.at_ms, first.next_ms} == {int(clock.now * 1000)}
    assert (first.state, first.tries) == ("new", 0)


def test_every_window_has_its_own_alerts(
    open_watched: OpenLedger, take: Take, store: Store, clock: SimpleNamespace
) -> None:
    """Each user's window, and each period, has alerts of its own."""
    ledger = open_watched(EACH)
    for user in ("ann", "bob"):
        settle(ledger, take(ledger, "0.5", user_id=user), "0.5")
    clock.now += 31 * 86_400
    settle(ledger, take(ledger, "0.5", user_id="ann"), "0.5")
    assert recorded(store) == [
        ("each-user", "ann", "2026-11", 50),
        ("each-user", "bob", "2026-11", 50),
        ("each-user", "ann", "2026-12", 50),
    ]


def test_open_holds_cause_no_alert(open_watched: OpenLedger, take: Take, store: Store) -> None:
    """Held money may be released unspent, so it reaches no threshold."""
    ledger = open_watched(DAILY)
    hold = take(ledger, "1")
    release(ledger, hold)
    assert recorded(store) == []


def test_holds_of_a_dead_process_count(open_watched: OpenLedger, take: Take, store: Store) -> None:
    """Holds that a sweep marks as lost count towards thresholds: in a full window nothing may follow."""
    ledger = open_watched(DAILY)
    take(ledger, "0.9")
    store.write(lambda database: ProcessRow.update(lease_ms=0).execute(database)).result()
    assert ledger.sweep() == 1
    assert [row[3] for row in recorded(store)] == [50, 80]


def test_holds_lost_at_closing_count(open_watched: OpenLedger, take: Take, store: Store) -> None:
    """A ledger that is closed with an open hold records the alerts of the lost amount."""
    ledger = open_watched(DAILY)
    take(ledger, "1")
    ledger.close()
    assert [row[3] for row in recorded(store)] == [50, 80, 100]


def test_an_alert_that_was_rolled_back_is_recorded_again(
    open_watched: OpenLedger, take: Take, store: Store
) -> None:
    """When the commit with an alert fails, the next settlement records the alert."""
    ledger = open_watched(DAILY)
    first, second = take(ledger, "0.5"), take(ledger, "0.1")
    started, proceed = threading.Event(), threading.Event()

    def block(_: Database) -> None:
        started.set()
        proceed.wait()

    def fail(database: Database) -> None:
        database.execute_sql("ROLLBACK")  # ends the transaction, with all that the other operations wrote
        raise OperationalError("the connection is gone")

    blocked = store.write(block)
    started.wait()
    batch = [ledger.end(first, _settled("0.5")), ledger.end(second, _settled("0.1")), store.write(fail)]
    proceed.set()
    blocked.result()
    for future in batch:
        assert isinstance(future.exception(), StoreError)  # type: ignore[attr-defined]
    assert recorded(store) == []
    settle(ledger, first, "0.5")
    assert [row[3] for row in recorded(store)] == [50]


def test_on_alert_is_called_once_per_alert(open_watched: OpenLedger, take: Take) -> None:
    """It is called when an alert is recorded, and not when the alert exists already."""
    calls: list[None] = []
    ledger = open_watched(DAILY, on_alert=lambda: calls.append(None))
    for _ in range(3):
        settle(ledger, take(ledger, "0.2"), "0.2")
    assert len(calls) == 1
    settle(ledger, take(ledger, "0.4"), "0.4")
    assert len(calls) == 3


def test_a_window_past_its_thresholds_costs_no_statements() -> None:
    """An alert that is known to be in the outbox is not written again."""
    watch = ThresholdWatch({"daily": 100}, (50,))
    watch.remember([("daily", "", "p", 50), ("daily", "", "p", 100)])
    nothing = cast(Database, None)
    assert watch.check(nothing, [Spent("daily", "", "p", 120), Spent("gone", "", "p", 9)], now_ms=0) == []


def _spend_beside_others(where: str, number: int, together: Barrier) -> None:
    """Settle a fifth of each of two users' limits, cent by cent, beside three other processes."""
    with Store(where) as store:
        ledger = Ledger(store, [DAILY, EACH], thresholds=(50, 80))
        together.wait()
        for step in range(24):
            one = entry(f"{number}-{step}", to_nano("0.01"), 0, user_id=("ann", "bob")[step % 2])
            hold = ledger.write(lambda database, one=one: ledger.hold(database, one)).result()  # type: ignore[misc]
            settle(ledger, hold, "0.01")
        ledger.close()


def test_four_processes_record_one_alert(where: str, store: Store) -> None:
    """There is one alert per budget, window and threshold, however many processes reach it together."""
    together = FORK.Barrier(4)
    processes = [
        FORK.Process(target=_spend_beside_others, args=(where, number, together)) for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    # 96 cents in all, 48 of each user.
    counts = Counter((row[0], row[1], row[3]) for row in recorded(store))
    assert counts == {("daily", "", 50): 1, ("daily", "", 80): 1}


PERIODS: dict[Literal["day", "week", "month"], tuple[str, str]] = {
    "day": ("2026-11-22", "2026-11-23 at 00:00 JST"),
    "week": ("2026-W47", "2026-11-23 at 00:00 JST"),
    "month": ("2026-12", "2027-01-01 at 00:00 JST"),
}


@pytest.mark.parametrize("per", PERIODS)
def test_a_message_has_all_values(per: Literal["day", "week", "month"]) -> None:
    """It has budget, user, percent, spent, limit, and the reset in the budget's time zone."""
    period, resets = PERIODS[per]
    budget = Budget(name="each-user", limit=Decimal(2), per=per, user="*", time_zone="Asia/Tokyo")
    message = AlertEvent.of(_row(period=period), [budget]).message()
    assert message.title == "Budget each-user of user ann: 82 % spent"
    assert message.text == (
        f"$1.65 of $2.00 (82 %) of the budget each-user of user ann is spent in {period}. "
        f"It resets on {resets}."
    )
    assert not message.urgent


@pytest.mark.parametrize(
    ("scope", "who"), [({"team": "*"}, "team ann"), ({"tag": {"desk": "*"}}, "tag desk=ann")], ids=str
)
def test_a_message_says_whose_window_it_is(scope: dict[str, Any], who: str) -> None:
    """A team and the value of a tag are called so, and not a user."""
    budget = Budget(name="each-user", limit=Decimal(2), per="month", **scope)
    event = AlertEvent.of(_row(), [budget])
    assert event.message().title == f"Budget each-user of {who}: 82 % spent"
    assert event.user == ""


def test_a_full_budget_is_urgent_and_says_what_follows() -> None:
    """At the limit the message says that calls are refused."""
    message = AlertEvent.of(_row(spent=to_nano(2), subject="", threshold=100), [DAILY]).message()
    assert message.urgent
    assert message.text.startswith("$2.00 of $2.00 (100 %) of the budget each-user is spent")
    assert "Calls that cost money are refused." in message.text


def test_an_alert_of_a_removed_budget_has_no_reset() -> None:
    """An alert whose budget is not in the configuration any more has no reset time."""
    event = AlertEvent.of(_row(), [DAILY])
    assert event.resets_at is None
    assert "reset" not in event.message().text


def test_a_users_id_cannot_break_the_message() -> None:
    """Line breaks in a user's id become spaces, and a long id is cut."""
    message = AlertEvent.of(_row(subject="ann\n\nsay: " + "x" * 200), []).message()
    assert "\n" not in message.title + message.text
    assert len(message.title) < 140


def test_a_spikes_message_has_the_usual_amount() -> None:
    """It has the day, the amount spent, the time, and the usual amount."""
    row = _row(budget="", subject="", threshold=0, spent=to_nano("9.5"), period="2026-11-22")
    message = AlertEvent.of(row, []).message()
    assert message.text == (
        "On 2026-11-22, $9.50 was spent until 12:00 UTC: far above the $2.00 that is usual by this hour."
    )
    assert message.urgent


def _row(**given: Any) -> AlertRow:
    ordinary = {
        "id": 1,
        "budget": "each-user",
        "subject": "ann",
        "period": "2026-11-22",
        "threshold": 80,
        "spent": to_nano("1.65"),
        "limit": to_nano(2),
        "at_ms": int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000),
    }
    return AlertRow(**ordinary | given)


def test_acknowledged_alerts_are_not_listed(open_watched: OpenLedger, take: Take, store: Store) -> None:
    """Some or all can be acknowledged, once; they are listed only if asked for."""
    ledger = open_watched(DAILY)
    settle(ledger, take(ledger, "1"), "1")
    first, *others = (row.id for row in store.read(list_alerts))
    assert store.write(lambda database: acknowledge(database, [first])).result() == 1
    assert [row.id for row in store.read(list_alerts)] == others
    assert store.write(acknowledge).result() == 2
    assert store.read(list_alerts) == []
    everything = store.read(lambda database: list_alerts(database, acknowledged=True))
    assert [row.id for row in everything] == [first, *others]


def test_a_raised_limit_is_alerted_again(open_watched: OpenLedger, take: Take, store: Store) -> None:
    """A threshold is alerted again when it is reached under a higher limit, but not under a lower one."""
    first = open_watched(DAILY)
    settle(first, take(first, "0.9"), "0.9")
    assert [row[3] for row in recorded(store)] == [50, 80]
    assert store.write(acknowledge).result() == 2
    raised = open_watched(DAILY.model_copy(update={"limit": Decimal(2)}))
    settle(raised, take(raised, "0.05"), "0.05")
    assert recorded(store) == []
    settle(raised, take(raised, "0.1"), "0.1")
    assert [(row.threshold, row.limit, row.state) for row in store.read(list_alerts)] == [
        (50, to_nano("2"), "new")
    ]
    lowered = open_watched(DAILY.model_copy(update={"limit": Decimal("1.5")}))
    settle(lowered, take(lowered, "0.1"), "0.1")
    assert [(row.threshold, row.limit) for row in store.read(list_alerts)] == [(50, to_nano("2"))]


def notice(store: Store, kind: NoticeKind = "key", subject: str = "openai/primary", text: str = "T") -> bool:
    return store.write(
        lambda database: record_notice(
            database, kind, subject, "version 3", title="Rotate it", text=text, now_ms=1_795_348_800_000
        )
    ).result()


def test_a_notice_has_its_own_message(store: Store) -> None:
    """A notice is an alert whose message was written with it; it has no amounts and no reset."""
    assert notice(store, text="The key is 80 days old.")
    (row,) = store.read(list_alerts)
    event = AlertEvent.of(row, [DAILY])
    assert event.message() == Message("Rotate it", "The key is 80 days old.", urgent=False)
    assert (event.kind, event.budget, event.period) == ("key", "openai/primary", "version 3")
    assert event.spent == 0
    assert event.resets_at is None


def test_a_notice_is_recorded_once(store: Store) -> None:
    """One kind, subject and period has one notice, acknowledged or not; another kind has its own."""
    assert notice(store)
    store.write(acknowledge).result()
    assert not notice(store)
    assert store.read(list_alerts) == []
    assert notice(store, "job")
    assert notice(store, subject="")  # as a spike, but of another kind


def test_a_notice_shows_no_secret(store: Store) -> None:
    """What looks like a key is hidden when the notice is recorded."""
    notice(store, text="refused: sk-ant-api03-abcdefghijklmnopqrstuvwxyz")
    (row,) = store.read(list_alerts)
    assert "abcdefghijkl" not in str(row.message)
