"""The process of ``supernova run``: leads or stands by, starts what is due, and ends cleanly.

Jobs run on threads of their own: a long backup delays no alert. The main thread only renews the lease.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Literal

from supernova_ai.audit import acting
from supernova_ai.config import Loaded, read_environ
from supernova_ai.errors import ConfigError, StoreError, SupernovaError
from supernova_ai.keys import open_vault
from supernova_ai.log import get_logger
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.job import Job
from supernova_ai.operations.jobs.leader import TERM_S, Lead, Leader
from supernova_ai.operations.jobs.planned import scheduled
from supernova_ai.operations.jobs.registry import JOBS
from supernova_ai.reload.versions import Versions
from supernova_ai.reload.watcher import require_settings
from supernova_ai.store import Store

log = get_logger(__name__)

Event = Literal["stop", "signal", "watch"]
"""To stop, or why to load the configuration again: a signal, or an edit that the watcher saw."""

GRACE_S = 10.0
"""How long jobs that are running may take to end when the process is told to stop, in seconds."""

_LEAST_WAIT_S = 0.05


class Service:
    """Runs jobs while it leads.

    Args:
        load: returns the configuration; called at the start, and to load it again.
        events: what it is to do. A signal handler may put one.
    """

    def __init__(
        self,
        store: Store,
        load: Callable[[], Loaded],
        events: SimpleQueue[Event],
        *,
        jobs: Sequence[Job] = JOBS,
        term_s: float = TERM_S,
    ) -> None:
        self._store = store
        self._load = load
        self.loaded = load()
        self._versions = Versions(store, open_vault(store, environ=read_environ()))
        self._wanted = scheduled(self.loaded.config, jobs)
        self._events = events
        self._jobs = jobs
        self._leader = Leader(store, term_s=term_s)
        self._renew_s = term_s / 3
        self._lead: Lead | None = None
        self._running: dict[str, threading.Thread] = {}

    def run(self) -> None:
        """Run until told to stop; then wait for running jobs, for some seconds at most, and stop leading."""
        with acting("run"):
            self._record(lambda: self._versions.record(self.loaded, "start"))
            wait_s = self._turn()
            notify("READY=1")
            while (event := self._next_event(wait_s)) != "stop":
                if event is not None:
                    self._reload(event)
                wait_s = self._turn()
                notify("WATCHDOG=1")
            notify("STOPPING=1")
            self._stop()

    def _turn(self) -> float:
        """Renew the lease, start what is due, and return how many seconds to wait before the next turn."""
        renew_s = self._renew_s * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        before, self._lead = self._lead, self._claim()
        if (before is None) != (self._lead is None):
            log.info("jobs.leader.gained" if self._lead else "jobs.leader.lost", holder=self._leader.holder)
        if self._lead is None:
            return renew_s
        try:
            return max(_LEAST_WAIT_S, min(renew_s, self._start_due(self._lead) / 1000))
        except StoreError as error:
            log.warning("jobs.not_started", reason=str(error))
            return renew_s

    def _claim(self) -> Lead | None:
        try:
            return self._leader.claim()
        except StoreError as error:  # its lease runs out, and a process that reaches the database leads
            log.warning("jobs.leader.not_renewed", reason=str(error))
            return None

    def _start_due(self, lead: Lead) -> int:
        """Start every job that is due and not running; return milliseconds until the next one is due."""
        self._running = {name: thread for name, thread in self._running.items() if thread.is_alive()}
        rows = self._store.read(runner.rows)
        waits = [round(self._renew_s * 1000)]
        for job, schedule in self._wanted:
            if job.name in self._running:
                continue
            wait_ms = runner.due_ms(schedule, rows.get(job.name), lead.now_ms) - lead.now_ms
            if wait_ms > 0:
                waits.append(wait_ms)
                continue
            # A daemon: a job that hangs must not keep the process from ending.
            thread = threading.Thread(target=self._work, args=(job, lead), name=job.name, daemon=True)
            self._running[job.name] = thread
            thread.start()
        return min(waits)

    def _work(self, job: Job, lead: Lead) -> None:
        with acting("run"):
            runner.run(job, lead, self._store, self.loaded)

    def _reload(self, cause: Literal["signal", "watch"]) -> None:
        """Load the configuration again, record it, and let the jobs use it; a wrong one changes nothing."""
        try:
            loaded = self._load()
            require_settings(self.loaded, loaded)
            wanted = scheduled(loaded.config, self._jobs)
            if loaded.database != self.loaded.database:
                raise ConfigError("'database' cannot change while the process runs: restart it")
        except ConfigError as error:
            log.error("config.refused", reason=str(error), then="the configuration before stays")
            self._record(partial(self._versions.refused, error, cause))
            return
        self.loaded, self._wanted = loaded, wanted
        log.info("config.applied", version=loaded.version, cause=cause)
        self._record(lambda: self._versions.record(loaded, cause))

    def _record(self, record: Callable[[], object]) -> None:
        """Record a version. The jobs go on if that fails, as it does without the master key."""
        try:
            record()
        except SupernovaError as error:
            log.warning("config.not_recorded", reason=str(error))

    def _stop(self) -> None:
        end = time.monotonic() + GRACE_S
        for name, thread in self._running.items():
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                log.warning("job.cut_short", job=name, then="it runs again at the next start")
        with suppress(StoreError):
            self._leader.release()

    def _next_event(self, wait_s: float) -> Event | None:
        try:
            return self._events.get(timeout=wait_s)
        except Empty:
            return None


def notify(state: str) -> None:
    """Tell systemd a state such as ``READY=1``, if it asked for that (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        connection.send(state.encode())
