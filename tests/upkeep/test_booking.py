"""What a provider billed and the ledger does not count is listed, and booked once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.config import Budget
from supernova_ai.errors import InvalidRequest
from supernova_ai.ledger import Hold, Ledger
from supernova_ai.ledger.thresholds import ThresholdWatch
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow, AttemptRow, JournalRow
from supernova_ai.types import Usage
from supernova_ai.upkeep import archive, booking, reconcile
from supernova_ai.upkeep.provider_bills import Bill
from supernova_ai.upkeep.reconcile import Plan
from tests import recount
from tests.clients import vault_of
from tests.holds import Take, Windows, lose, money, release, settle
from tests.upkeep.sample_ledger import BUDGETS, DAY_MS, report, rows, unseen

OPENAI = Budget(name="openai", limit=Decimal("0.01"), per="month", provider="openai")
OTHER = Budget(name="other", limit=Decimal(1), per="day", provider="anthropic")
ALL = (*BUDGETS, OPENAI, OTHER)
CENT = to_nano("0.01")


@pytest.fixture
def ledger(open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger(*BUDGETS)


def exact(ledger: Ledger, hold: Hold) -> Hold:
    return settle(ledger, hold, "0.01", usage=Usage(10, 20))


def plan(store: Store, *bills: Bill) -> Plan:
    return store.read(
        lambda database: reconcile.make_plan(database, bills, provider="openai", tolerance_s=60)
    )


def book(store: Store, found: Plan, ledger: Ledger, check: Any = unseen) -> int:
    return booking.book_lines(
        vault_of(store), found, ALL, check, provider="openai", source="june.csv", clock=ledger.now_ms
    )


def attempts(store: Store) -> dict[str, AttemptRow]:
    return {row.id: row for row in store.read(lambda database: list(AttemptRow.select().execute(database)))}


def line(number: int, at_ms: int, cost: int = CENT, prompt: int = 7, **given: Any) -> Bill:
    return Bill(number, cost, at_ms=at_ms, model="gpt", prompt=prompt, completion=8, **given)


def test_a_line_of_no_attempt_is_counted_in_its_own_period(
    ledger: Ledger, store: Store, take: Take, windows: Windows
) -> None:
    """It gets a row; every budget that applies counts it at its own time, even above the limit."""
    release(ledger, take(ledger, "0.1", provider="openai"))
    old = ledger.now_ms() - 40 * DAY_MS  # October
    found = plan(store, line(2, old, cost=5 * CENT))
    (id_, bill), *others = found.unclaimed
    assert (bill.line, others, found.uncounted) == (2, [], 5 * CENT)
    assert len(attempts(store)) == 1  # a plan writes nothing
    assert book(store, found, ledger) == 1
    row = attempts(store)[id_]
    assert (row.state, row.basis, row.cost, row.started_ms) == ("settled", "exact", 5 * CENT, old)
    assert (row.task, row.provider, row.model, row.prompt, row.completion) == (
        "billed",
        "openai",
        "gpt",
        7,
        8,
    )
    spent = {name: amounts[0] for name, amounts in windows().items() if amounts[0]}
    assert spent == {
        ("daily", "", "2026-10-13"): Decimal("0.05"),
        ("each-user", "", "2026-10"): Decimal("0.05"),
        ("openai", "", "2026-10"): Decimal("0.05"),
    }
    store.read(recount.check)
    assert report(store).problems == ()


def test_a_released_attempt_is_settled_at_its_bill(
    ledger: Ledger, store: Store, take: Take, windows: Windows
) -> None:
    """By its id, or by its time where only one attempt is possible; windows and rollups change."""
    by_id = release(ledger, take(ledger, "0.1", provider="openai", model="another"))
    found = plan(store, Bill(2, CENT, id=by_id.attempt))
    assert [(each.attempt, each.billed) for each in found.released] == [(by_id.attempt, CENT)]
    assert (found.matched, found.unclaimed, found.uncounted) == ((), (), CENT)
    assert book(store, found, ledger) == 1
    by_time = release(ledger, take(ledger, "0.1", provider="openai", model="gpt"))
    found = plan(store, line(3, ledger.now_ms() + 2000))
    assert [each.attempt for each in found.released] == [by_time.attempt]
    assert book(store, found, ledger) == 1
    row = attempts(store)[by_time.attempt]
    assert (row.state, row.cost, row.basis, row.prompt, row.completion) == ("settled", CENT, "exact", 7, 8)
    assert windows()["daily", "", "2026-11-22"] == (Decimal("0.02"), Decimal(0), Decimal(0))
    store.read(recount.check)
    assert report(store).problems == ()


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_line_is_booked_once(ledger: Ledger, store: Store, take: Take, with_ids: bool) -> None:
    """By the same plan, a new one, in another order and in a longer export; equal lines count separately."""
    release(ledger, take(ledger, "0.1", provider="openai", model="another"))
    now = ledger.now_ms()

    def named(number: int) -> dict[str, Any]:
        return {"id": f"r{number}"} if with_ids else {}

    bills = [line(number, now - 1000, **named(number)) for number in (2, 3)]
    bills.append(line(4, now - 600_000, **named(4)))
    first = plan(store, *bills)
    assert len({id_ for id_, _ in first.unclaimed}) == 3
    assert [book(store, first, ledger) for _ in range(2)] == [3, 0]
    longer = [line(9, now - 5_000_000, **named(9)), *reversed(bills)]
    again = plan(store, *longer)
    assert [bill.line for _, bill in again.unclaimed] == [9]
    assert book(store, again, ledger) == 1
    assert sum(row.cost for row in attempts(store).values()) == 4 * CENT
    store.read(recount.check)


@pytest.mark.parametrize("state", ["held", "exact", "two exact", "lost", "two lost"])
def test_a_line_of_a_counted_attempt_is_not_booked(
    ledger: Ledger, store: Store, take: Take, state: str
) -> None:
    """The attempt may be running, have other tokens, or be one of two: its cost is counted already."""
    end = {"exact": exact, "lost": lose}.get(state.rpartition(" ")[2], lambda _, hold: hold)
    for _ in range(2 if state.startswith("two") else 1):
        end(ledger, take(ledger, "0.1", provider="openai", model="gpt"))
    found = plan(store, line(2, ledger.now_ms() + 1000))
    assert (found.released, found.unclaimed) == ((), ())


def test_a_correction_counts_in_a_window_that_a_booking_opened(
    ledger: Ledger, store: Store, take: Take, windows: Windows
) -> None:
    """The window opens when the line is booked, not at the line's time, which may be before the attempt."""
    attempt = exact(ledger, take(ledger, "0.1", provider="openai", model="another")).attempt
    found = plan(store, line(2, ledger.now_ms() - 3_600_000))
    assert book(store, found, ledger) == 1
    assert windows()["openai", "", "2026-11"] == money("0.02", "0", "0")
    correction = reconcile.Correction(attempt, 5 * CENT, "the bill")
    reconcile.settle_attempt(vault_of(store), correction, unseen, now_ms=ledger.now_ms())
    assert windows()["openai", "", "2026-11"] == money("0.06", "0", "0")
    store.read(recount.check)
    assert report(store).problems == ()


def test_every_booking_is_in_the_journal(ledger: Ledger, store: Store, take: Take) -> None:
    """The entry names the export and the line."""
    hold = release(ledger, take(ledger, "0.1", provider="openai"))
    found = plan(store, Bill(2, CENT, id=hold.attempt), line(3, ledger.now_ms() - DAY_MS))
    assert book(store, found, ledger) == 2
    notes = store.read(lambda database: list(JournalRow.select().order_by(JournalRow.id).execute(database)))
    assert {(note.event, note.attempt, note.reason) for note in notes} == {
        ("attempt.corrected", hold.attempt, "june.csv, line 2"),
        ("attempt.billed", found.unclaimed[0][0], "june.csv, line 3"),
    }


def test_the_row_and_its_journal_entry_are_one_transaction(
    ledger: Ledger, store: Store, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal cannot be written, nothing is booked."""
    release(ledger, take(ledger, "0.1", provider="openai"))
    found = plan(store, line(2, ledger.now_ms() - DAY_MS))
    before = rows(store)

    def fail(**_: Any) -> None:
        raise RuntimeError("no journal")

    monkeypatch.setattr(JournalRow, "insert", fail)
    with pytest.raises(RuntimeError, match="no journal"):
        book(store, found, ledger)
    assert rows(store) == before


def test_a_booking_that_fills_a_budget_is_alerted(ledger: Ledger, store: Store, take: Take) -> None:
    """Booked costs reach thresholds like any other spending."""
    release(ledger, take(ledger, "0.1", provider="openai"))
    watch = ThresholdWatch({"openai": CENT}, [50])
    found = plan(store, line(2, ledger.now_ms() - DAY_MS))
    book(store, found, ledger, lambda database, seen: watch.check(database, seen, now_ms=ledger.now_ms()))
    alerts = store.read(lambda database: list(AlertRow.select().execute(database)))
    assert {(alert.budget, alert.threshold) for alert in alerts} == {("openai", 50), ("openai", 100)}


def test_a_line_that_cannot_be_booked_is_refused(
    ledger: Ledger, store: Store, take: Take, tmp_path: Path
) -> None:
    """A line without a time, in the future, or of a possibly archived attempt: nothing is booked."""
    release(ledger, take(ledger, "0.1", provider="openai"))
    now, fine = ledger.now_ms(), line(2, ledger.now_ms() - 40 * DAY_MS)
    before = rows(store)
    with pytest.raises(InvalidRequest, match=r"line 3 has no time.*map 'time'"):
        book(store, plan(store, fine, Bill(3, CENT, id="r3")), ledger)
    with pytest.raises(InvalidRequest, match="line 3 is in the future"):
        book(store, plan(store, fine, line(3, now + DAY_MS)), ledger)
    assert rows(store) == before
    (made,) = archive.archive_attempts(vault_of(store), tmp_path, before_ms=now + 1, now_ms=now)
    release(ledger, take(ledger, "0.1", provider="openai", model="another"))
    found = plan(store, line(3, now))
    with pytest.raises(InvalidRequest, match="line 3 may be the bill of an attempt in the archive"):
        book(store, found, ledger)
    archive.restore_attempts(vault_of(store), tmp_path / made.file, now_ms=now)
    assert plan(store, line(3, now)).uncounted == CENT  # now it is the bill of the released attempt


def test_a_line_that_costs_nothing_is_not_listed(ledger: Ledger, store: Store, take: Take) -> None:
    """A line with a cost of 0 changes nothing."""
    release(ledger, take(ledger, "0.1", provider="openai"))
    assert plan(store, line(2, ledger.now_ms() - DAY_MS, cost=0)).unclaimed == ()
