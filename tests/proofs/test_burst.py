"""Many processes at once: no limit is exceeded at any moment, and the budgets are used up."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from random import Random
from typing import Any

import pytest
from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import End, Hold, Ledger, labels
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import WindowRow
from supernova_ai.types import Usage
from tests.holds import place_hold, settled
from tests.processes import FORK
from tests.recount import attempts, check_store

pytestmark = pytest.mark.proof

PROCESSES, TASKS = 4, 50
BUDGETS = (
    Budget(name="all", limit=Decimal("0.50"), per="day"),
    Budget(name="openai", limit=Decimal("0.30"), per="week", provider="openai"),
    Budget(name="each-user", limit=Decimal("0.25"), per="month", user="*"),
    Budget(name="summaries", limit=Decimal("0.10"), per="day", task="summary"),
    Budget(name="each-team", limit=Decimal("0.25"), per="day", team="*"),
    Budget(name="fx-desk", limit=Decimal("0.10"), per="day", tag={"desk": "fx"}),
    Budget(name="each-book", limit=Decimal("0.30"), per="week", tag={"book": "*"}),
)
TAGS: tuple[dict[str, str], ...] = (
    {},
    {"desk": "fx"},
    {"book": "a", "desk": "fx"},
    {"book": "a"},
    {"book": "b"},
)
LIMITS = {budget.name: to_nano(budget.limit) for budget in BUDGETS}
LEAST, MOST = to_nano("0.001"), to_nano("0.005")  # of a hold: a hundred of the largest fit the budget


async def spend(ledger: Ledger, name: str, chance: Random) -> None:
    """Make one attempt after another until a budget that applies to this task is used up."""
    who = {
        "provider": chance.choice(["openai", "ollama"]),
        "user_id": chance.choice(["ann", "bob", "cid", None]),
        "task": chance.choice(["chat", "chat", "summary"]),
        "team": chance.choice(["fx", "fx", "fx", "rates", None]),
        "tags": labels.to_text(chance.choice(TAGS)),
    }
    number = 0
    amount = chance.randint(LEAST, MOST)
    while True:
        try:
            operation = place_hold(ledger, f"{name}-{number}", amount, **who)
            hold: Hold = await asyncio.wrap_future(ledger.write(operation))
        except BudgetExceeded as refusal:
            left = to_nano(refusal.left)
            if left >= LEAST:
                amount = min(amount, left)
            elif refusal.held == 0:
                return
            await asyncio.sleep(chance.uniform(0.002, 0.02))
            continue
        await asyncio.sleep(chance.uniform(0, 0.005))
        end = settled(chance.randint(0, amount), ledger.now_ms())
        if chance.random() < 0.1:
            end = End("released", 0, None, Usage(), ledger.now_ms(), error="RateLimited")
        assert await asyncio.wrap_future(ledger.end(hold, end))
        number += 1
        amount = chance.randint(LEAST, MOST)


def worker(where: str, number: int, seed: int) -> None:
    """Run one process: one event loop with its tasks, and one ledger."""

    async def burst(ledger: Ledger) -> None:
        async with asyncio.timeout(120):
            names = [f"{number}-{task}" for task in range(TASKS)]
            await asyncio.gather(*(spend(ledger, name, Random(f"{seed} {name}")) for name in names))

    with Store(where) as store:
        ledger = Ledger(store, BUDGETS, thresholds=[50, 80])
        asyncio.run(burst(ledger))
        ledger.close()


def watch(where: str, done: Event, tell: Connection) -> None:
    """Read the committed windows until done; send the number of reads and the worst excess by budget."""

    def look(database: Database) -> tuple[int, dict[str, int]]:
        looks, worst = 0, dict.fromkeys(LIMITS, -(2**62))
        used = WindowRow.settled + WindowRow.held + WindowRow.lost
        while not done.is_set():
            looks += 1
            for budget, amount in WindowRow.select(WindowRow.budget, used).tuples().execute(database):
                worst[budget] = max(worst[budget], amount - LIMITS[budget])
            time.sleep(0.002)
        return looks, worst

    with Store(where) as store:
        tell.send(store.read(look))


def test_burst_fills_the_budgets_and_never_exceeds_them(where: str, seed: int) -> None:
    """4 processes of 50 tasks never exceed a limit in any committed state, and use at least 95 % of it."""
    done = FORK.Event()
    told, tell = FORK.Pipe(duplex=False)
    Store(where).close()
    watching = FORK.Process(target=watch, args=(where, done, tell))
    workers: list[Any] = [FORK.Process(target=worker, args=(where, n, seed)) for n in range(PROCESSES)]
    for process in (watching, *workers):
        process.start()
    for process in workers:
        process.join()
    done.set()
    looks, worst = told.recv()
    watching.join()

    assert [process.exitcode for process in workers] == [0] * PROCESSES
    assert looks > 10
    assert max(worst.values()) <= 0, f"a limit was passed: {worst}"
    for reached in ("all", "each-team", "fx-desk"):
        assert worst[reached] == 0 or worst[reached] > -LEAST
    with Store(where) as store:
        check_store(store)
        rows = attempts(store).values()
        assert {row.state for row in rows} == {"settled", "released"}
        spent = sum(row.cost for row in rows)
        assert 0.95 * LIMITS["all"] <= spent <= LIMITS["all"]
