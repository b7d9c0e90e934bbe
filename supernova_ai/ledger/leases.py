"""Leases: a process that holds money renews a lease; when the lease runs out, its holds become lost.

On Linux, a process of the same machine that has ended is noticed at once, before its lease runs out.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from peewee import Database

from supernova_ai.ledger import holds, slices, unwritten_ends
from supernova_ai.ledger.budgets import differing_budgets
from supernova_ai.ledger.unwritten_ends import ThresholdCheck
from supernova_ai.log import get_logger
from supernova_ai.store import Store, erased
from supernova_ai.store.tables import AttemptRow, ProcessRow, StuckEndRow

log = get_logger(__name__)

TERM_S = 30.0
"""How long a lease lasts, in seconds; it is renewed three times as often."""

_END_S = 5.0
"""How long releasing a lease waits for its thread, in seconds; the thread may be at a busy database."""

_PROC = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """This process's lease: ``register`` takes it, and a thread of its own renews it.

    Args:
        clock: Unix seconds.
        check_thresholds: called with the windows of what this process still held when it released the lease.
        wait: waits so many seconds for the event, and says whether it was set.
        on_renewed: called on the lease's thread after each renewal.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        check_thresholds: ThresholdCheck,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        on_renewed: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._check_thresholds = check_thresholds
        self._on_renewed = on_renewed
        self._wait = wait
        self._pid: int | None = None
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None
        self._warned: set[tuple[str, str]] = set()
        self.id = ""
        self.budgets = "{}"  # this process's, as ``budgets.describe`` returns them

    def register(self) -> None:
        """Take the lease before this process's first write; later calls do nothing, except after a fork."""
        if self._pid == os.getpid():
            return
        with self._starting:
            if self._pid == os.getpid():
                return
            self.id = uuid.uuid4().hex
            self._stop = threading.Event()
            self._store.write(self._renew)  # the writer keeps the order: this comes before any hold
            self._renewing = threading.Thread(
                target=self._renew_until, args=(self._stop,), name="supernova-lease", daemon=True
            )
            self._renewing.start()
            self._pid = os.getpid()  # last: once it is set, other threads take holds

    @property
    def is_registered(self) -> bool:
        """Whether this process has taken the lease; a fork of it has not."""
        return self._pid == os.getpid()

    def release(self) -> None:
        """End the lease; what is still held becomes lost."""
        self._stop.set()
        if self._pid == os.getpid():
            if self._renewing is not None:
                self._renewing.join(_END_S)  # first: it could take the lease again after it is deleted
            self._store.write(
                lambda database: lose_holds(database, self.id, self._now_ms(), self._check_thresholds)
            ).result()
        self._pid = None

    def _renew_until(self, stop: threading.Event) -> None:
        while not self._wait(stop, TERM_S / 3):
            try:
                self._store.write(self._renew).result()
                self._on_renewed()
            except Exception as error:  # any: if this thread ended, holds of running calls would become lost
                if self._store.closed:
                    return  # the store closed before its ledger: the lease runs out
                log.warning("ledger.lease.not_renewed", reason=str(error))

    def _renew(self, database: Database) -> None:
        self._store.now.follow(database)
        erased.expire(database, now_ms=self._store.now_ms())
        self._check_thresholds(database, slices.fold(database, self.id))  # so that windows are up to date
        until = self._now_ms() + int(TERM_S * 1000)
        row = {"id": self.id, "host": _host(), "pid": os.getpid(), "lease_ms": until, "budgets": self.budgets}
        ProcessRow.insert(row).on_conflict(
            conflict_target=[ProcessRow.id], preserve=[ProcessRow.lease_ms, ProcessRow.budgets]
        ).execute(database)
        for other, names in processes_with_other_budgets(database, self.budgets, now_ms=self._now_ms()):
            if other.id != self.id and (other.id, other.budgets) not in self._warned:
                self._warned.add((other.id, other.budgets))
                log.warning(
                    "ledger.budgets.differ",
                    budgets=names,
                    this_process=os.getpid(),
                    other_process=other.pid,
                    other_host=other.host.split()[0],
                    then="each process enforces its own budgets only: give both the same configuration",
                )

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def processes_with_other_budgets(
    database: Database, budgets: str, *, now_ms: int
) -> Iterator[tuple[ProcessRow, list[str]]]:
    """Yield each process with a lease whose budgets differ from these, and the names that differ.

    Args:
        budgets: as ``budgets.describe`` returns them.
    """
    leased = (ProcessRow.lease_ms >= now_ms) & (ProcessRow.budgets != "{}")
    for process in list(ProcessRow.select().where(leased).execute(database)):
        if names := differing_budgets(budgets, process.budgets):
            yield process, names


def sweep(database: Database, now_ms: int, check_thresholds: ThresholdCheck) -> int:
    """Mark the holds of dead processes as lost; return how many there were.

    Ends that were set aside are tried again first.
    """
    unwritten_ends.retry_set_aside(database, check_thresholds, now_ms)
    here = _host()
    dead = [
        process.id
        for process in ProcessRow.select().execute(database)
        if process.lease_ms < now_ms or (process.host == here and _has_ended(process.pid))
    ]
    # A process that was swept, ran on, took a hold and died before it renewed its lease is in no list; nor is
    # one whose rows were copied from another database.
    unlisted = (
        AttemptRow.select(AttemptRow.process)
        .where((AttemptRow.state == "held") & AttemptRow.process.not_in(ProcessRow.select(ProcessRow.id)))
        .distinct()
        .tuples()
        .execute(database)
    )
    dead.extend({*(process for (process,) in unlisted), *slices.without_lease(database)})
    return sum(lose_holds(database, process, now_ms, check_thresholds) for process in dead)


def lose_holds(database: Database, process: str, now_ms: int, check_thresholds: ThresholdCheck) -> int:
    """End every open hold of the process as lost, and its slices and lease; return how many holds there were.

    A hold stays open if its end was set aside, or if the database refuses to end it.
    """
    open_holds = (
        AttemptRow.select(AttemptRow.id, AttemptRow.held, AttemptRow.windows)
        .where(
            (AttemptRow.process == process)
            & (AttemptRow.state == "held")
            & AttemptRow.id.not_in(StuckEndRow.select(StuckEndRow.attempt))
        )
        .tuples()
        .execute(database)
    )
    count = 0
    for attempt, amount, windows in list(open_holds):
        hold = holds.Hold(attempt, amount, tuple(json.loads(windows)))
        end = holds.lost_end(hold, ended_ms=now_ms, error="ProcessDied")
        ended = unwritten_ends.write_or_set_aside(database, (hold, end), check_thresholds, now_ms)
        count += bool(ended)
    check_thresholds(database, slices.fold(database, process))
    ProcessRow.delete().where(ProcessRow.id == process).execute(database)
    return count


def _host() -> str:
    # A process number is unique within one process namespace of one machine. The first namespace has the same
    # number on every machine, and machines may share a host name: the boot id tells them apart.
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()} {boot} {_PROC.readlink()}" if _PROC.exists() else socket.gethostname()


def _has_ended(pid: int) -> bool:
    return _PROC.exists() and not Path(f"/proc/{pid}").exists()
