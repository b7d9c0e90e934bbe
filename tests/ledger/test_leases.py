"""Money held by a process that died becomes lost; money held by a living one stays held."""

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
from supernova_ai.ledger import End, Entry, Hold, Ledger, holds, leases
from supernova_ai.ledger.budgets import told
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, ProcessRow, WindowRow
from supernova_ai.types import Usage
from tests.forks import FORK, run_in_child
from tests.upkeep.keeping import run, unseen

DAILY = Budget(name="daily", limit=Decimal(1), per="day")

OpenLedger = Callable[..., Ledger]
Take = Callable[..., Hold]
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
    """A ledger whose own process holds money: the attempt named "mine"."""
    ledger = open_ledger(DAILY)
    take(ledger, "0.1", id="mine")
    return ledger


@pytest.fixture
def here(store: Store, ledger: Ledger) -> str:
    """The name of this machine, as its lease has it."""
    (process,) = processes(store)
    return str(process.host)


@pytest.fixture
def gone() -> int:
    """The number of a process that has just ended."""
    process = FORK.Process(target=lambda: None)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


@pytest.fixture
def hold_of(store: Store, make_entry: Callable[..., Entry], clock: SimpleNamespace) -> HoldOf:
    """Put in an attempt "theirs" of a process: its host, number, and seconds until its lease ends."""

    def put(host: str, pid: int, lease_s: float) -> None:
        until = int((clock.now + lease_s) * 1000)

        def operation(database: Any) -> None:
            ProcessRow.insert(id="them", host=host, pid=pid, lease_ms=until).execute(database)
            holds.place(database, make_entry("0.2", id="theirs", process="them"), [])

        store.write(operation).result()

    return put


def test_an_expired_lease_is_swept(store: Store, ledger: Ledger, hold_of: HoldOf) -> None:
    """A process elsewhere that has stopped renewing is taken for dead, and forgotten."""
    hold_of("elsewhere", 1, -0.001)
    assert ledger.sweep() == 1
    assert states(store) == {"mine": HELD, "theirs": LOST}
    assert "them" not in {process.id for process in processes(store)}


def test_a_valid_lease_elsewhere_is_left_alone(
    store: Store, ledger: Ledger, hold_of: HoldOf, gone: int
) -> None:
    """The number of a process on another machine means nothing here."""
    hold_of("elsewhere", gone, 1)
    assert ledger.sweep() == 0
    assert states(store) == {"mine": HELD, "theirs": HELD}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only /proc tells that a process is gone")
def test_a_vanished_process_is_swept_at_once(
    store: Store, ledger: Ledger, hold_of: HoldOf, here: str, gone: int
) -> None:
    """On this machine a process that is gone need not wait for its lease to run out."""
    hold_of(here, gone, 1000)
    assert ledger.sweep() == 1
    assert states(store) == {"mine": HELD, "theirs": LOST}


def test_a_namesake_is_another_machine(
    ledger: Ledger, hold_of: HoldOf, here: str, gone: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines with one hostname and one number of their first namespace are told apart by their boot."""
    hold_of(here, gone, 1000)
    other = tmp_path / "boot_id"
    other.write_text("0b5e0a3c-0000-4000-8000-000000000000\n")
    monkeypatch.setattr(leases, "_BOOT", other)
    assert ledger.sweep() == 0
    monkeypatch.undo()
    assert ledger.sweep() == (1 if Path("/proc/self").exists() else 0)


def test_a_living_process_is_left_alone(store: Store, ledger: Ledger, hold_of: HoldOf, here: str) -> None:
    """A process of this machine that lives and renews keeps what it holds."""
    hold_of(here, os.getppid(), 1)
    assert ledger.sweep() == 0
    assert states(store) == {"mine": HELD, "theirs": HELD}


def test_sweeping_moves_the_money_and_happens_once(
    store: Store, ledger: Ledger, clock: SimpleNamespace
) -> None:
    """What was held is counted as lost in its window, once, and ends at the time of the sweep."""
    clock.now += leases.TERM_S + 1
    assert [ledger.sweep(), ledger.sweep()] == [1, 0]
    (window,) = store.read(lambda database: list(WindowRow.select().execute(database)))
    assert (window.settled, window.held, window.lost) == (0, 0, to_nano("0.1"))
    (attempt,) = store.read(lambda database: list(AttemptRow.select().execute(database)))
    assert (attempt.ended_ms, attempt.basis) == (ledger.now_ms(), "bound")


def test_a_process_swept_too_soon_can_still_settle(
    store: Store, open_ledger: OpenLedger, take: Take, clock: SimpleNamespace
) -> None:
    """A machine that slept through its lease pays the real cost when it wakes."""
    sleeper, other = open_ledger(DAILY), open_ledger(DAILY)
    hold = take(sleeper, "0.4")
    clock.now += leases.TERM_S + 1
    assert other.sweep() == 1
    assert sleeper.end(hold, End("settled", to_nano("0.3"), "exact", Usage(), sleeper.now_ms())).result()
    (window,) = store.read(lambda database: list(WindowRow.select().execute(database)))
    assert (window.settled, window.held, window.lost) == (to_nano("0.3"), 0, 0)


def test_who_was_swept_holds_again_and_dies_is_swept_again(
    store: Store, open_ledger: OpenLedger, take: Take, clock: SimpleNamespace
) -> None:
    """A hold is found even if its process is registered no more and had no time to renew its lease."""
    sleeper, other = open_ledger(DAILY), open_ledger(DAILY)
    take(sleeper, "0.2", id="before")
    clock.now += leases.TERM_S + 1
    assert other.sweep() == 1
    take(sleeper, "0.3", id="after")
    assert [other.sweep(), other.sweep()] == [1, 0]
    assert states(store) == {"before": LOST, "after": LOST}


def test_closing_loses_what_is_still_held(store: Store, ledger: Ledger, hold_of: HoldOf) -> None:
    """A ledger that closes gives up its own open holds, its lease, and nobody else's."""
    hold_of("elsewhere", 1, 1)
    ledger.close()
    assert states(store) == {"mine": LOST, "theirs": HELD}
    assert [process.id for process in processes(store)] == ["them"]
    ledger.close()
    assert states(store) == {"mine": LOST, "theirs": HELD}


def test_a_closed_ledger_can_be_used_again(store: Store, ledger: Ledger, take: Take) -> None:
    """The first hold after closing takes a new lease, under which it is safe."""
    ledger.close()
    take(ledger, "0.1", id="again")
    assert ledger.sweep() == 0
    assert states(store) == {"mine": LOST, "again": HELD}


def test_a_ledger_that_held_nothing_leaves_no_trace(store: Store, open_ledger: OpenLedger) -> None:
    """Opening, reading and closing register no process."""
    ledger = open_ledger(DAILY)
    assert ledger.sweep() == 0
    ledger.close()
    assert processes(store) == []


def test_a_lease_is_renewed_while_its_process_lives(
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


def test_renewal_outlives_a_failure_but_not_its_store(
    store: Store, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    """A renewal that fails is told and tried again; once the store is closed renewing ends, with no word."""
    meanwhile = iter(
        [
            lambda: run(store, "ALTER TABLE process RENAME TO elsewhere"),
            lambda: run(store, "ALTER TABLE elsewhere RENAME TO process"),
            store.close,
        ]
    )

    def wait(stop: threading.Event, seconds: float) -> bool:
        next(meanwhile)()
        return stop.is_set()

    leases.Lease(store, lambda: clock.now, unseen, wait)._beat(threading.Event())
    (told,) = (record for record in caplog.records if record.name == leases.__name__)
    assert told.getMessage().startswith("ledger.lease.not_renewed reason=the database could not be used")
    assert len(processes(store)) == 1


def test_a_forked_child_has_a_lease_of_its_own(store: Store, ledger: Ledger, take: Take) -> None:
    """A child's holds are its own: when it is gone they are swept, and the parent's stay."""

    assert run_in_child(lambda: take(ledger, "0.2", id="child")) == 0
    assert states(store) == {"mine": HELD, "child": HELD}
    assert len(processes(store)) == 2
    assert ledger.sweep() == 1
    assert states(store) == {"mine": HELD, "child": LOST}


def test_a_killed_process_is_swept(store: Store, where: str, ledger: Ledger, take: Take) -> None:
    """SIGKILL between hold and end: the hold was durable, and is found and counted as lost."""
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
def test_a_renewal_looks_at_the_servers_clock_again(where: str, take: Take) -> None:
    """A machine whose own clock has drifted since it opened renews its lease by the server's time."""
    with Store(where) as store:
        ledger = Ledger(store, (DAILY,))
        assert store.now._offset is not None
        store.now._offset += 5000
        take(ledger, "0.1")
        (process,) = processes(store)
        assert abs(process.lease_ms / 1000 - leases.TERM_S - time.time()) < 60
        ledger.close()


def test_processes_with_other_budgets_are_told(
    store: Store, open_ledger: OpenLedger, take: Take, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever comes second says which budgets differ from whose, once; those who agree are not told."""
    budget = Budget(name="daily", limit=Decimal(1), per="day")
    first, same = open_ledger(budget), open_ledger(budget)
    take(first, "0.1")
    take(same, "0.1")
    assert "ledger.budgets.differ" not in caplog.text
    other = open_ledger(budget.model_copy(update={"limit": Decimal(2)}))
    take(other, "0.1")
    warned = [record.getMessage() for record in caplog.records if "budgets.differ" in record.getMessage()]
    assert len(warned) == 2  # of either of the two before it
    assert "daily" in warned[0]
    assert str(os.getpid()) in warned[0]
    (found, *_) = store.read(lambda d: list(leases.others(d, told([budget]), now_ms=first.now_ms())))
    assert found[1] == ["daily"]
