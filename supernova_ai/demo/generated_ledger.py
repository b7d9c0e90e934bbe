"""A store of generated data: six weeks of a small firm's, and new attempts while it is open."""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from peewee import Database

from supernova_ai import health
from supernova_ai.config import Config, Loaded
from supernova_ai.demo.generated_advice import add_advice
from supernova_ai.demo.generated_attempts import DAY_MS, Attempt, Requests
from supernova_ai.demo.generated_operations import Operations
from supernova_ai.errors import BudgetExceeded
from supernova_ai.health import CircuitState, DeploymentIdentity
from supernova_ai.ledger import Entry, Hold, Ledger, rollups
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import RATING_SCALE, AttemptRow, RatingRow, Table

DAYS = 45
REQUESTS = 10_000

_AFTERNOON_MS = 572_400_000
"""A Wednesday, 15:00: the present of the generated data, whenever they are generated."""

_LATEST_MS = 120_000
_JOBS_EVERY_S = 10
_CONFIG: dict[str, Any] = {
    "environment": "demo",
    "health": {"probes": "off"},
    "budgets": [
        {"name": "firm", "limit": "100", "per": "month"},
        {"name": "firm-today", "limit": "15", "per": "day"},
        {"name": "anthropic", "limit": "9", "per": "week", "provider": "anthropic"},
        {"name": "research", "limit": "8", "per": "week", "team": "research"},
        {"name": "each-user", "limit": "2", "per": "day", "user": "*"},
        {"name": "analysis", "limit": "85", "per": "month", "task": "analysis"},
    ],
    "backup": {"schedule": "daily"},
    "reports": {"periods": ["week", "month"]},
}


@contextmanager
def generated_ledger() -> Iterator[Loaded]:
    """Yield the configuration of a new store in a temporary folder, to which a thread adds attempts."""
    with tempfile.TemporaryDirectory(prefix="supernova-demo-") as folder:
        config = Config.model_validate(_CONFIG | {"database": str(Path(folder, "demo.db"))})
        with Store(str(config.database)) as store:
            operations = Operations(store, config)
            chance = Random(7)  # noqa: S311 - not for secrets
            requests = Requests(chance, config, operations.version_at)
            fill = partial(_fill, chance=chance, requests=requests, now_ms=store.now_ms())
            latest = store.write(fill).result()
            ledger = Ledger(store, config.all_budgets, thresholds=config.alerts.thresholds)
            with _in_background(partial(_work, chance, requests, ledger, operations, latest)):
                yield Loaded.of(config)
            ledger.close()


def _fill(database: Database, chance: Random, requests: Requests, now_ms: int) -> list[Attempt]:
    """Write past attempts with their sums, failures and ratings, advice, and an open circuit breaker.

    The latest attempts are returned, for the ledger to take and end their holds.
    """
    made = [requests.make(started_ms, now_ms) for started_ms in sorted(_times(chance, now_ms))]
    every = [attempt for call in made for attempt in call]
    attempts = [attempt for attempt in every if attempt.end.ended_ms <= now_ms - _LATEST_MS]
    rows = list(map(_row, attempts))
    _insert(database, AttemptRow, rows)
    for table, found in _sums(rows):
        _insert(database, table, found)
    failures = rollups.Sums()
    for attempt in attempts:
        if failure := attempt.end.failure:
            where = {"provider": attempt.entry.provider, "model": attempt.entry.model}
            failures.add_failure(failure, **where, at_ms=attempt.end.ended_ms)
    bulk.run_all(database, list(failures.statements()))
    _insert(database, RatingRow, list(_ratings(chance, attempts)))
    add_advice(database, chance, made)
    cooling = DeploymentIdentity("standard", "huggingface", "openai/gpt-oss-120b:groq", "primary")
    open_ = CircuitState(cooling, "open", now_ms - 20_000, now_ms + 600_000, 3, "ProviderUnavailable")
    health.record(database, open_)
    return [attempt for attempt in every if attempt.end.ended_ms > now_ms - _LATEST_MS]


def _times(chance: Random, now_ms: int) -> Iterator[int]:
    """Yield the times of the past requests: most of them on weekdays, around the early afternoon."""
    made = 0
    while made < REQUESTS:
        ago_ms = int(chance.random() * DAYS * DAY_MS)
        days = (_AFTERNOON_MS - ago_ms) / DAY_MS
        weekday, hour = int(days // 1 + 3) % 7, days % 1 * 24
        busy = 0.12 + 0.88 * math.exp(-(((hour - 13.5) / 4.2) ** 2))
        if chance.random() < busy * (1 if weekday < 5 else 0.3):
            made += 1
            yield now_ms - ago_ms
    yield from (now_ms - int(chance.random() * 3_600_000) for _ in range(500))  # a busy last hour


def _row(attempt: Attempt) -> dict[str, Any]:
    """Return the columns of an ended attempt."""
    entry, end = attempt.entry, attempt.end
    return {name: getattr(entry, name) for name in Entry.__slots__} | {
        "state": end.state,
        "cost_nano": end.cost,
        "cost_basis": end.basis,
        "windows": "[]",
        "prompt_tokens": end.usage.prompt,
        "completion_tokens": end.usage.completion,
        "cached_tokens": end.usage.cached,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "ended_ms": end.ended_ms,
        "latency_ms": end.latency_ms,
        "first_token_ms": end.first_token_ms,
        "error_class": end.error,
        "late": 0,
        "response_id": None,
        "fingerprint": end.failure.fingerprint if end.failure else None,
        "saved_nano": end.saved,
    }


def _sums(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[type[Table], list[dict[str, Any]]]]:
    """Yield the rows of each rollup."""
    sums: dict[str, defaultdict[tuple[Any, ...], Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        ended = rollups.EndedAttempt._make(row[name] for name in rollups.EndedAttempt._fields)
        for changed, key, amounts in rollups.contributions(ended):
            found = sums[changed][key]
            for name, amount in amounts.items():
                found[name] += amount
    for table in rollups.ROLLUPS:
        name = table._meta.table_name
        names = rollups.KEY_COLUMNS[name]
        yield table, [dict(zip(names, key, strict=True)) | found for key, found in sums[name].items()]


def _ratings(chance: Random, attempts: Iterable[Attempt]) -> Iterator[dict[str, Any]]:
    """Yield the ratings: analyses and summaries were checked, and people rated some answers."""
    for entry, end, good in attempts:
        checked = entry.prompt_name is not None and entry.prompt_name.startswith("analysis")
        rated = chance.random() < 0.12
        if end.state != "settled" or not end.usage.completion or not (checked or rated):
            continue
        quality = min(1.0, max(0.2, chance.gauss(good, 0.06)))
        score = chance.choices((1.0, 0.5, -1.0), (good, 0.1, 1 - good))[0]
        yield {
            "request": entry.request,
            "user_id": entry.user_id,
            "provider": entry.provider,
            "model": entry.model,
            "task": entry.task,
            "prompt": entry.prompt_name,
            "started_ms": entry.started_ms,
            "quality": round(quality * RATING_SCALE) if checked else None,
            "score": round(score * RATING_SCALE) if rated else None,
            "at_ms": end.ended_ms + 40_000 if rated else None,
            "sealed": None,
        }


def _insert(database: Database, table: type[Table], rows: Sequence[dict[str, Any]]) -> None:
    names = bulk.columns(table)
    bulk.insert(database, table, [tuple(map(row.__getitem__, names)) for row in rows])


@contextmanager
def _in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Let a thread work until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name="supernova-demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _work(
    chance: Random,
    requests: Requests,
    ledger: Ledger,
    operations: Operations,
    waiting: list[Attempt],
    stop: threading.Event,
) -> None:
    """Take and end the holds of waiting attempts and of new requests, and lead, until told to stop."""
    held: list[tuple[Hold, Attempt]] = []
    led, pause_s = time.monotonic(), 0.0
    while not stop.wait(pause_s):
        pause_s = chance.uniform(0.5, 6)
        now_ms = ledger.now_ms()
        waiting += requests.make(now_ms, now_ms)
        for attempt in [one for one in waiting if one.entry.started_ms <= now_ms]:
            waiting.remove(attempt)
            with suppress(BudgetExceeded):
                hold = ledger.write(partial(ledger.hold, entry=attempt.entry)).result()
                held.append((hold, attempt))
        for hold, attempt in [one for one in held if one[1].end.ended_ms <= now_ms]:
            held.remove((hold, attempt))
            ledger.end(hold, attempt.end).result()
        if time.monotonic() > led + _JOBS_EVERY_S:
            led = time.monotonic()
            operations.run_jobs()
