"""Processes killed while they count in slices: no limit is passed, and the survivors use what is left."""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from itertools import count
from multiprocessing.connection import Connection, wait
from random import Random
from typing import Any

import pytest

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import Ledger, slices
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import SliceRow, WindowRow
from tests.holds import CENT, settled, take
from tests.processes import FORK, end
from tests.recount import attempts, check_store

pytestmark = [
    pytest.mark.proof,
    pytest.mark.parametrize("new_database", ["postgresql"], indirect=True),
]

PROCESSES, KILLED = 8, 4
ALL = Budget(name="all", limit=Decimal("0.40"), per="month")
LIMIT = to_nano(ALL.limit)
LEAST = CENT // 10


def spend(where: str, number: int, seed: int, tell: Connection) -> None:
    """Hold and settle until the budget is full, again when told to; send each attempt and its cost."""
    chance = Random(f"{seed} {number}")
    with Store(where) as store:
        ledger = Ledger(store, [ALL])
        turn, numbers = 0, count()
        while turn < 2:
            name = f"{number}-{next(numbers)}"
            try:
                hold = take(ledger, name, LEAST).result()
            except BudgetExceeded:
                turn += 1
                tell.send(None)
                tell.recv()
                continue
            cost = LEAST if turn else chance.choice([0, LEAST // 2, LEAST])
            assert ledger.end(hold, settled(cost, ledger.now_ms())).result()
            tell.send((name, cost))
        ledger.close()


def used(store: Store) -> int:
    """Return what the window counts, in nano-USD."""
    total = WindowRow.settled + WindowRow.held + WindowRow.lost
    return sum(n for (n,) in store.read(lambda at: list(WindowRow.select(total).tuples().execute(at))))


def test_survivors_use_the_budget_of_killed_processes(
    where: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 of 8 processes are killed anywhere; after a sweep the others use the budget to its last cent.

    No limit is passed at any moment that a reader can see, and no acknowledged cost is lost.
    """
    monkeypatch.setattr(slices, "LEAST_BATCHES", 0)
    chance = Random(seed)
    Store(where).close()
    workers: dict[Any, Any] = {}
    for number in range(PROCESSES):
        hear, tell = FORK.Pipe()
        workers[hear] = FORK.Process(target=spend, args=(where, number, seed, tell))
        workers[hear].start()
        tell.close()
    doomed = {pipe: chance.choice([5, 20, 40, 60]) for pipe in list(workers)[:KILLED]}
    told: dict[str, int] = {}
    waiting: set[Any] = set()
    sliced = False

    with Store(where) as store:

        def hear_until_full() -> None:
            nonlocal sliced
            while waiting != workers.keys():
                pipe: Any
                for pipe in wait(workers.keys() - waiting):
                    try:
                        message = pipe.recv()
                    except EOFError:
                        workers.pop(pipe).join()
                        continue
                    if message is None:
                        waiting.add(pipe)
                    else:
                        told[message[0]] = message[1]
                    if pipe in doomed:
                        doomed[pipe] -= 1
                        if doomed[pipe] == 0 or message is None:
                            waiting.discard(pipe)
                            os.kill(workers[pipe].pid, signal.SIGKILL)
                assert used(store) <= LIMIT
                sliced |= store.read(lambda at: SliceRow.select().exists(at))

        hear_until_full()
        assert len(workers) == PROCESSES - KILLED
        Ledger(store, [ALL]).sweep()
        check_store(store)
        waiting.clear()
        for pipe in workers:
            pipe.send("go on")
        hear_until_full()
        for pipe in workers:
            pipe.send("end")
        end(workers.values())
        assert sliced
        assert LIMIT - LEAST < used(store) <= LIMIT  # costs may end in half of the least hold
        check_store(store)
        rows = attempts(store)
        assert all((rows[name].state, rows[name].cost) == ("settled", cost) for name, cost in told.items())
