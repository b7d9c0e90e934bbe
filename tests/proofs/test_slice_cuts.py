"""Processes stopped, cut off and killed as they count in slices, also behind PgBouncer: nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from decimal import Decimal
from itertools import count
from multiprocessing.connection import Connection, wait
from random import Random
from typing import Any

import pytest
from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded, StoreError
from supernova_ai.ledger import Hold, Ledger, leases, slices
from supernova_ai.money import to_nano
from supernova_ai.store import Store, postgres
from supernova_ai.store.bulk import run
from supernova_ai.store.engines import snapshot
from supernova_ai.store.tables import ProcessRow, SliceRow, WindowRow
from tests.databases import new_schema
from tests.holds import CENT, settled, take
from tests.pgbouncer import pooled
from tests.processes import FORK
from tests.recount import attempts, check, check_store
from tests.waiting import comes_true

pytestmark = pytest.mark.proof

PROCESSES = 5
FAULTS = ["stop"] * 8 + ["cut"] * 16 + ["kill"] * 2
ALL = Budget(name="all", limit=Decimal("0.20"), per="month")
LIMIT = to_nano(ALL.limit)
LEAST = CENT // 10

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
    "WHERE relnamespace = current_schema()::regnamespace AND pid <> pg_backend_pid() LIMIT 1"
)


@contextmanager
def direct() -> Iterator[tuple[str, str]]:
    """Give the URL of a new database for the processes, and for the test."""
    with new_schema() as url:
        yield url, url


@contextmanager
def behind_a_pooler() -> Iterator[tuple[str, str]]:
    """Give the URL of a PgBouncer in transaction mode, and one that goes past it."""
    with pooled() as pool:
        yield pool.url, pool.direct


def spend(where: str, number: int, seed: int, tell: Connection) -> None:
    """Hold and settle until told to end; send each attempt, its cost, and whether that is acknowledged.

    An attempt without a hold has no cost.
    """
    chance = Random(f"{seed} {number}")
    held: list[Hold] = []
    with Store(where) as store:
        ledger = Ledger(store, [ALL])
        for turn in count():
            name, most = f"{number}-{turn}", 2
            try:
                held.append(take(ledger, name, LEAST).result())
            except BudgetExceeded:
                most = 0
                tell.send((name, None, True))
            except StoreError:
                ledger.release(Hold(name, LEAST, ()))  # as a call does: it may be committed
                tell.send((name, None, False))
            if told := tell.poll() and tell.recv():
                most = 0
            while len(held) > most:
                hold, cost = held.pop(chance.randrange(len(held))), chance.choice([0, 0, LEAST // 2])
                ended = ledger.end(hold, settled(cost, ledger.now_ms()))
                tell.send((hold.attempt, cost, ended.exception() is None and ended.result()))
            if told:
                break
        ledger.close()


@pytest.mark.parametrize("database", [direct, behind_a_pooler])
def test_processes_that_are_stopped_or_cut_off_lose_nothing(
    database: Callable[[], AbstractContextManager[tuple[str, str]]],
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """5 processes are stopped until their lease has ended, cut off by the server, or killed, anywhere.

    A process that was swept goes on with its holds and slices. At each look the books are right, and the
    limit is not passed. In the end each cost is in its row, no hold is left, and all of the rest can be used.
    """
    begin, *overlapping = (
        sql.replace("'20s'", "'0.3s'")  # the server soon ends the transaction of a stopped process
        for sql in (postgres._BEGIN, *postgres._BEGIN_OVERLAPPING)
    )
    chance = Random(seed)
    workers: dict[Any, Any] = {}
    told: dict[str, tuple[int | None, bool]] = {}
    killed: set[str] = set()
    sliced = False

    def hear(pipe: Any) -> None:
        """Take the next message, or notice that the process has ended."""
        try:
            name, cost, acknowledged = pipe.recv()
            told[name] = cost, acknowledged
        except EOFError:
            workers.pop(pipe).join()

    def look(database: Database) -> int:
        """Check the books as they are committed now; return what the window counts."""
        nonlocal sliced
        with snapshot(database):
            check(database)
            (window,) = WindowRow.select().execute(database)
            sliced |= SliceRow.select().exists(database)
        used = int(window.settled + window.held + window.lost)
        assert used <= LIMIT
        return used

    def cut(database: Database) -> bool:
        return bool(run(database, CUT).fetchall())

    with database() as (where, past), Store(past) as store, ExitStack() as ending:
        ledger = Ledger(store, [ALL])
        with monkeypatch.context() as patch:
            patch.setattr(postgres, "_BEGIN", begin)
            patch.setattr(postgres, "_BEGIN_OVERLAPPING", overlapping)
            patch.setattr(leases, "TERM_S", 3.0)  # a process that was swept soon has a lease again
            patch.setattr(slices, "LEAST_BATCHES", 0)
            for number in range(PROCESSES):
                pipe, theirs = FORK.Pipe()
                process: Any = FORK.Process(target=spend, args=(where, number, seed, theirs))
                process.name = str(number)
                process.start()
                ending.callback(process.kill)  # if the test fails
                theirs.close()
                workers[pipe] = process
                hear(pipe)

        for fault in chance.sample(FAULTS, len(FAULTS)):
            for _ in range(chance.choice([1, 5, 25])):
                hear(chance.choice(wait(workers)))
            pipe, process = chance.choice(list(workers.items()))
            if fault == "cut":
                assert comes_true(lambda: store.read(cut))
            elif fault == "kill":
                process.kill()
                killed.add(process.name)
                while pipe in workers:
                    hear(pipe)
            else:
                os.kill(process.pid, signal.SIGSTOP)
                ended = ProcessRow.update(lease_ms=0).where(ProcessRow.pid == process.pid)
                store.write(ended.execute).result()
                ledger.sweep()
                store.read(look)
                os.kill(process.pid, signal.SIGCONT)
            store.read(look)

        for pipe in workers:
            pipe.send("end")
        survivors = list(workers.values())
        while workers:
            hear(wait(workers)[0])
        assert [process.exitcode for process in survivors] == [0] * (PROCESSES - len(killed))
        ledger.sweep()
        check_store(store)
        rows = attempts(store)
        for name, (cost, acknowledged) in told.items():
            if acknowledged or name.split("-")[0] not in killed:
                row = rows.get(name)
                found = row and row.state != "released" and (row.state, row.cost)
                assert (found or None) == (None if cost is None else ("settled", cost))
        states = {row.state for name, row in rows.items() if name.split("-")[0] not in killed}
        assert states <= {"settled", "released"}
        assert sliced
        assert any(row.late for row in rows.values())
        take(ledger, "rest", LIMIT - store.read(look)).result()
        assert store.read(look) == LIMIT
        ledger.close()
