"""Holds of a dead process become lost; holds of a running one stay held."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai.config import Budget
from supernova_ai.ledger import Entry, Ledger, leases
from supernova_ai.ledger.budgets import describe
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, ProcessRow, WindowRow
from tests.holds import OpenLedger, Take, insert_hold, settle
from tests.processes import FORK, run_in_child
from tests.upkeep.sample_ledger import run, unseen

DAILY = Budget(name="daily", limit=Decimal(1), per="day")

HoldOf = Callable[[str, int, float], None]


def states(store: Store) -> dict[str, tuple[str, str | None]]:
    rows = store.read(lambda database: list(AttemptRow.select().execute(database)))
    return {row.id: (row.state, row.error) for row in rows}


def processes(store: Store) -> list[Any]:
    return store.read(lambda database: list(ProcessRow.select().execute(database)))


HELD = ("held", None)
LOST = ("lost", "ProcessDied")


@pytest.fixture
def ledger(open_ledger: OpenLedger, take: Take) -> Ledger:
    """A ledger whose own process holds money: the attempt "mine"."""
    ledger = open_ledger(DAILY)
    take(ledger, "0.1", id="mine")
    return ledger


@pytest.fixture
def here(store: Store, ledger: Ledger) -> str:
    """This machine's name in its leases."""
    (process,) = processes(store)
    return str(process.host)


@pytest.fixture
def ended_pid() -> int:
    """The number of a process that has just ended."""
    process = FORK.Process(target=lambda: None)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


@pytest.fixture
def hold_of(store: Store, make_entry: Callable[..., Entry], clock: SimpleNamespace) -> HoldOf:
    """Insert an attempt "theirs" of a process: its host, number, and seconds until its lease ends."""

    def put(host: str, pid: int, lease_s: float) -> None:
        until = int((clock.now + lease_s) * 1000)

        def operation(database: Any) -> None:
            ProcessRow.insert(id="them", host=host, pid=pid, lease_ms=until).execute(database)
            insert_hold(database, make_entry("0.2", id="theirs", process="them"), now_ms=until)

        store.write(operation).result()

    return put


def test_an_expired_lease_is_swept(store: Store, ledger: Ledger, hold_of: HoldOf) -> None:
    """A process on another machine that stopped renewing counts as dead, and its lease is deleted."""
    hold_of("elsewhere", 1, -0.001)
    assert ledger.sweep() == 1
    assert states(store) == {"mine": HELD, "theirs": LOST}
    assert "them" not in {process.id for process in processes(store)}


def test_a_valid_lease_on_another_machine_is_kept(
    store: Store, ledger: Ledger, hold_of: HoldOf, ended_pid: int
) -> None:
    """A process number of another machine means nothing on this one."""
    hold_of("elsewhere", ended_pid, 1)
    assert ledger.sweep() == 0
    assert states(store) == {"mine": HELD, "theirs": HELD}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only /proc shows that a process has ended")
def test_a_process_that_ended_is_swept_at_once(
    store: Store, ledger: Ledger, hold_of: HoldOf, here: str, ended_pid: int
) -> None:
    """On this machine the holds of an ended process are lost before its lease runs out."""
    hold_of(here, ended_pid, 1000)
    assert ledger.sweep() == 1
    assert states(store) == {"mine": HELD, "theirs": LOST}


def test_machines_of_the_same_name_are_told_apart(
    ledger: Ledger,
    hold_of: HoldOf,
    here: str,
    ended_pid: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Machines with the same host name and namespace number differ by their boot id."""
    hold_of(here, ended_pid, 1000)
    other = tmp_path / "boot_id"
    other.write_text("0b5e0a3c-0000-4000-8000-000000000000\n")
    monkeypatch.setattr(leases, "_BOOT", other)
    assert ledger.sweep() == 0
    monkeypatch.undo()
    assert ledger.sweep() == (1 if Path("/proc/self").exists() else 0)


def test_a_running_process_keeps_its_holds(store: Store, ledger: Ledger, hold_of: HoldOf, here: str) -> None:
    """A process of this machine that runs and renews keeps what it holds."""
    hold_of(here, os.getppid(), 1)
    assert ledger.sweep() == 0
    assert states(store) == {"mine": HELD, "theirs": HELD}


def test_sweeping_marks_holds_as_lost_once(store: Store, ledger: Ledger, clock: SimpleNamespace) -> None:
    """The held amount counts as lost in its window, once, and ends at the time of the sweep."""
    clock.now += leases.TERM_S + 1
    assert [ledger.sweep(), ledger.sweep()] == [1, 0]
    (window,) = store.read(lambda database: list(WindowRow.select().execute(database)))
    assert (window.settled, window.held, window.lost) == (0, 0, to_nano("0.1"))
    (attempt,) = store.read(lambda database: list(AttemptRow.select().execute(database)))
    assert (attempt.ended_ms, attempt.basis) == (ledger.now_ms(), "bound")


def test_a_process_swept_too_soon_can_still_settle(
    store: Store, open_ledger: OpenLedger, take: Take, clock: SimpleNamespace
) -> None:
    """A machine that slept through its lease settles at the real cost when it wakes."""
    sleeper, other = open_ledger(DAILY), open_ledger(DAILY)
    hold = take(sleeper, "0.4")
    clock.now += leases.TERM_S + 1
    assert other.sweep() == 1
    settle(sleeper, hold, "0.3")
    (window,) = store.read(lambda database: list(WindowRow.select().execute(database)))
    assert (window.settled, window.held, window.lost) == (to_nano("0.3"), 0, 0)


def test_a_hold_of_an_unregistered_process_is_swept(
    store: Store, open_ledger: OpenLedger, take: Take, clock: SimpleNamespace
) -> None:
    """It is found even if its process has no lease any more and had no time to renew one."""
    sleeper, other = open_ledger(DAILY), open_ledger(DAILY)
    take(sleeper, "0.2", id="before")
    clock.now += leases.TERM_S + 1
    assert other.sweep() == 1
    take(sleeper, "0.3", id="after")
    assert [other.sweep(), other.sweep()] == [1, 0]
    assert states(store) == {"before": LOST, "after": LOST}


def test_closing_marks_open_holds_as_lost(store: Store, ledger: Ledger, hold_of: HoldOf) -> None:
    """A ledger that closes ends its own open holds and its lease, and no other process's."""
    hold_of("elsewhere", 1, 1)
    ledger.close()
    assert states(store) == {"mine": LOST, "theirs": HELD}
    assert [process.id for process in processes(store)] == ["them"]
    ledger.close()
    assert states(store) == {"mine": LOST, "theirs": HELD}


def test_a_renewal_during_the_release_leaves_no_lease(store: Store, clock: SimpleNamespace) -> None:
    """A renewal that has begun ends before the lease is deleted, so that it cannot take the lease again."""
    is_set = iter([False, True])

    def wait(stop: threading.Event, _: float) -> bool:
        stop.wait()  # the time to renew comes just before the release
        return next(is_set)

    lease = leases.Lease(store, lambda: clock.now, unseen, wait)
    lease.register()
    lease.release()
    assert next(is_set, None) is None  # it was renewed
    assert processes(store) == []


def test_a_closed_ledger_can_be_used_again(store: Store, ledger: Ledger, take: Take) -> None:
    """The first hold after closing takes a new lease."""
    ledger.close()
    take(ledger, "0.1", id="again")
    assert ledger.sweep() == 0
    assert states(store) == {"mine": LOST, "again": HELD}


def test_a_ledger_without_holds_has_no_lease(store: Store, open_ledger: OpenLedger) -> None:
    """Opening, sweeping and closing register no process."""
    ledger = open_ledger(DAILY)
    assert ledger.sweep() == 0
    ledger.close()
    assert processes(store) == []


def test_a_lease_is_renewed(
    store: Store, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, take: Take
) -> None:
    """Renewal moves the end of the lease on with the clock."""
    monkeypatch.setattr(leases, "TERM_S", 0.003)
    start = clock.now
    renewing = threading.Event()

    def ticking() -> float:
        if clock.now > start:
            renewing.set()
        return float(clock.now)

    ledger = Ledger(store, (), clock=ticking)
    take(ledger, "0.1")
    clock.now += 100
    assert renewing.wait(60)
    store.write(lambda database: None).result()  # by now the renewal is committed
    (process,) = processes(store)
    assert process.lease_ms == int(clock.now * 1000) + 3
    ledger.close()


def test_renewal_continues_after_a_failure_and_ends_with_the_store(
    store: Store, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed renewal is logged and repeated; once the store is closed, renewing ends silently."""
    steps = iter(
        [
            lambda: run(store, "ALTER TABLE process RENAME TO elsewhere"),
            lambda: run(store, "ALTER TABLE elsewhere RENAME TO process"),
            store.close,
        ]
    )

    def wait(stop: threading.Event, seconds: float) -> bool:
        next(steps)()
        return stop.is_set()

    leases.Lease(store, lambda: clock.now, unseen, wait)._renew_until(threading.Event())
    (record,) = (each for each in caplog.records if each.name == leases.__name__)
    assert record.getMessage().startswith("ledger.lease.not_renewed reason=the database could not be used")
    assert len(processes(store)) == 1


def test_a_forked_child_has_a_lease_of_its_own(store: Store, ledger: Ledger, take: Take) -> None:
    """When the child has ended, its holds are swept, and the parent's stay."""

    assert run_in_child(lambda: take(ledger, "0.2", id="child")) == 0
    assert states(store) == {"mine": HELD, "child": HELD}
    assert len(processes(store)) == 2
    assert ledger.sweep() == 1
    assert states(store) == {"mine": HELD, "child": LOST}


def test_a_killed_process_is_swept(store: Store, where: str, ledger: Ledger, take: Take) -> None:
    """SIGKILL between hold and end: the hold was durable, and becomes lost."""
    held, never = FORK.Event(), FORK.Event()

    def victim() -> None:
        with Store(where) as store:
            take(Ledger(store, (DAILY,), clock=time.time), "0.2", id="victim")
            held.set()
            never.wait()

    child = FORK.Process(target=victim)
    child.start()
    assert held.wait(60)
    assert ledger.sweep() == 0
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert ledger.sweep() == 1
    assert states(store) == {"mine": HELD, "victim": LOST}


@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_a_renewal_reads_the_servers_clock_again(where: str, take: Take) -> None:
    """A machine whose clock has drifted since it opened renews its lease by the server's time."""
    with Store(where) as store:
        ledger = Ledger(store, (DAILY,))
        assert store.now._offset is not None
        store.now._offset += 5000
        take(ledger, "0.1")
        (process,) = processes(store)
        assert abs(process.lease_ms / 1000 - leases.TERM_S - time.time()) < 60
        ledger.close()


def test_processes_with_other_budgets_are_logged(
    store: Store, open_ledger: OpenLedger, take: Take, caplog: pytest.LogCaptureFixture
) -> None:
    """The second process logs once which budgets differ from which process; equal budgets are not logged."""
    budget = Budget(name="daily", limit=Decimal(1), per="day")
    first, same = open_ledger(budget), open_ledger(budget)
    take(first, "0.1")
    take(same, "0.1")
    assert "ledger.budgets.differ" not in caplog.text
    other = open_ledger(budget.model_copy(update={"limit": Decimal(2)}))
    take(other, "0.1")
    warned = [record.getMessage() for record in caplog.records if "budgets.differ" in record.getMessage()]
    assert len(warned) == 2  # one for each of the two other processes
    assert "daily" in warned[0]
    assert str(os.getpid()) in warned[0]
    (found, *_) = store.read(
        lambda d: list(leases.processes_with_other_budgets(d, describe([budget]), now_ms=first.now_ms()))
    )
    assert found[1] == ["daily"]
