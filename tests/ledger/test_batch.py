"""Batches of holds and ends: two round trips each, side by side on a server, and exact all the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pytest
from psycopg.adapt import Dumper

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded, StoreError
from supernova_ai.ledger import Batch, End, Hold, Ledger, Payer
from supernova_ai.ledger.batch import Needs
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.postgres import Postgres
from supernova_ai.types import FailurePattern, Usage
from tests.holds import Paused, cut_off, place_hold, settled, take, wait_for_lock
from tests.recount import attempts, check_store
from tests.store.conftest import insert, names

on_postgres = pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)

ALL = Budget(name="all", limit=Decimal(1), per="month")
EACH = Budget(name="each-user", limit=Decimal(1), per="month", user="*")
CENT = to_nano("0.01")

OpenProcess = Callable[..., Ledger]


@pytest.fixture
def open_process(where: str) -> Iterator[OpenProcess]:
    """Open a store of its own with a ledger of these budgets, as another process has them."""
    with ExitStack() as opened:

        def open_(*budgets: Budget) -> Ledger:
            ledger = Ledger(opened.enter_context(Store(where)), budgets)
            opened.callback(ledger.close)
            return ledger

        yield open_


@on_postgres
def test_a_batch_takes_two_round_trips(open_process: OpenProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold in two budgets, an end, and many of both at once: one trip to read, one to write and commit."""
    ledger = open_process(ALL, EACH)
    ledger.end(take(ledger, "warm", user_id="ann").result(), settled(7, ledger.now_ms())).result()
    trips: list[int] = []
    trip = Postgres.trip

    def counted(self: Postgres, statements: Any) -> Any:
        if statements or self._queue.statements:
            trips.append(len(statements))
        return trip(self, statements)

    monkeypatch.setattr(Postgres, "trip", counted)
    payer: Any = {"provider": "openai", "payer": Payer("ann"), "task": "chat"}
    needs = ledger.needs_of_hold(**payer)
    hold = ledger.write(place_hold(ledger, "one", CENT, user_id="ann"), needs).result()
    assert len(trips) == 2
    assert ledger.end(hold, settled(7, ledger.now_ms())).result()
    assert len(trips) == 4
    busy = Paused(ledger, "busy", user_id="ann")
    futures = [ledger.write(place_hold(ledger, f"many-{n}", CENT, user_id="ann"), needs) for n in range(20)]
    trips.clear()
    busy.go_on.set()
    for future in futures:
        future.result()
    assert len(trips) == 1 + 2  # the commit of the busy one, and those of all others together


@on_postgres
def test_the_server_gets_all_statements_of_a_trip_or_none(open_process: OpenProcess) -> None:
    """A process that is stopped before it has sent all of them keeps no lock, and others write meanwhile."""
    one, other = open_process(ALL), open_process(ALL)
    take(one, "first").result()
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Dumper):
        def dump(self, obj: Any) -> bytes:
            inside.set()
            assert go_on.wait(60)
            return b"1"

    connection: Any = one.store.write(lambda database: database.connection()).result()
    connection.adapters.register_dumper(threading.Event, Slow)
    last = Needs(selects=(("SELECT CAST(? AS INT)", (go_on,)),))
    stopped = one.write(place_hold(one, "stopped", CENT), last)
    assert inside.wait(60)
    assert other.store.write(insert("meanwhile")).result(60) == "meanwhile"
    go_on.set()
    assert stopped.result(60).attempt == "stopped"
    check_store(one.store)


@on_postgres
def test_processes_write_side_by_side(open_process: OpenProcess) -> None:
    """A hold of another user is taken and ended while a transaction is open; other writes wait for it."""
    one, other = open_process(EACH), open_process(EACH)
    take(one, "a", user_id="ann").result()
    take(other, "b", user_id="bob").result()
    paused = Paused(one, "open", user_id="ann")
    beside = take(other, "beside", user_id="bob").result(60)
    assert other.end(beside, settled(7, other.now_ms())).result(60)
    waiting = other.store.write(insert("later"))
    wait_for_lock(one.store)
    assert not waiting.done()
    assert "later" not in names(one.store)
    paused.go_on.set()
    assert waiting.result(60) == "later"
    assert attempts(one.store)["open"].state == "held"
    check_store(one.store)


@on_postgres
def test_a_full_window_is_full_for_a_transaction_that_overlaps(open_process: OpenProcess) -> None:
    """Who waits for a window sees what was taken from it meanwhile."""
    one, other = open_process(ALL), open_process(ALL)
    take(one, "first").result()
    take(other, "second").result()
    paused = Paused(one, "most", to_nano("0.97"))
    refused, fits = take(other, "too-much", 2 * CENT), take(other, "fits", CENT)
    wait_for_lock(one.store)
    paused.go_on.set()
    with pytest.raises(BudgetExceeded):
        refused.result(60)
    assert fits.result(60).amount == CENT
    check_store(one.store)


@on_postgres
def test_a_window_that_opens_counts_what_others_are_writing(open_process: OpenProcess) -> None:
    """A new budget's window opens after the transactions that overlap, and counts their holds."""
    one, other = open_process(EACH), open_process(ALL)
    take(one, "before", user_id="ann").result()
    paused = Paused(one, "meanwhile", to_nano("0.5"), user_id="ann")
    refused = take(other, "too-much", to_nano("0.5"))
    wait_for_lock(one.store)
    paused.go_on.set()
    with pytest.raises(BudgetExceeded) as caught:
        refused.result(60)
    assert caught.value.held == Decimal("0.51")
    take(other, "fits", to_nano("0.49")).result(60)
    assert one.end(paused.future.result(), settled(7, one.now_ms())).result(60)
    check_store(one.store)


@on_postgres
def test_a_deadlock_ends_with_both_done(open_process: OpenProcess) -> None:
    """Two transactions that lock two windows crosswise: the server ends one, which runs again whole."""
    one, other = open_process(EACH), open_process(EACH)
    for name in ("ann", "bob"):
        take(one, f"open-{name}", user_id=name).result()
    take(other, "known", user_id="ann").result()
    met = threading.Barrier(2)
    runs: list[str] = []

    def cross(ledger: Ledger, first: str, second: str) -> Callable[[Batch], None]:
        def operation(batch: Batch) -> None:
            runs.append(first)
            place_hold(ledger, f"{first}-1", CENT, user_id=first)(batch)
            if len(runs) <= 2:
                met.wait(60)
            place_hold(ledger, f"{first}-2", CENT, user_id=second)(batch)

        return operation

    futures = [one.write(cross(one, "ann", "bob")), other.write(cross(other, "bob", "ann"))]
    for future in futures:
        future.result(60)
    assert len(runs) == 3
    assert {"ann-1", "ann-2", "bob-1", "bob-2"} <= attempts(one.store).keys()
    check_store(one.store)


def test_what_cannot_be_written_fails_alone(open_process: OpenProcess) -> None:
    """A row that the database refuses, and an operation that fails half-way, take no other one along."""
    ledger = open_process(ALL, EACH)
    first = take(ledger, "twin").result()

    def half(batch: Batch) -> None:
        place_hold(ledger, "half", CENT)(batch)
        raise LookupError("mine")

    busy = Paused(ledger, "busy")
    good = [take(ledger, "good-1"), take(ledger, "good-2", user_id="ann")]
    twin, failing, text = take(ledger, "twin"), ledger.write(half), take(ledger, "no\ud800text")
    ended = ledger.end(first, settled(7, ledger.now_ms()))
    busy.go_on.set()
    assert [future.result(60).attempt for future in good] == ["good-1", "good-2"]
    assert ended.result(60)
    with pytest.raises(StoreError, match=r"(?i)unique"):
        twin.result(60)
    with pytest.raises(LookupError, match="mine"):
        failing.result(60)
    assert text.exception(60) is not None
    assert attempts(ledger.store).keys() == {"twin", "busy", "good-1", "good-2"}
    check_store(ledger.store)


@on_postgres
def test_a_connection_lost_before_a_batch_is_replaced(open_process: OpenProcess) -> None:
    """The server ended the idle connection: the hold is taken once, on a new one."""
    ledger = open_process(ALL)
    take(ledger, "before").result()
    pid = ledger.store.write(lambda database: database.execute_sql("SELECT pg_backend_pid()").fetchone()[0])
    end_connection(ledger.store, pid.result())
    assert take(ledger, "after").result(60).attempt == "after"
    check_store(ledger.store)


@on_postgres
def test_a_connection_lost_inside_a_batch_takes_nothing(open_process: OpenProcess) -> None:
    """If the connection is cut between reading and writing, no hold of the batch is counted."""
    ledger = open_process(ALL)
    take(ledger, "before").result()

    def cut(batch: Batch) -> Hold:
        hold = place_hold(ledger, "cut", CENT)(batch)
        end_connection(ledger.store, batch.select("SELECT pg_backend_pid()")[0][0])
        return hold

    with pytest.raises(StoreError, match="Try again"):
        ledger.write(cut).result(60)
    assert attempts(ledger.store).keys() == {"before"}
    assert take(ledger, "after").result(60).attempt == "after"
    check_store(ledger.store)


@on_postgres
def test_a_hold_that_is_committed_after_its_connection_was_cut_is_released(open_process: OpenProcess) -> None:
    """Its caller got an error and will not use it. The release waits until the server has written it."""
    ledger = open_process(ALL)
    take(ledger, "before").result()
    with cut_off(ledger, "cut"):
        released = ledger.release(Hold("cut", CENT, ()))
    assert released.result(60)
    assert attempts(ledger.store)["cut"].state == "released"
    check_store(ledger.store)


def end_connection(store: Store, pid: int) -> None:
    """Let the server end a connection, and wait until it has."""
    store.read(lambda database: database.execute_sql("SELECT pg_terminate_backend(%s, 10000)", (pid,)))


def test_a_window_whose_row_has_another_key_is_found_again(open_process: OpenProcess) -> None:
    """After a user was renamed in the database, a known id of a window is not used for another one."""
    ledger = open_process(EACH)
    take(ledger, "old", user_id="ann").result()
    rename = "UPDATE budget_window SET subject = 'nobody' WHERE subject = 'ann'"
    ledger.store.write(lambda database: database.execute_sql(rename)).result()
    changed = "UPDATE attempt SET user_id = 'nobody' WHERE user_id = 'ann'"
    ledger.store.write(lambda database: database.execute_sql(changed)).result()
    old, new = attempts(ledger.store)["old"], take(ledger, "new", user_id="ann").result()
    assert list(new.windows) != json.loads(old.windows)
    check_store(ledger.store)


def test_the_ends_of_one_batch_are_all_counted(open_process: OpenProcess) -> None:
    """Costs, tokens and failures of ends that are written together are as if each were written alone."""
    ledger = open_process(ALL, EACH)
    holds = [take(ledger, f"hold-{n}", user_id=f"u{n % 2}").result() for n in range(6)]
    failure = FailurePattern("f", "RateLimited", 429, "slow down")
    busy = Paused(ledger, "busy")
    ends = [ledger.end(hold, settled(n, ledger.now_ms())) for n, hold in enumerate(holds[:4])]
    for hold in holds[4:]:
        end = End("released", 0, None, Usage(), ledger.now_ms(), error="RateLimited", failure=failure)
        ends.append(ledger.end(hold, end))
    ends.append(ledger.end(holds[0], settled(9, ledger.now_ms())))
    busy.go_on.set()
    assert [end.result(60) for end in ends] == [True] * 6 + [False]
    seen = "SELECT seen FROM failure_pattern"
    assert ledger.store.read(lambda database: database.execute_sql(seen).fetchall()) == [(2,)]
    check_store(ledger.store)
