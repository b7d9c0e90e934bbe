"""Measure how much an archive of old attempts slows down callers, on SQLite and PostgreSQL.

A process makes pairs of holds and their ends, some at once. In each round it runs once while another process
archives a part of the attempts, and once without, in alternating order. The figures compare both of the same
round: medians, with the range.

Run: uv run python benchmarks/archive.py [ATTEMPTS]
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from supernova_ai.config import Budget
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.ledger import End, Entry, Ledger, Payer
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import Usage
from supernova_ai.upkeep.archive import archive_attempts

ROUNDS = 7
AT_ONCE = 8
"""Pairs that the callers run at once."""

SERVER = os.environ.get("SUPERNOVA_TEST_POSTGRES", "postgresql://127.0.0.1/test")
LIMIT = Decimal(1_000_000)
BUDGETS = (
    Budget(name="daily", limit=LIMIT, per="day"),
    Budget(name="each-user", limit=LIMIT, per="day", user="*"),
)
USUAL: dict[str, Any] = {
    "process": "",
    "session_id": None,
    "task": "chat",
    "tier": "standard",
    "provider": "openai",
    "model": "gpt-4o-mini",
    "key_slot": "primary",
    "held_nano": 1_000_000,
    "prompt_name": "chat",
    "prompt_hash": "0" * 16,
    "config_version": "c",
    "price_version": "p",
    "max_tokens": 1024,
}
COST = 400_000
PAGE = 10_000
FIRST_MS = 1_700_000_000_000
"""When the first old attempt started; each later one starts a second after the one before."""


class Round(NamedTuple):
    """What callers did: pairs per second, and the milliseconds that the slowest hold waited."""

    pairs_s: float
    longest_ms: float


def fill(store: Store, count: int) -> None:
    """Write that many old attempts, which count in no window."""
    names = bulk.columns(AttemptRow)
    usual = dict.fromkeys(names) | USUAL
    usual |= {
        "process": "past",
        "state": "settled",
        "cost_nano": COST,
        "cost_basis": "exact",
        "windows": "[]",
    }
    usual |= {"prompt_tokens": 300, "completion_tokens": 100, "latency_ms": 900, "late": 0, "saved_nano": 0}
    usual |= {"cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0}
    for start in range(0, count, PAGE):
        rows = []
        for number in range(start, min(start + PAGE, count)):
            started_ms = FIRST_MS + number * 1000
            own = {
                "id": secrets.token_hex(16),
                "request": secrets.token_hex(16),
                "user_id": f"user-{number % 500}",
            }
            row = usual | own | {"started_ms": started_ms, "ended_ms": started_ms + 900}
            rows.append(tuple(row[name] for name in names))
        store.write(partial(bulk.insert, table=AttemptRow, rows=rows)).result()


def callers(where: str) -> None:
    """Run pairs from each line of standard input to the next; print how many, and the longest wait."""
    with Store(where) as store:
        ledger = Ledger(store, BUDGETS)
        asyncio.run(rounds(ledger))
        ledger.close()


async def rounds(ledger: Ledger) -> None:
    """Run a round for each two lines."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        ended, started = asyncio.Event(), time.perf_counter()
        running = asyncio.gather(*(pairs(ledger, f"user-{number}", ended) for number in range(AT_ONCE)))
        await loop.run_in_executor(None, sys.stdin.readline)
        ended.set()
        waits = [wait for each in await running for wait in each]
        print(len(waits) / (time.perf_counter() - started), max(waits) * 1000, flush=True)


async def pairs(ledger: Ledger, user: str, ended: asyncio.Event) -> list[float]:
    """Take and settle holds one after the other; return the seconds that each hold took."""
    waits = []
    while not ended.is_set():
        now_ms = ledger.now_ms()
        attempt = Entry(
            id=secrets.token_hex(16),
            request=secrets.token_hex(16),
            user_id=user,
            started_ms=now_ms,
            **USUAL,
        )
        needs = ledger.needs_of_hold(provider="openai", payer=Payer(user), task="chat", began_ms=now_ms)
        started = time.perf_counter()
        taking = ledger.write(partial(ledger.hold, entry=attempt, began_ms=now_ms), needs)
        hold = await asyncio.wrap_future(taking)
        waits.append(time.perf_counter() - started)
        end = End("settled", COST, "exact", Usage(prompt=300, completion=100), ledger.now_ms(), 900, 200)
        assert await asyncio.wrap_future(ledger.end(hold, end))
    return waits


class Callers:
    """The process of the callers."""

    def __init__(self, where: str) -> None:
        command = [sys.executable, __file__, "callers", where]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    @contextmanager
    def run(self, done: list[Round]) -> Iterator[None]:
        """Have them call during the block, and add what they did."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        yield
        self.process.stdin.write("\n")
        done.append(Round(*map(float, self.process.stdout.readline().split())))

    def close(self) -> None:
        """End it."""
        self.process.communicate()


@contextmanager
def new_schema() -> Iterator[str | None]:
    """Make a schema and give its URL; None without a server."""
    try:
        import psycopg

        server = psycopg.connect(SERVER, autocommit=True)
    except (ImportError, psycopg.OperationalError):
        yield None
        return
    with server:
        name = f"benchmark_{secrets.token_hex(4)}"
        server.execute(f"CREATE SCHEMA {name}")
        try:
            yield f"{SERVER}{'&' if '?' in SERVER else '?'}options=-csearch_path%3D{name}"
        finally:
            server.execute(f"DROP SCHEMA {name} CASCADE")


def measure(where: str, folder: Path, count: int) -> tuple[list[Round], list[Round], float]:
    """Return the rounds without and with an archive, and how many attempts it moved per second."""
    alone: list[Round] = []
    archiving: list[Round] = []
    with Store(where) as store:
        fill(store, count)
        vault = Vault(store, MasterKey.of(bytes(32)))
        working = Callers(where)
        with working.run([]):
            time.sleep(1)  # it starts, and warms up
        part, taken_s = -(-count // ROUNDS), 0.0

        def archive(number: int) -> float:
            before_ms = FIRST_MS + min((number + 1) * part, count) * 1000
            started = time.perf_counter()
            with working.run(archiving):
                archive_attempts(vault, folder, before_ms=before_ms, now_ms=store.now_ms())
            return time.perf_counter() - started

        for number in range(ROUNDS):
            if number % 2:
                taken_s += archive(number)
            with working.run(alone):
                time.sleep(max(taken_s / number, 1) if number else 3)  # as long as an archive takes
            if not number % 2:
                taken_s += archive(number)
        working.close()
    return alone, archiving, count / taken_s


def main(count: int) -> None:
    """Print a line for each database."""
    heads = f"{'':<11} {'pairs/s':>8} {'archiving':>10} {'ratio':>18} {'longest hold':>22}"
    print(f"{heads} {'archiving':>22} {'moved':>9}")
    with tempfile.TemporaryDirectory() as folder, new_schema() as server:
        places = {"SQLite": str(Path(folder, "ledger.db"))} | ({"PostgreSQL": server} if server else {})
        for name, where in places.items():
            alone, archiving, moved_s = measure(where, Path(folder, name), count)
            ratios = [one.pairs_s / other.pairs_s for one, other in zip(archiving, alone, strict=True)]
            before, during = (statistics.median(one.pairs_s for one in each) for each in (alone, archiving))
            longest = [spread([one.longest_ms for one in each], 0) for each in (alone, archiving)]
            line = f"{name:<11} {before:>8.0f} {during:>10.0f} {spread(ratios, 2):>18}"
            line += "".join(f" {each:>19} ms" for each in longest)
            print(f"{line} {moved_s:>7.0f}/s", flush=True)


def spread(values: list[float], digits: int) -> str:
    """Return the median with the range."""
    middle, least, most = (
        f"{each:.{digits}f}" for each in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({least}-{most})"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["callers", where]:
            callers(where)
        case [count]:
            main(int(count))
        case _:
            main(200_000)
