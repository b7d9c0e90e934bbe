"""Of several processes one runs each job, once for each time that it is due, whatever happens to them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import pytest
from peewee import Database

from supernova_ai.config import Config, Loaded
from supernova_ai.operations.jobs.job import Context, Job, Outcome
from supernova_ai.operations.jobs.leader import LeaseLost
from supernova_ai.operations.jobs.schedule import Every
from supernova_ai.operations.jobs.service import Service
from supernova_ai.store import Store
from supernova_ai.store.tables import JournalRow
from tests.processes import FORK
from tests.waiting import comes_true

pytestmark = pytest.mark.proof

TERM_S = 0.6
EVERY = Every(0.3)
KILLS = 10
HOUR_S = 3600


def record(context: Context) -> Outcome:
    """Write for which instant this run is, and which process did it, as the job's last change."""

    def write(database: Database) -> str:
        due = str(EVERY.latest(context.now_ms))
        row = {"at_ms": 0, "event": "ran", "before": due, "after": str(os.getpid()), "reason": ""}
        JournalRow.insert(row).execute(database)
        return "ran"

    return write


def serve(where: str, work: Callable[[Context], Outcome] = record, clock_off_s: float = 0) -> None:
    """Do what ``supernova run`` does, with one job, and a clock that is wrong."""
    right = time.time
    time.time = lambda: right() + clock_off_s
    job = Job("proof", "Proof", lambda _: EVERY, work)
    with Store(where) as store:
        Service(store, lambda: Loaded.of(Config()), SimpleQueue(), jobs=[job], term_s=TERM_S).run()


def runs(store: Store) -> list[tuple[str, int]]:
    """Return each run: the instant for which it was, and the process."""
    rows = store.read(lambda database: list(JournalRow.select().order_by(JournalRow.id).execute(database)))
    return [(row.before, int(row.after)) for row in rows]


def test_a_killed_leader_is_replaced_and_no_job_runs_twice(where: str) -> None:
    """Three processes, one an hour ahead and one an hour behind; the leader gets SIGKILL ten times: each
    time another one goes on, and no instant at which the job was due has two runs.
    """
    numbers = count()
    living: dict[int, Any] = {}

    def start() -> None:
        off_s = (HOUR_S, -HOUR_S, 0)[next(numbers) % 3]
        process = FORK.Process(target=serve, args=(where, record, off_s))
        process.start()
        living[process.pid or 0] = process

    with Store(where) as store:
        for _ in range(3):
            start()
        try:
            for _ in range(KILLS):
                assert comes_true(lambda: runs(store)[-1:] and runs(store)[-1][1] in living)
                leader = runs(store)[-1][1]
                living[leader].kill()
                living.pop(leader).join()
                start()
            assert comes_true(lambda: runs(store)[-1][1] in living)
        finally:
            for process in living.values():
                process.kill()
                process.join()
        found = runs(store)
    assert max(Counter(due for due, _ in found).values()) == 1
    assert len({pid for _, pid in found}) > KILLS


def test_a_stalled_leader_writes_nothing_after_it_goes_on(where: str) -> None:
    """A leader is stopped in a job, and another one leads: when it goes on, all its writes are refused."""
    theirs, mine = FORK.Pipe()

    def stall(context: Context) -> Outcome:
        tell: Connection = theirs
        tell.send("begun")
        tell.recv()
        try:
            context.store.write(lambda database: record(context)(database)).result()  # type: ignore[operator]
        except LeaseLost:
            tell.send("refused")
            raise
        tell.send("written")
        return "ended"

    stalled, other = (
        FORK.Process(target=serve, args=(where, stall)),
        FORK.Process(target=serve, args=(where,)),
    )
    stalled.start()
    assert mine.recv() == "begun"
    os.kill(stalled.pid or 0, signal.SIGSTOP)
    other.start()
    try:
        with Store(where) as store:
            assert comes_true(lambda: runs(store))
            os.kill(stalled.pid or 0, signal.SIGCONT)
            mine.send("go on")
            assert mine.recv() == "refused"
            assert {pid for _, pid in runs(store)} == {other.pid}
    finally:
        for process in (stalled, other):
            process.kill()
            process.join()
