"""Holds and their ends, with everything on, compared with raw sqlite3 with the same statements.

A pair is a hold in four budgets with a key of the vault, and its settlement; each is durable. Every round
runs all loads for a moment each: on SQLite, on PostgreSQL, and on PostgreSQL behind a proxy that adds a
millisecond to each round trip.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.calls import Peers
from benchmarks.results import Ratio
from benchmarks.setting import BUDGETS, MASTER, add_key, new_database
from benchmarks.sides import Side, in_turn
from supernova_ai.keys import KeySource, Vault
from supernova_ai.ledger import Batch, End, Entry, Hold, Ledger, Payer
from supernova_ai.ledger.rollups import ROLLUPS
from supernova_ai.store import Store, bulk
from supernova_ai.types import Usage

DELAY_S = 0.0005  # in each direction
HELD, COST = 1_000_000, 400_000
USERS = 10
RAW, SQLITE, NEAR, FAR = "raw sqlite3", "SQLite", "PostgreSQL", "PostgreSQL, 1 ms away"


class Load(NamedTuple):
    """Where pairs are made, by how many processes, and how many each makes at once."""

    place: str
    processes: int
    at_once: int

    def __str__(self) -> str:
        return f"{self.place}, {self.processes} × {self.at_once} at once"


PEER = Load(RAW, 1, 1)
QUICK = [Load(place, 1, 32) for place in (SQLITE, NEAR)]
LOADS = [Load(RAW, 4, 1)]
LOADS += [Load(place, *load) for place in (SQLITE, NEAR, FAR) for load in ((1, 1), (1, 32), (4, 32))]


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
        vault = Vault(store, MASTER)
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

        async def rounds(at_once: int, seconds: float) -> int:
            until = time.perf_counter() + seconds
            return sum(await asyncio.gather(*(pairs(until) for _ in range(at_once))))

        answer(lambda at_once, seconds: asyncio.run(rounds(at_once, seconds)))
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

    def rounds(_: int, seconds: float) -> int:
        until, done = time.perf_counter() + seconds, 0
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


def answer(rounds: Callable[[int, float], int]) -> None:
    """Run a round of so many at once and seconds for each line; print pairs, seconds and CPU seconds."""
    for line in sys.stdin:
        at_once, seconds = line.split()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        done = rounds(int(at_once), float(seconds))
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


def pairs(workers: dict[str, list[Side]], load: Load, seconds: float) -> tuple[float, float]:
    """Return the pairs per second of a load, and the seconds of CPU of a pair."""
    busy = workers[load.place][: load.processes]
    for worker in busy:
        worker.tell(load.at_once, seconds)
    heard = [[float(figure) for figure in worker.hear().split()] for worker in busy]
    done, wall_s, cpu_s = zip(*heard, strict=True)
    return sum(done) / max(wall_s), sum(cpu_s) / sum(done)


def measure(_: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare pairs per second and the CPU of a pair with raw sqlite3, one pair at a time."""
    rounds, seconds, loads = (3, 0.2, QUICK) if quick else (7, 1.0, LOADS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {RAW: str(folder / "raw.db"), SQLITE: str(folder / "ours.db")}
        if server := stack.enter_context(new_database()):
            behind = stack.enter_context(Side(proxy, server.host, server.port)).hear()
            places[NEAR] = server.url()
            places[FAR] = server._replace(host="127.0.0.1", port=int(behind)).url()
        for place in [place for place in places if place != FAR]:
            add_key(places[place])
        loads = [PEER, *(load for load in loads if load.place in places)]
        workers: dict[str, list[Side]] = {}
        for place in dict.fromkeys(load.place for load in loads):
            number = max(load.processes for load in loads if load.place == place)
            each = [Side(raw if place == RAW else ours, places[place]) for _ in range(number)]
            workers[place] = [stack.enter_context(side) for side in each]
        taken = in_turn(rounds, {str(load): partial(pairs, workers, load, seconds) for load in loads})
    peer = taken.pop(str(PEER))
    for index, measured in enumerate(("pairs per second", "CPU of a pair")):
        for load, figures in taken.items():
            ratios = [mine[index] / raw[index] for mine, raw in zip(figures, peer, strict=True)]
            yield Ratio("ledger", f"{measured}: {load}", str(PEER), ratios)
