"""Leases: a process that holds money says regularly that it lives; the holds of a dead one become lost.

A lease that ran out is proof enough. On Linux a process of the same machine that is gone is noticed at once.
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

from supernova_ai.ledger import holds, unwritten_ends
from supernova_ai.ledger.budgets import differences
from supernova_ai.ledger.unwritten_ends import Look
from supernova_ai.log import get_logger
from supernova_ai.store import Store, erased
from supernova_ai.store.tables import AttemptRow, ProcessRow, StuckEndRow

log = get_logger(__name__)

TERM_S = 30.0
"""How long a lease lasts, in seconds; it is renewed three times as often."""

_PROC = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """This process's lease, registered by ``keep`` and renewed by a thread of its own.

    Args:
        clock: Unix seconds.
        look: is shown the windows of what this process still held at its end.
        wait: waits so many seconds for the event, and says whether it came.
        renewed: called, on the lease's thread, each time that it was renewed.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        look: Look,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        renewed: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._look = look
        self._renewed = renewed
        self._wait = wait
        self._pid: int | None = None
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._warned: set[tuple[str, str]] = set()
        self.id = ""
        self.budgets = "{}"  # of this process, as ``budgets.told`` writes them

    def keep(self) -> None:
        """Register this process before its first write; afterwards, and until a fork, this does nothing."""
        if self._pid == os.getpid():
            return
        with self._starting:
            if self._pid == os.getpid():
                return
            self.id = uuid.uuid4().hex
            self._stop = threading.Event()
            self._store.write(self._renew)  # the writer keeps order: it is there before any hold
            threading.Thread(
                target=self._beat, args=(self._stop,), name="supernova-lease", daemon=True
            ).start()
            self._pid = os.getpid()  # last: from here on other threads place holds

    def release(self) -> None:
        """Give the lease up; what is still held becomes lost."""
        self._stop.set()
        if self._pid == os.getpid():
            self._store.write(
                lambda database: lose_all(database, self.id, self._now_ms(), self._look)
            ).result()
        self._pid = None

    def _beat(self, stop: threading.Event) -> None:
        while not self._wait(stop, TERM_S / 3):
            try:
                self._store.write(self._renew).result()
                self._renewed()
            except Exception as error:  # whatever it is: without this thread living calls would be swept
                if self._store.closed:
                    return  # without its ledger: the lease runs out, and what is held becomes lost
                log.warning("ledger.lease.not_renewed", reason=str(error))

    def _renew(self, database: Database) -> None:
        self._store.now.follow(database)
        erased.expire(database, now_ms=self._store.now_ms())
        until = self._now_ms() + int(TERM_S * 1000)
        row = {"id": self.id, "host": _host(), "pid": os.getpid(), "lease_ms": until, "budgets": self.budgets}
        ProcessRow.insert(row).on_conflict(
            conflict_target=[ProcessRow.id], preserve=[ProcessRow.lease_ms, ProcessRow.budgets]
        ).execute(database)
        for other, names in others(database, self.budgets, now_ms=self._now_ms()):
            if (self.id != other.id) and (other.id, other.budgets) not in self._warned:
                self._warned.add((other.id, other.budgets))
                log.warning(
                    "ledger.budgets.differ",
                    budgets=names,
                    this_process=os.getpid(),
                    other_process=other.pid,
                    other_host=other.host.split()[0],
                    then="each keeps its own limits only: give both the same configuration",
                )

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def others(database: Database, budgets: str, *, now_ms: int) -> Iterator[tuple[ProcessRow, list[str]]]:
    """Yield each process at work whose budgets are not these, and the names of those that differ."""
    keeping = (ProcessRow.lease_ms >= now_ms) & (ProcessRow.budgets != "{}")
    for process in list(ProcessRow.select().where(keeping).execute(database)):
        if names := differences(budgets, process.budgets):
            yield process, names


def sweep(database: Database, now_ms: int, look: Look) -> int:
    """Turn the holds of dead processes into lost ones; return how many there were.

    Ends that were set aside are tried again first.
    """
    unwritten_ends.retry(database, look, now_ms)
    here = _host()
    dead = [
        process.id
        for process in ProcessRow.select().execute(database)
        if process.lease_ms < now_ms or (process.host == here and _gone(process.pid))
    ]
    # One that was swept, lived on, held again, and died before it renewed its lease: nobody lists it.
    unlisted = (
        AttemptRow.select(AttemptRow.process)
        .where((AttemptRow.state == "held") & AttemptRow.process.not_in(ProcessRow.select(ProcessRow.id)))
        .distinct()
        .tuples()
        .execute(database)
    )
    dead.extend(process for (process,) in unlisted)
    return sum(lose_all(database, process, now_ms, look) for process in dead)


def lose_all(database: Database, process: str, now_ms: int, look: Look) -> int:
    """End every open hold of the process as lost, and forget the process; return how many there were.

    A hold whose end was set aside stays as it is. So does one that the database refuses to end.
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
        gone = holds.lost(hold, ended_ms=now_ms, error="ProcessDied")
        count += bool(unwritten_ends.write(database, (hold, gone), look, now_ms))
    ProcessRow.delete().where(ProcessRow.id == process).execute(database)
    return count


def _host() -> str:
    # Process numbers mean something only within one process namespace of one machine. The first namespace
    # has the same number everywhere, and machines may be called alike: the boot tells them apart.
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()} {boot} {_PROC.readlink()}" if _PROC.exists() else socket.gethostname()


def _gone(pid: int) -> bool:
    return _PROC.exists() and not Path(f"/proc/{pid}").exists()
