"""Processes killed at any moment: acknowledged writes stay, and the holds of killed processes become lost."""

from __future__ import annotations

import os
import signal
from collections import Counter
from decimal import Decimal
from itertools import count
from multiprocessing.connection import Connection, wait
from random import Random
from typing import Any

import pytest

from supernova_ai.config import Budget
from supernova_ai.ledger import Hold, Ledger
from supernova_ai.ledger.leases import TERM_S
from supernova_ai.store import Store
from tests.holds import place_hold, settled
from tests.processes import FORK
from tests.recount import attempts, check_store

pytestmark = pytest.mark.proof

WRITERS = 4
BUDGETS = (
    Budget(name="all", limit=Decimal(1000), per="day"),
    Budget(name="each-user", limit=Decimal(500), per="month", user="*"),
)


def write(where: str, number: int, seed: int, tell: Connection) -> None:
    """Place and settle holds for ever; send each one once it is acknowledged."""
    chance = Random(f"{seed} {number}")
    held: list[Hold] = []
    numbers = count()
    with Store(where) as store:
        ledger = Ledger(store, BUDGETS)
        ledger.sweep()  # as the client does when it opens
        while True:
            names = [f"{number}-{next(numbers)}" for _ in range(chance.randint(1, 6))]
            amounts = [chance.randint(1, 10**6) for _ in names]
            futures = [
                ledger.write(place_hold(ledger, name, amount, user_id=chance.choice(["ann", "bob"])))
                for name, amount in zip(names, amounts, strict=True)
            ]
            for future in futures:
                hold = future.result()
                tell.send(("held", hold.attempt, hold.amount))
                held.append(hold)
            chance.shuffle(held)
            while len(held) > 3:
                hold = held.pop()
                cost = chance.randint(0, hold.amount)
                assert ledger.end(hold, settled(cost, ledger.now_ms())).result()
                tell.send(("settled", hold.attempt, cost))


@pytest.mark.parametrize(
    ("new_database", "kills"), [("sqlite", 200), ("postgresql", 60)], indirect=["new_database"]
)
def test_killed_writers_lose_nothing_they_acknowledged(where: str, kills: int, seed: int) -> None:
    """After SIGKILL at random moments, with several writers, every acknowledged hold and cost is in its row,
    every hold of a killed process becomes lost, and the ledger is consistent.
    """
    chance = Random(seed)
    numbers = iter(range(kills))
    told: list[tuple[str, str, int]] = []
    living: dict[Connection, tuple[Any, int]] = {}

    def start() -> None:
        for number in numbers:
            hear, tell = FORK.Pipe(duplex=False)
            process = FORK.Process(target=write, args=(where, number, seed, tell))
            process.start()
            tell.close()
            living[hear] = process, chance.choice([0, 1, 2, 5, 20, 60])
            break

    for _ in range(WRITERS):
        start()
    while living:
        for hear, (process, patience) in list(living.items()):
            if patience == 0:
                os.kill(process.pid, signal.SIGKILL)
                living[hear] = process, -1
        for ready in wait(list(living)):
            assert isinstance(ready, Connection)
            process, patience = living[ready]
            try:
                told.append(ready.recv())
                living[ready] = process, patience - 1 if patience > 0 else patience
            except EOFError:
                process.join()
                assert process.exitcode == -signal.SIGKILL
                del living[ready]
                start()

    with Store(where) as store:
        after = Ledger(store, BUDGETS, clock=lambda: store.now() + TERM_S + 1)
        after.sweep()
        check_store(store)
        rows = attempts(store)
        for what, attempt, amount in told:
            if what == "held":
                assert rows[attempt].held == amount
            else:
                assert (rows[attempt].state, rows[attempt].cost) == ("settled", amount)
        states = Counter(row.state for row in rows.values())
        assert states["held"] == 0
        assert min(states["settled"], states["lost"]) > kills / 4, "the kills came too early to prove much"
