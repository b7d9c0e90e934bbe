"""Reports and holds on a ledger of a million attempts, compared with an empty one."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from peewee import Database

from benchmarks import startup
from benchmarks.calls import Peers
from benchmarks.results import Ratio, compare
from benchmarks.setting import BUDGETS, PAYER, settings
from benchmarks.sides import in_turn
from supernova_ai.ledger import End, Entry, Ledger, rollups
from supernova_ai.ledger.budgets import period_at, scope_key
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import continue_numbers
from supernova_ai.store.tables import TABLES, AttemptRow, WindowRow
from supernova_ai.types import Usage

DAYS = 90
PAGE = 10_000
PAIRS = 100
"""Holds per round."""

COMMANDS = (
    "costs",
    "costs report",
    "costs report --by user --per month --days 90",
    "costs top",
    "costs forecast",
)
TEAM = PAYER["team"]
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
                "team": TEAM,
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
        payers = (user if budget.user else TEAM if budget.team else "" for budget in BUDGETS)
        keys = ((b.name, payer, self._name(b.per, day)) for b, payer in zip(BUDGETS, payers, strict=True))
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


def pairs(ledger: Ledger, numbers: Iterator[int]) -> float:
    """Take and settle holds one after the other; return the seconds."""
    started = time.perf_counter()
    for number in islice(numbers, PAIRS):
        entry = Entry(
            id=f"pair-{number}",
            request="r",
            process="",
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
            **PAYER,
        )
        hold = ledger.write(partial(ledger.hold, entry=entry)).result()
        ledger.end(hold, End("settled", 500, "exact", Usage(100, 20), ledger.now_ms(), 900)).result()
    return time.perf_counter() - started


def measure(_: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare commands and holds on a full ledger with those on an empty one."""
    attempts, rounds, commands = (2_000, 2, COMMANDS[:1]) if quick else (1_000_000, 5, COMMANDS)
    full, empty = f"{attempts:,} attempts", "an empty ledger"
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{number}.db") for number, name in enumerate((full, empty))}
        for file in files.values():
            text = yaml.safe_dump(settings(str(file), "http://127.0.0.1:1"))
            file.with_suffix(".yaml").write_text(text, encoding="utf-8")
        with Store(str(files[full])) as large, Store(str(files[empty])) as small:
            fill(large, attempts)
            ledgers = {full: Ledger(large, BUDGETS), empty: Ledger(small, BUDGETS)}
            numbers = count()
            runs = {name: partial(pairs, ledger, numbers) for name, ledger in ledgers.items()}
            taken = in_turn(rounds**2, runs)
            for ledger in ledgers.values():
                ledger.close()
        yield from compare("growth", f"time of a hold and its end, {full}", taken, ours=full)
        for line in commands:
            runs = {
                name: partial(
                    startup.command, *line.split(), "--config", str(file.with_suffix(".yaml")), home=folder
                )
                for name, file in files.items()
            }
            taken = in_turn(rounds, runs)
            yield from compare("growth", f"time of supernova {line}, {full}", taken, ours=full)
