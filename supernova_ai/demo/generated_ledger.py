"""A ledger of generated attempts: six weeks of a small firm's, and new ones while it is open."""

from __future__ import annotations

import math
import secrets
import tempfile
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from peewee import Database

from supernova_ai import health
from supernova_ai.config import Config, Loaded
from supernova_ai.errors import BudgetExceeded
from supernova_ai.health import CircuitState, DeploymentIdentity
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.ledger import End, Entry, Hold, Ledger, labels, rollups
from supernova_ai.secret import Secret
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import CostBasis, FailurePattern, Outcome, Usage

DAYS = 45
ATTEMPTS = 16_000

_DAY_MS = 86_400_000


class Model(NamedTuple):
    """A model with its usual latency, and its prices in nano-USD per token."""

    provider: str
    name: str
    tier: str
    latency_ms: int
    price_in: int
    price_out: int
    weight: int


MODELS = (
    Model("anthropic", "claude-sonnet-5-5", "standard", 2100, 3000, 15000, 30),
    Model("anthropic", "claude-haiku-5-5", "economy", 800, 1000, 5000, 16),
    Model("anthropic", "claude-opus-5-5", "premium", 4200, 15000, 75000, 5),
    Model("openai", "gpt-6.1-sol", "standard", 1700, 1250, 10000, 22),
    Model("openai", "gpt-6-luna", "economy", 650, 250, 2000, 18),
    Model("ollama", "gemma4:12b", "standard", 3600, 0, 0, 6),
    Model("huggingface", "openai/gpt-oss-120b:groq", "standard", 900, 150, 600, 6),
)
_TEAMS = {"equities": "fx", "research": "rates", "clients": "wealth"}
_USERS = (
    "ann",
    "ben",
    "chiara",
    "dev",
    "eva",
    "farid",
    "grace",
    "hiro",
    "ines",
    "jonas",
    "kim",
    "lea",
    "mo",
    "nora",
)
_TASKS = ("chat", "chat", "analysis", "summary", "chat", "analysis")
_FAILURES = (
    ("RateLimited", 429, "Rate limit reached for requests: limit 500, try again in 6m0s"),
    ("ProviderTimeout", None, "no answer within 60 s"),
    ("ProviderUnavailable", 529, "Overloaded"),
    ("ContextTooLong", 400, "prompt is too long: 213462 tokens > 200000 maximum"),
)

_CONFIG: dict[str, Any] = {
    "environment": "demo",
    "health": {"probes": "off"},
    "budgets": [
        {"name": "firm", "limit": "130", "per": "month"},
        {"name": "firm-today", "limit": "9", "per": "day"},
        {"name": "anthropic", "limit": "26", "per": "week", "provider": "anthropic"},
        {"name": "research", "limit": "9", "per": "week", "team": "research"},
        {"name": "each-user", "limit": "1.20", "per": "day", "user": "*"},
        {"name": "analysis", "limit": "45", "per": "month", "task": "analysis"},
    ],
}


@contextmanager
def generated_ledger() -> Iterator[Loaded]:
    """Yield the configuration of a new ledger in a temporary folder, to which a thread adds attempts."""
    with tempfile.TemporaryDirectory(prefix="supernova-demo-") as folder:
        config = Config.model_validate(_CONFIG | {"database": str(Path(folder, "demo.db"))})
        with Store(str(config.database)) as store:
            vault = Vault(store, MasterKey.of(secrets.token_bytes(32)))
            for provider, prefix in (("openai", "sk-"), ("anthropic", "sk-ant-"), ("huggingface", "hf_")):
                vault.add(provider, "primary", Secret(f"{prefix}demo{secrets.token_hex(16)}"))
            store.write(lambda database: _fill(database, store.now_ms())).result()
            with _traffic(Ledger(store, config.all_budgets, thresholds=config.alerts.thresholds)):
                yield Loaded.of(config)


def _fill(database: Database, now_ms: int) -> None:
    """Write the past attempts, their sums, their failures, and a circuit breaker that is open."""
    chance = Random(7)  # noqa: S311 - not for secrets
    columns = bulk.columns(AttemptRow)
    rows = []
    sums: dict[str, defaultdict[tuple[Any, ...], Counter[str]]] = {
        name: defaultdict(Counter) for name in rollups.KEY_COLUMNS
    }
    for started_ms in sorted(_times(chance, now_ms)):
        entry = _entry(chance, started_ms)
        end, model = _end(chance, entry, (now_ms - started_ms) / _DAY_MS), entry.model
        if end.failure:
            at_ms = end.ended_ms
            rollups.count_failure(database, end.failure, provider=entry.provider, model=model, at_ms=at_ms)
        row: dict[str, Any] = dict.fromkeys(columns) | {
            name: getattr(entry, name) for name in Entry.__slots__
        }
        row |= dict.fromkeys(rollups.AMOUNTS, 0) | {"windows": "[]", "late": 0}
        row |= {
            "state": end.state,
            "cost_nano": end.cost,
            "cost_basis": end.basis,
            "prompt_tokens": end.usage.prompt,
            "completion_tokens": end.usage.completion,
            "ended_ms": end.ended_ms,
            "latency_ms": end.latency_ms,
            "first_token_ms": end.first_token_ms,
            "error_class": end.error,
            "fingerprint": end.failure.fingerprint if end.failure else None,
            "saved_nano": end.saved,
        }
        ended = rollups.EndedAttempt._make(row[name] for name in rollups.EndedAttempt._fields)
        for changed, key, amounts in rollups.contributions(ended):
            sums[changed][key].update(amounts)
        rows.append(tuple(row[name] for name in columns))
    bulk.insert(database, AttemptRow, rows)
    for table in rollups.ROLLUPS:
        name = table._meta.table_name
        found = (
            dict(zip(rollups.KEY_COLUMNS[name], key, strict=True)) | sums[name][key] for key in sums[name]
        )
        bulk.insert(database, table, [tuple(row[column] for column in bulk.columns(table)) for row in found])
    cooling = DeploymentIdentity("standard", "huggingface", "openai/gpt-oss-120b:groq", "primary")
    open_ = CircuitState(cooling, "open", now_ms - 20_000, now_ms + 600_000, 3, "ProviderUnavailable")
    health.record(database, open_)


def _times(chance: Random, now_ms: int) -> Iterator[int]:
    """Yield the times of the past attempts: most of them on weekdays, around the early afternoon."""
    made = 0
    while made < ATTEMPTS:
        at_ms = now_ms - int(chance.random() * DAYS * _DAY_MS)
        hour, weekday = at_ms / 3_600_000 % 24, (at_ms // _DAY_MS + 3) % 7
        busy = 0.12 + 0.88 * math.exp(-(((hour - 13.5) / 4.2) ** 2))
        if chance.random() < busy * (1 if weekday < 5 else 0.3):
            made += 1
            yield at_ms
    yield from (now_ms - int(chance.random() * 3_600_000) for _ in range(400))  # a busy last hour


def _entry(chance: Random, started_ms: int) -> Entry:
    (model,) = chance.choices(MODELS, [model.weight for model in MODELS])
    user = chance.choices(_USERS, range(len(_USERS), 0, -1))[0]
    team = sorted(_TEAMS)[_USERS.index(user) % len(_TEAMS)]
    task = chance.choice(_TASKS)
    tokens = max(60, int(chance.lognormvariate(7.0, 0.9)))
    most = 800 * model.price_out + tokens * model.price_in
    return Entry(
        id=uuid.UUID(int=chance.getrandbits(128)).hex,
        request=uuid.UUID(int=chance.getrandbits(128)).hex,
        process="",
        user_id=user,
        session_id=None,
        task=task,
        tier=model.tier,
        provider=model.provider,
        model=model.name,
        key_slot=None if model.provider == "ollama" else "primary",
        held_nano=most * 2,
        started_ms=started_ms,
        prompt_name=task,
        prompt_hash="0" * 16,
        config_version="demo",
        price_version="demo",
        max_tokens=2048,
        address="http://localhost:11434" if model.provider == "ollama" else None,
        environment="demo",
        team=team,
        tags=labels.to_text({"desk": _TEAMS[team]}),
    )


def _end(chance: Random, entry: Entry, days_ago: float) -> End:
    """Return how an attempt ended; two hours before the present OpenAI had an outage."""
    model = next(model for model in MODELS if model.name == entry.model)
    outage = model.provider == "openai" and 0.06 < days_ago < 0.14
    took = int(
        model.latency_ms * chance.lognormvariate(0, 0.4) * (1 + 0.25 * math.sin(entry.started_ms / 6e6))
    )
    ended_ms = entry.started_ms + took
    if chance.random() < (0.6 if outage else 0.15 if model.provider == "huggingface" else 0.018):
        failure = _failure(chance, entry.provider, outage)
        return End("released", 0, None, Usage(), ended_ms, took, None, failure.error, None, failure)
    if chance.random() < 0.03:
        return End("settled", 0, "cached", Usage(), entry.started_ms + 3)
    if chance.random() < 0.002:
        return End("lost", entry.held_nano, "bound", Usage(), ended_ms, error="Abandoned")
    usage = Usage(
        prompt=max(
            60, int(entry.held_nano / 2 / max(1, model.price_in + model.price_out) * chance.uniform(1, 4))
        ),
        completion=max(8, int(chance.lognormvariate(5.6, 0.6))),
    )
    cost = usage.prompt * model.price_in + usage.completion * model.price_out
    cost = min(cost, entry.held_nano)
    basis: CostBasis = "exact" if chance.random() < 0.97 else "estimated"
    state: Outcome = "settled"
    saved = int(cost * 0.12) if model.provider == "anthropic" and chance.random() < 0.3 else 0
    first = int(took * chance.uniform(0.15, 0.4))
    return End(state, cost, basis, usage, ended_ms, took, first, saved=saved)


def _failure(chance: Random, provider: str, outage: bool) -> FailurePattern:
    error, status, message = _FAILURES[2] if outage else chance.choice(_FAILURES)
    return health.fingerprint(provider, error, status, message)


@contextmanager
def _traffic(ledger: Ledger) -> Iterator[None]:
    """Let a thread take and end holds until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=_work, args=(ledger, stop), name="supernova-demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        ledger.close()


def _work(ledger: Ledger, stop: threading.Event) -> None:
    chance = Random()  # noqa: S311 - not for secrets
    open_holds: list[tuple[Hold, End]] = []
    pause = 0.0
    while not stop.wait(pause):
        pause = chance.uniform(0.5, 6)
        entry = _entry(chance, ledger.now_ms())
        with suppress(BudgetExceeded):
            hold = ledger.write(partial(ledger.hold, entry=entry)).result()
            open_holds.append((hold, _end(chance, entry, 0)))
        due = [(hold, end) for hold, end in open_holds if end.ended_ms <= ledger.now_ms()]
        for hold, end in due:
            open_holds.remove((hold, end))
            ledger.end(hold, end).result()
