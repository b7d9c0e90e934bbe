"""Measure how much an archive of old attempts slows down callers, on SQLite and PostgreSQL.

A process makes pairs of holds and their ends, some at once. In each round it runs once while this process
archives a part of the attempts, and once without, in alternating order.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.ledger_pairs import entry, settled
from benchmarks.million import DAYS, fill
from benchmarks.results import Ratio
from benchmarks.setting import BUDGETS, MASTER, new_database
from benchmarks.sides import Side
from supernova_ai.keys import Vault
from supernova_ai.ledger import Ledger, Payer
from supernova_ai.store import Store
from supernova_ai.upkeep.archive import archive_attempts

ATTEMPTS, ROUNDS = 200_000, 7
QUICK_ATTEMPTS, QUICK_ROUNDS = 6_000, 2
AT_ONCE = 8
"""Pairs that the callers run at once."""


def callers(where: str) -> None:
    """Run pairs from each line to the next; print how many a second, and the longest wait for a hold."""
    with Store(where) as store:
        ledger = Ledger(store, BUDGETS)
        asyncio.run(_rounds(ledger))
        ledger.close()


async def _rounds(ledger: Ledger) -> None:
    loop, numbers = asyncio.get_running_loop(), count()
    while await loop.run_in_executor(None, sys.stdin.readline):
        ended, started = asyncio.Event(), time.perf_counter()
        running = asyncio.gather(*(_pairs(ledger, numbers, ended) for _ in range(AT_ONCE)))
        await loop.run_in_executor(None, sys.stdin.readline)
        ended.set()
        waits = [wait for each in await running for wait in each]
        print(len(waits) / (time.perf_counter() - started), max(waits), flush=True)


async def _pairs(ledger: Ledger, numbers: Iterator[int], ended: asyncio.Event) -> list[float]:
    """Take and settle holds one after the other; return the seconds that each hold took."""
    waits = []
    while not ended.is_set():
        attempt, now_ms = entry(next(numbers), ledger.now_ms()), ledger.now_ms()
        needs = ledger.needs_of_hold(
            provider=attempt.provider,
            payer=Payer(attempt.user_id, attempt.team),
            task=attempt.task,
            began_ms=now_ms,
        )
        started = time.perf_counter()
        hold = await asyncio.wrap_future(
            ledger.write(partial(ledger.hold, entry=attempt, began_ms=now_ms), needs)
        )
        waits.append(time.perf_counter() - started)
        assert await asyncio.wrap_future(ledger.end(hold, settled(ledger.now_ms())))
    return waits


def measure(_: object, quick: bool) -> Iterator[Ratio]:
    """Yield what callers notice of an archive, for each database."""
    attempts, rounds = (QUICK_ATTEMPTS, QUICK_ROUNDS) if quick else (ATTEMPTS, ROUNDS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {"SQLite": str(folder / "ledger.db")}
        if server := stack.enter_context(new_database()):
            places["PostgreSQL"] = server.url()
        for name, where in places.items():
            taken = list(_run(where, folder / name, attempts, rounds))
            for index, what in enumerate(("pairs per second", "longest wait for a hold")):
                ratios = [during[index] / alone[index] for during, alone in taken]
                yield Ratio("archive", f"{what}: {name}, during an archive", "without one", ratios)


def _run(where: str, folder: Path, attempts: int, rounds: int) -> Iterator[tuple[list[float], list[float]]]:
    """Yield what the callers did with and without an archive, in each round."""
    with Store(where) as store, Side(callers, where) as working:
        fill(store, attempts)
        vault, now_ms = Vault(store, MASTER), store.now_ms()
        took_s = 1.0

        def alone() -> list[float]:
            working.tell("begin")
            time.sleep(took_s)
            return working.ask("end")

        def archiving(number: int) -> list[float]:
            days = DAYS - DAYS * (number + 1) // (rounds + 1)
            working.tell("begin")
            archive_attempts(vault, folder, before_ms=now_ms - days * 86_400_000, now_ms=store.now_ms())
            return working.ask("end")

        alone()  # it warms up
        for number in range(rounds):
            first = alone() if number % 2 else None
            began = time.perf_counter()
            during = archiving(number)
            took_s = max(time.perf_counter() - began, 1.0)  # as long as an archive takes
            yield during, first or alone()
