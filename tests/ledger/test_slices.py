"""Slices: processes count in a window that all share without waiting for each other, and never exceed it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import pytest

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import Ledger
from supernova_ai.ledger.budgets import Payer
from supernova_ai.ledger.slices import fold
from supernova_ai.money import to_nano
from supernova_ai.reports.status import budget_statuses
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow, SliceRow, WindowRow
from tests.holds import CENT, Paused, cut_off, settled, take
from tests.processes import run_in_child
from tests.recount import check, check_store

pytestmark = pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)

ALL = Budget(name="all", limit=Decimal(1), per="month")
LIMIT = to_nano(ALL.limit)

Ledgers = list[Ledger]


@pytest.fixture
def processes(where: str) -> Iterator[Ledgers]:
    """Two stores with a ledger each, as two processes have them; the window is open and without slices."""
    with ExitStack() as opened:
        ledgers = []
        for _ in range(2):
            ledgers.append(Ledger(opened.enter_context(Store(where)), [ALL], thresholds=[50]))
            opened.callback(ledgers[-1].close)
        for number, ledger in enumerate(ledgers):
            spend(ledger, f"first-{number}", 0)
            ledger.store.write(partial(fold, process=ledger._lease.id)).result(60)
        yield ledgers


def spend(ledger: Ledger, name: str, cost: int, held: int = CENT) -> None:
    assert ledger.end(take(ledger, name, held).result(60), settled(cost, ledger.now_ms())).result(60)


def slices(ledger: Ledger) -> dict[str, Any]:
    """Return the slices by process."""
    rows = ledger.store.read(lambda database: list(SliceRow.select().execute(database)))
    return {row.process: row for row in rows}


def window(ledger: Ledger) -> Any:
    (row,) = ledger.store.read(lambda database: list(WindowRow.select().execute(database)))
    return row


def fill(ledger: Ledger, name: str, amount: int = CENT) -> int:
    """Hold this amount again and again until it is refused; return how often it was not."""
    for number in range(10_000):
        try:
            take(ledger, f"{name}-{number}", amount).result(60)
        except BudgetExceeded:
            return number
    raise AssertionError


def test_processes_do_not_wait_for_each_other(processes: Ledgers) -> None:
    """While one is in the middle of a transaction that counts in the firm's window, the other goes on."""
    one, other = processes
    spend(one, "takes-a-slice", CENT)
    spend(other, "takes-another", CENT)
    assert len(slices(one)) == 2
    paused = Paused(one, "open")
    spend(other, "beside", CENT)
    paused.go_on.set()
    paused.future.result(60)
    check_store(one.store)


def test_a_slice_counts_as_held(processes: Ledgers) -> None:
    """What a process may spend by itself is held in the window; what it has spent is shown as spent."""
    one, _ = processes
    spend(one, "slice", CENT)
    spend(one, "inside", CENT)
    (mine,) = slices(one).values()
    assert (mine.settled, mine.held) == (2 * CENT, -CENT)  # the first hold was the window's own
    assert window(one).held == mine.size + CENT
    (shown,) = one.store.read(
        lambda database: list(budget_statuses(database, [ALL], now=one.now_ms() / 1000))
    )
    assert (shown.settled, shown.held, shown.lost) == (2 * CENT, mine.size - CENT, 0)


def test_slices_become_smaller_and_end(processes: Ledgers) -> None:
    """Each next slice is smaller than the one before; the last cents are held in the window itself."""
    one, _ = processes
    sizes = []
    for number in range(100):
        take(one, f"hold-{number}").result(60)
        if mine := slices(one).get(one._lease.id):
            sizes.append(mine.size)
    distinct = list(dict.fromkeys(sizes))
    assert len(distinct) > 2
    assert distinct == sorted(distinct, reverse=True)
    assert not slices(one)
    assert sum([window(one).settled, window(one).held, window(one).lost]) == LIMIT
    check_store(one.store)


def test_the_last_cent_is_used(processes: Ledgers) -> None:
    """A process gets what the slices of the other have left, down to the last cent, and no more."""
    one, other = processes
    take(one, "slice").result(60)
    assert slices(one)
    assert fill(other, "other") == 99
    assert fill(one, "one") == 0
    assert sum([window(one).settled, window(one).held, window(one).lost]) == LIMIT
    check_store(one.store)


def test_a_hold_larger_than_the_slice_is_taken(processes: Ledgers) -> None:
    """It is more than the slice and less than the window has left; the refusal says what is left in all."""
    one, other = processes
    take(one, "slice").result(60)
    take(other, "another").result(60)
    take(one, "large", 90 * CENT).result(60)
    with pytest.raises(BudgetExceeded) as refused:
        take(other, "too-much", 9 * CENT).result(60)
    assert (refused.value.spent, refused.value.held) == (Decimal(0), Decimal("0.92"))
    check_store(one.store)


@pytest.mark.parametrize("large", [30, 60])
def test_a_refusal_says_what_fits(processes: Ledgers, large: int) -> None:
    """What a shorter answer may cost is what the window has left, with the slices of others."""
    one, other = processes
    take(other, "slice").result(60)
    take(one, "large", large * CENT).result(60)
    assert slices(one)
    left = one.write(lambda batch: one.remaining(batch, provider="openai", payer=Payer(), task="chat"))
    assert left.result(60) == (99 - large) * CENT
    assert not slices(one)


def test_holds_end_wherever_they_were_taken(processes: Ledgers) -> None:
    """A hold of the window ends in a slice, and one of a slice in the window; another process may end it."""
    one, other = processes
    early = take(one, "large", 30 * CENT).result(60)
    assert not slices(one)
    inside = take(one, "small").result(60)
    assert slices(one)
    assert one.end(early, settled(CENT, one.now_ms())).result(60)
    check_store(one.store)
    (mine,) = slices(one).values()
    assert mine.held < 0
    assert other.end(inside, settled(CENT, other.now_ms())).result(60)
    check_store(one.store)
    assert fill(other, "rest") == 98
    check_store(one.store)


def test_a_cost_above_its_hold_does_not_overdraw_a_slice(processes: Ledgers) -> None:
    """The provider charged more than the slice has: the window counts it, over its limit if need be."""
    one, _ = processes
    hold = take(one, "slice").result(60)
    assert one.end(hold, settled(200 * CENT, one.now_ms())).result(60)
    assert not slices(one)
    assert window(one).settled == 200 * CENT
    with pytest.raises(BudgetExceeded):
        take(one, "next").result(60)
    check_store(one.store)


def test_the_slice_of_a_process_that_died_is_given_back(
    processes: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its lease ends, its slice goes back into the window with all that it has counted."""
    one, other = processes
    spend(one, "slice", CENT)
    spend(one, "spent", CENT)
    take(one, "held").result(60)
    assert slices(one)
    monkeypatch.setattr(other, "_clock", lambda: one.now_ms() / 1000 + 3600)
    monkeypatch.setattr("supernova_ai.ledger.leases._has_ended", lambda _: False)
    other.sweep()
    assert not slices(one)
    row = window(one)
    assert (row.settled, row.held, row.lost) == (2 * CENT, 0, CENT)
    spend(one, "it-was-only-slow", CENT)
    check_store(one.store)


def test_closing_gives_the_slice_back(processes: Ledgers) -> None:
    """Nothing stays held for a process that has ended in order."""
    one, other = processes
    spend(one, "slice", CENT)
    spend(other, "another", CENT)
    one.close()
    assert slices(other).keys() == {other._lease.id}
    other.close()
    row = window(other)
    assert (row.settled, row.held, row.lost) == (2 * CENT, 0, 0)


def test_a_lower_limit_holds_at_once(processes: Ledgers) -> None:
    """A slice that was taken under a higher limit has money that the new limit does not have."""
    one, _ = processes
    spend(one, "slice", CENT)
    assert slices(one)
    one.apply([ALL.model_copy(update={"limit": Decimal("0.02")})])
    take(one, "fits").result(60)
    with pytest.raises(BudgetExceeded):
        take(one, "too-much").result(60)
    check_store(one.store)


def test_a_slice_is_added_with_all_that_the_server_still_writes_in_it(processes: Ledgers) -> None:
    """The connection is cut while a hold is written in it, and a reload makes the next hold add it."""
    one, _ = processes
    take(one, "slice").result(60)
    assert slices(one)
    with cut_off(one, "cut"):
        one.apply([ALL])
        after = take(one, "after")
    after.result(60)
    assert window(one).held == sum(part.size for part in slices(one).values()) + 3 * CENT
    check_store(one.store)


def test_a_forked_process_does_not_count_in_its_parents_slice(processes: Ledgers) -> None:
    """It ends a hold of its parent before it takes a lease: only the parent may change the parent's slice."""
    one, _ = processes
    take(one, "slice").result(60)
    hold = take(one, "inside").result(60)
    (before,) = slices(one).values()

    def end() -> None:
        assert one.end(hold, settled(CENT, one.now_ms())).result(60)

    assert run_in_child(end) == 0
    (after,) = slices(one).values()
    assert (after.settled, after.held) == (before.settled, before.held)
    check_store(one.store)


def test_a_single_process_takes_none(where: str) -> None:
    """No other process waits for its locks, so it needs no slice."""
    with Store(where) as store:
        ledger = Ledger(store, [ALL])
        spend(ledger, "one", CENT)
        spend(ledger, "two", CENT)
        assert not slices(ledger)
        ledger.close()


def test_an_alert_comes_at_what_all_have_spent(processes: Ledgers) -> None:
    """Half of the budget is spent in two slices, neither of which has half."""
    one, other = processes
    for number in range(26):
        spend(one, f"one-{number}", CENT)
        spend(other, f"other-{number}", CENT)
    assert slices(one)
    (alert,) = one.store.read(lambda database: list(AlertRow.select().execute(database)))
    assert (alert.threshold, alert.spent) == (50, 50 * CENT)


def test_the_books_are_right_after_each_step(
    processes: Ledgers, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds of any size, ends of any cost, by either process; renewed leases, and small slices."""
    monkeypatch.setattr("supernova_ai.ledger.slices.LEAST_BATCHES", 1)
    chance = Random(seed)
    open_holds = []
    overrun = 0
    for step in range(100):
        ledger = chance.choice(processes)
        action = chance.choice(["hold", "hold", "hold", "end", "end", "renew"])
        if action == "hold":
            with suppress(BudgetExceeded):
                amount = chance.choice([CENT // 100, CENT // 10, CENT, 9 * CENT])
                open_holds.append(take(ledger, f"hold-{step}", amount).result(60))
        elif action == "end" and open_holds:
            hold = open_holds.pop(chance.randrange(len(open_holds)))
            cost = int(hold.amount * chance.choice([0, 0.3, 1, 1.5]))
            overrun += max(0, cost - hold.amount)
            assert ledger.end(hold, settled(cost, ledger.now_ms())).result(60)
        elif action == "renew":
            ledger.store.write(ledger._lease._renew).result(60)
        ledger.store.read(check)
        used = [window(ledger).settled, window(ledger).held, window(ledger).lost]
        assert sum(used) <= LIMIT + overrun
    check_store(processes[0].store)


def test_threads_of_two_processes_use_all_and_no_more(processes: Ledgers, seed: int) -> None:
    """They hold and end at once, until nothing is left."""
    chance = Random(seed)

    def run(ledger: Ledger, name: str, amounts: list[int]) -> None:
        for number, amount in enumerate(amounts):
            with suppress(BudgetExceeded):
                hold = take(ledger, f"{name}-{number}", amount).result(60)
                if number % 3:
                    assert ledger.end(hold, settled(amount // 2, ledger.now_ms())).result(60)

    with ThreadPoolExecutor() as threads:
        for number, ledger in enumerate(processes * 3):
            amounts = [chance.randint(CENT // 20, CENT) for _ in range(60)]
            threads.submit(run, ledger, f"thread-{number}", amounts)
    one, other = processes
    check_store(one.store)
    used = [window(one).settled, window(one).held, window(one).lost]
    assert sum(used) <= LIMIT
    least = LIMIT // 1000
    for number, ledger in enumerate(processes):
        fill(ledger, f"rest-{number}", least)
    used = [window(other).settled, window(other).held, window(other).lost]
    assert LIMIT - least < sum(used) <= LIMIT
    check_store(one.store)
