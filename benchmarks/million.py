"""Measure reports and holds on a ledger of a million attempts, compared with an empty one.

Run: uv run python benchmarks/million.py [ATTEMPTS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger import End, Entry, Ledger, rollups
from supernova_ai.ledger.budgets import period_at, scope_key
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import continue_numbers
from supernova_ai.store.tables import TABLES, AttemptRow, WindowRow
from supernova_ai.types import Usage

DAYS = 90
PAGE = 10_000
PAIRS, ROUNDS = 100, 25
"""Holds per round, and rounds per ledger, in turn. The median of the ratios is printed."""

COMMANDS = (
    ["costs"],
    ["costs", "report"],
    ["costs", "report", "--by", "user", "--per", "month", "--days", "90"],
    ["costs", "top"],
    ["costs", "forecast"],
)
BUDGETS = (
    Budget(name="daily", limit=Decimal(1_000_000), per="day"),
    Budget(name="monthly", limit=Decimal(1_000_000), per="month"),
    Budget(name="each-user", limit=Decimal(1_000_000), per="day", user="*"),
)
MODELS = (
    ("openai", "gpt-4o-mini", "economy"),
    ("openai", "gpt-4o", "standard"),
    ("anthropic", "claude-sonnet", "premium"),
    ("ollama", "llama", "economy"),
)


class Past:
    """Synthetic attempts, evenly spread over the last days, and their sums.

    Args:
        now: Unix seconds at which they end.
    """

    def __init__(self, count: int, now: float) -> None:
        self._count = count
        self._now = now
        self._chance = Random(1)
        self._windows: dict[tuple[str, str, str], int] = {}
        self._scopes = {budget.name: scope_key(budget) for budget in BUDGETS}
        self._used: Counter[int] = Counter()
        self._names: dict[tuple[str, int], str] = {}
        self._sums: dict[str, defaultdict[tuple[Any, ...], Counter[str]]] = {
            table: defaultdict(Counter) for table in rollups.KEY_COLUMNS
        }

    def attempts(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the attempts, and add each to the windows and rollups."""
        chance, names = self._chance, bulk.columns(AttemptRow)
        span = DAYS * 86_400_000
        for number in range(self._count):
            started = int(self._now * 1000) - span + number * span // self._count
            provider, model, tier = chance.choice(MODELS)
            cost, prompt, completion = chance.randint(10_000, 9_000_000), chance.randint(50, 4000), 300
            took, user = chance.randint(200, 9000), f"user-{chance.randrange(500)}"
            refused = chance.random() < 0.03
            row: dict[str, Any] = dict.fromkeys(names) | {
                "id": f"{number:032x}",
                "request": f"{number:032x}",
                "process": "past",
                "user_id": user,
                "task": chance.choice(("chat", "analysis", "summary")),
                "tier": tier,
                "provider": provider,
                "model": model,
                "key_slot": "primary",
                "state": "released" if refused else "settled",
                "held_nano": cost * 2,
                "cost_nano": 0 if refused else cost,
                "cost_basis": None if refused else "exact",
                "prompt_tokens": 0 if refused else prompt,
                "completion_tokens": 0 if refused else completion,
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "reasoning_tokens": 0,
                "started_ms": started,
                "ended_ms": started + took,
                "latency_ms": took,
                "first_token_ms": took // 4,
                "error_class": "RateLimited" if refused else None,
                "prompt_name": "chat",
                "prompt_hash": "0" * 16,
                "config_version": "c",
                "price_version": "p",
                "late": 0,
                "max_tokens": 1024,
                "saved_nano": 0,
            }
            windows = self._of(started // 86_400_000, user)
            self._used.update(dict.fromkeys(windows, row["cost_nano"]))
            row["windows"] = str(windows)
            for table, key, amounts in rollups.contributions(
                rollups.EndedAttempt(*(row[name] for name in rollups.EndedAttempt._fields))
            ):
                self._sums[table][key].update(amounts)
            yield tuple(row[name] for name in names)

    def windows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the windows; call it after the attempts."""
        for key, number in self._windows.items():
            yield (number, *key, self._used[number], 0, 0, self._scopes[key[0]])

    def rollup(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a rollup; call it after the attempts."""
        for key, amounts in self._sums[table].items():
            yield dict(zip(rollups.KEY_COLUMNS[table], key, strict=True)) | amounts

    def _of(self, day: int, user: str) -> list[int]:
        """Return the ids of the windows that apply to an attempt of that day (days since the epoch)."""
        keys = ((b.name, user if b.user else "", self._name(b.per, day)) for b in BUDGETS)
        return [self._windows.setdefault(key, len(self._windows) + 1) for key in keys]

    def _name(self, per: str, day: int) -> str:
        if (per, day) not in self._names:
            at = datetime.fromtimestamp(day * 86_400, ZoneInfo("UTC"))
            self._names[per, day] = period_at(per, at)[0]
        return self._names[per, day]


def fill(store: Store, count: int) -> None:
    """Write that many attempts, with their windows and rollups."""
    past = Past(count, store.now())
    attempts = past.attempts()
    while page := list(islice(attempts, PAGE)):
        store.write(partial(bulk.insert, table=AttemptRow, rows=page)).result()

    def sums(database: Database) -> None:
        bulk.insert(database, WindowRow, list(past.windows()))
        continue_numbers(database, [WindowRow])
        for table in TABLES:
            name, columns = table._meta.table_name, bulk.columns(table)
            if name in rollups.KEY_COLUMNS:
                rows = past.rollup(name)
                bulk.insert(database, table, [tuple(row[column] for column in columns) for row in rows])

    store.write(sums).result()


def pairs(ledger: Ledger, name: str) -> float:
    """Take and settle holds one after the other; return the milliseconds per hold."""
    started = time.perf_counter()
    for number in range(PAIRS):
        entry = Entry(
            id=f"{name}-{number}",
            request="r",
            process="",
            user_id="user-1",
            session_id=None,
            task="chat",
            tier="standard",
            provider="openai",
            model="gpt-4o",
            key_slot="primary",
            held_nano=1000,
            started_ms=ledger.now_ms(),
            prompt_name="chat",
            prompt_hash="0" * 16,
            config_version="c",
            price_version="p",
        )
        hold = ledger.write(partial(ledger.hold, entry=entry)).result()
        ledger.end(hold, End("settled", 500, "exact", Usage(100, 20), ledger.now_ms(), 900)).result()
    return (time.perf_counter() - started) * 1000 / PAIRS


def command(arguments: list[str], config: Path) -> float:
    """Run a supernova command; return its seconds, including the start of Python."""
    supernova = [sys.executable, "-c", "from supernova_ai.cli import main; main()"]
    whole = [*supernova, *arguments, "--config", str(config)]
    started = time.perf_counter()
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"COLUMNS": "120"})
    return time.perf_counter() - started


def main(count: int) -> None:
    """Print the seconds of each command and of each hold, on the full ledger and on an empty one."""
    with (
        tempfile.TemporaryDirectory() as name,
        Store(f"{name}/full.db") as full,
        Store(f"{name}/empty.db") as empty,
    ):
        started = time.perf_counter()
        fill(full, count)
        size = Path(name, "full.db").stat().st_size / 1e6
        print(f"{count:,} attempts, {size:,.0f} MB, made in {time.perf_counter() - started:.0f} s\n")
        print(f"{'seconds, in a process of its own':<70} {'full':>6} {'empty':>6} {'more':>6}")
        configs = [configure(Path(name), which) for which in ("full", "empty")]
        for arguments in COMMANDS:
            runs = [[command(arguments, config) for config in configs] for _ in range(3)]
            slow, fast = (min(times) for times in zip(*runs, strict=True))
            command_line = " ".join(("supernova", *arguments))
            print(f"{command_line:<70} {slow:>6.2f} {fast:>6.2f} {slow - fast:>6.2f}", flush=True)

        ledgers = [Ledger(store, BUDGETS) for store in (full, empty)]
        rounds = [[pairs(ledger, f"{number}") for ledger in ledgers] for number in range(ROUNDS)]
        for ledger in ledgers:
            ledger.close()
        ratio = statistics.median(slow / fast for slow, fast in rounds)
        slow, fast = (statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"\nhold and settle: {slow:.2f} ms full, {fast:.2f} ms empty, ratio {ratio:.2f}")


def configure(folder: Path, which: str) -> Path:
    """Write a configuration for one of the ledgers."""
    config = folder / f"{which}.yaml"
    budgets = [budget.model_dump(mode="json", exclude_defaults=True) for budget in BUDGETS]
    config.write_text(yaml.safe_dump({"database": str(folder / f"{which}.db"), "budgets": budgets}))
    return config


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
