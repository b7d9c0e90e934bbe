"""Measure holds and their ends, with everything on, against raw sqlite3 with the same statements.

A pair is a hold in four budgets with a key of the vault, and its settlement; each is durable. Every round
runs all cases for a moment each: on SQLite, on PostgreSQL, and on PostgreSQL behind a proxy that adds a
millisecond to each round trip. The figures are ratios to raw sqlite3 in the same round: medians, with the
range.

Run: uv run python benchmarks/ledger_pairs.py [ROUNDS]
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from supernova_ai.config import Budget
from supernova_ai.keys import KeySource, MasterKey, Vault
from supernova_ai.ledger import Batch, End, Entry, Hold, Ledger, Payer
from supernova_ai.ledger.rollups import ROLLUPS
from supernova_ai.secret import Secret
from supernova_ai.store import Store, bulk
from supernova_ai.types import Usage

SECONDS = 1.0
"""How long a case runs in each round."""

SERVER = os.environ.get("SUPERNOVA_TEST_POSTGRES", "postgresql://127.0.0.1/test")
DELAY_S = 0.0005  # in each direction

LIMIT = Decimal(1_000_000)
BUDGETS = (
    Budget(name="daily", limit=LIMIT, per="day"),
    Budget(name="monthly", limit=LIMIT, per="month"),
    Budget(name="each-user", limit=LIMIT, per="day", user="*"),
    Budget(name="each-team", limit=LIMIT, per="day", team="*"),
)
HELD, COST = 1_000_000, 400_000
USERS = 10


class Case(NamedTuple):
    """One line of the table: the side, how many processes, and how many pairs each runs at once."""

    side: str
    processes: int
    at_once: int


CASES = (
    Case("raw sqlite3", 1, 1),
    Case("raw sqlite3", 4, 1),
    *(
        Case(side, *load)
        for side in ("SQLite", "PostgreSQL", "PostgreSQL + 1 ms")
        for load in ((1, 1), (1, 32), (4, 32))
    ),
)


def entry(number: int, now_ms: int) -> Entry:
    """Return the row of an attempt."""
    return Entry(
        id=secrets.token_hex(16),
        request=secrets.token_hex(16),
        process="",
        user_id=f"user-{number % USERS}",
        session_id=None,
        task="chat",
        tier="standard",
        provider="openai",
        model="gpt-4o-mini",
        key_slot="primary",
        held_nano=HELD,
        started_ms=now_ms,
        prompt_name="chat",
        prompt_hash="0" * 16,
        config_version="c",
        price_version="p",
        max_tokens=1024,
        team="advice",
    )


def settled(now_ms: int) -> End:
    """Return the end of an attempt."""
    return End("settled", COST, "exact", Usage(prompt=300, completion=100), now_ms, 900, 200)


def ours(where: str) -> None:
    """Run rounds through the ledger."""
    with Store(where) as store:
        ledger = Ledger(store, BUDGETS, thresholds=[80])
        vault = Vault(store, MasterKey.of(bytes(32)))
        keys = KeySource(vault, environ={}, allow_environment=False, environment_name="benchmark")
        numbers = count()

        async def pairs(until: float) -> int:
            done = 0
            while time.perf_counter() < until:
                attempt, began_ms = entry(next(numbers), ledger.now_ms()), ledger.now_ms()

                def take(batch: Batch, attempt: Entry = attempt, began_ms: int = began_ms) -> Hold:
                    assert keys.find(batch, "openai", "primary")
                    return ledger.hold(batch, attempt, began_ms=began_ms)

                needs = ledger.needs_of_hold(
                    provider=attempt.provider,
                    payer=Payer(attempt.user_id, attempt.team),
                    task=attempt.task,
                    began_ms=began_ms,
                    selects=[keys.select("openai", "primary")],
                )
                hold = await asyncio.wrap_future(ledger.write(take, needs))
                assert await asyncio.wrap_future(ledger.end(hold, settled(ledger.now_ms())))
                done += 1
            return done

        async def rounds(at_once: int) -> int:
            until = time.perf_counter() + SECONDS
            return sum(await asyncio.gather(*(pairs(until) for _ in range(at_once))))

        answer(lambda at_once: asyncio.run(rounds(at_once)))
        ledger.close()


def raw(where: str) -> None:
    """Run rounds of the same statements, one transaction for a hold and one for its end, in plain sqlite3."""
    database = sqlite3.connect(where, isolation_level=None, timeout=30)
    database.execute("PRAGMA synchronous = FULL")
    numbers = count()
    reserve = (
        "UPDATE budget_window SET held_nano = held_nano + ? "
        "WHERE budget = ? AND subject = ? AND period = ? AND scope = ? "
        "AND settled_nano + held_nano + lost_nano + ? <= ? RETURNING id"
    )
    add = "UPDATE budget_window SET held_nano = held_nano - ?, settled_nano = settled_nano + ? WHERE id = ?"
    find_key = "SELECT id, version, sealed FROM api_key WHERE provider = ? AND slot = ? AND state = 'active'"
    windows = [("daily", "", "2026-11-22"), ("monthly", "", "2026-11"), ("each-team", "advice", "2026-11-22")]
    windows += [("each-user", f"user-{number}", "2026-11-22") for number in range(USERS)]
    for window in windows:
        database.execute(
            "INSERT INTO budget_window (budget, subject, period, scope, settled_nano, held_nano, lost_nano) "
            "VALUES (?, ?, ?, '', 0, 0, 0) ON CONFLICT DO NOTHING",
            window,
        )

    def pair() -> None:
        now_ms, number = int(time.time() * 1000), next(numbers)
        attempt = entry(number, now_ms)
        database.execute("BEGIN IMMEDIATE")
        database.execute(find_key, ("openai", "primary")).fetchone()
        database.execute("SELECT 1 FROM erased WHERE subject = ? AND at_ms >= ?", ("", now_ms)).fetchone()
        counting = [
            database.execute(reserve, (HELD, *window, "", HELD, 10**15)).fetchone()[0]
            for window in (*windows[:3], windows[3 + number % USERS])
        ]
        database.execute(
            "INSERT INTO attempt (id, request, process, user_id, task, tier, provider, model, key_slot, "
            "held_nano, started_ms, prompt_name, prompt_hash, config_version, price_version, max_tokens, "
            "team, windows, state, cost_nano, prompt_tokens, completion_tokens, cached_tokens, "
            "cache_write_tokens, reasoning_tokens, late) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'held', 0, 0, 0, 0, 0, 0, 0)",
            (
                *(attempt.id, attempt.request, "p", attempt.user_id, "chat", "standard", "openai"),
                *(attempt.model, "primary", HELD, now_ms, "chat", "0" * 16, "c", "p", 1024, attempt.team),
                str(counting),
            ),
        )
        database.execute("COMMIT")
        database.execute("BEGIN IMMEDIATE")
        database.execute(
            "UPDATE attempt SET state = 'settled', cost_nano = ?, cost_basis = 'exact', prompt_tokens = 300, "
            "completion_tokens = 100, ended_ms = ?, latency_ms = 900, first_token_ms = 200 "
            "WHERE id = ? AND state = 'held' RETURNING windows, started_ms, provider, model, user_id, team",
            (COST, now_ms, attempt.id),
        ).fetchone()
        for statement, key in upserts(now_ms // 3_600_000, attempt):
            database.execute(statement, key)
        for window_id in counting:
            database.execute(add, (HELD, COST, window_id))
        database.execute("COMMIT")

    def rounds(_: int) -> int:
        until, done = time.perf_counter() + SECONDS, 0
        while time.perf_counter() < until:
            pair()
            done += 1
        return done

    answer(rounds)


def upserts(hour: int, attempt: Entry) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the statements that count a settled attempt in the rollups."""
    model = (hour, attempt.provider, attempt.model)
    keys: dict[str, list[tuple[Any, ...]]] = {
        "usage_rollup": [(*model, attempt.tier, attempt.task, "chat", "")],
        "payer_rollup": [(hour, attempt.user_id, "")],
        "daily_rollup": [(hour // 24, attempt.user_id)],
        "label_rollup": [(hour, "team", attempt.team)],
        "latency_rollup": [(*model, "answer", 20), (*model, "first", 16)],
    }
    for table in ROLLUPS:
        name, key = table._meta.table_name, bulk.key(table)
        amounts = [column for column in bulk.columns(table) if column not in key]
        changes = ", ".join(f"{column} = {name}.{column} + excluded.{column}" for column in amounts)
        marks = ", ".join("?" * len(key) + "1" * len(amounts))
        for values in keys[name]:
            yield (
                f"INSERT INTO {name} ({', '.join((*key, *amounts))}) VALUES ({marks}) "
                f"ON CONFLICT DO UPDATE SET {changes}",
                values,
            )


def answer(rounds: Callable[[int], int]) -> None:
    """Run a round for each number at once read from standard input; print pairs, seconds and CPU seconds."""
    for line in sys.stdin:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        done = rounds(int(line))
        print(done, time.perf_counter() - wall_s, time.process_time() - cpu_s, flush=True)


async def proxy(host: str, port: str) -> None:
    """Pass connections on to the server, each piece of data later by ``DELAY_S``."""
    loop = asyncio.get_running_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            loop.call_later(DELAY_S, writer.write, data)
        loop.call_later(DELAY_S, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


class Process:
    """A process that runs this file, and answers each line that is sent to it."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")

    def hear(self) -> str:
        """Return the next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        self.process.communicate()


@contextmanager
def new_schema() -> Iterator[tuple[str, str, str, str] | None]:
    """Make a schema; give its URL with marks for host and port, and the server's. None without a server."""
    try:
        import psycopg

        server = psycopg.connect(SERVER, autocommit=True)
    except (ImportError, psycopg.OperationalError):
        yield None
        return
    with server:
        name, info = f"benchmark_{secrets.token_hex(4)}", server.info
        server.execute(f"CREATE SCHEMA {name}")
        try:
            url = f"postgresql://{info.user}@HOST:PORT/{info.dbname}?options=-csearch_path%3D{name}"
            yield url, info.host, str(info.port), info.password
        finally:
            server.execute(f"DROP SCHEMA {name} CASCADE")


def measure(workers: dict[str, list[Process]], case: Case) -> tuple[float, float]:
    """Return the pairs per second of the case, and the milliseconds of CPU of a pair."""
    busy = workers[case.side][: case.processes]
    for worker in busy:
        worker.tell(str(case.at_once))
    heard = [worker.hear().split() for worker in busy]
    pairs = sum(int(done) for done, _, _ in heard)
    return pairs / max(float(wall) for _, wall, _ in heard), sum(
        float(cpu) for *_, cpu in heard
    ) * 1000 / pairs


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, new_schema() as schema:
        places = {"raw sqlite3": str(Path(folder, "raw.db")), "SQLite": str(Path(folder, "ours.db"))}
        processes = {}
        if schema:
            url, host, port, password = schema
            processes["proxy"] = Process("proxy", host, port)
            os.environ["PGPASSWORD"] = password
            places["PostgreSQL"] = url.replace("HOST", host).replace("PORT", port)
            behind = url.replace("HOST", "127.0.0.1").replace("PORT", processes["proxy"].hear())
            places["PostgreSQL + 1 ms"] = behind
        for where in dict.fromkeys(list(places.values())[:3]):
            with Store(where) as store:
                Vault(store, MasterKey.of(bytes(32))).add("openai", "primary", Secret("sk-" + "0" * 40))
        workers = {
            side: [Process("raw" if side == "raw sqlite3" else "ours", where) for _ in range(4)]
            for side, where in places.items()
        }
        cases = [case for case in CASES if case.side in workers]
        for case in cases:
            measure(workers, case)  # the first round warms up
        results = [{case: measure(workers, case) for case in cases} for _ in range(rounds)]
        for process in (*(one for side in workers.values() for one in side), *processes.values()):
            process.close()
    show(cases, results)


def show(cases: list[Case], results: list[dict[Case, tuple[float, float]]]) -> None:
    """Print medians over the rounds, with the range."""
    peer = CASES[0]
    print(
        f"{'':<18} {'processes':>9} {'at once':>8} {'pairs/s':>8} {'of raw':>7} {'range':>12} "
        f"{'CPU a pair':>11} {'of raw':>7} {'range':>12}"
    )
    for case in cases:
        line = f"{case.side:<18} {case.processes:>9} {case.at_once:>8}"
        for index, unit in ((0, "{:>8.0f}"), (1, "{:>8.2f} ms")):
            ratios = [result[case][index] / result[peer][index] for result in results]
            spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
            middle = statistics.median(result[case][index] for result in results)
            line += f" {unit.format(middle)} {statistics.median(ratios):>7.2f} {spread:>12}"
        print(line)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ours", where]:
            ours(where)
        case ["raw", where]:
            raw(where)
        case ["proxy", host, port]:
            asyncio.run(proxy(host, port))
        case [rounds]:
            main(int(rounds))
        case _:
            main(7)
