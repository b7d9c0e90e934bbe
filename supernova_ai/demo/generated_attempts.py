"""Generated requests of a small firm, each with its attempts. Prices are the real ones."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

from supernova_ai import health
from supernova_ai.config import Config
from supernova_ai.ledger import End, Entry, labels
from supernova_ai.pricing import prices
from supernova_ai.pricing.price_map import version
from supernova_ai.pricing.rates import ModelPrice
from supernova_ai.types import CostBasis, FailurePattern, Usage

DAY_MS = 86_400_000
OUTAGE_DAYS = (0.06, 0.14)
"""OpenAI had an outage so many days ago."""


class Model(NamedTuple):
    """How long a model usually takes, and how good its answers are, from 0 to 1."""

    latency_ms: int
    quality: float


MODELS = {
    "gpt-6-luna": Model(650, 0.83),
    "gpt-6.1-sol": Model(1700, 0.885),
    "gpt-6-astra": Model(3900, 0.87),
    "claude-haiku-5-5": Model(800, 0.85),
    "claude-sonnet-5-5": Model(2100, 0.88),
    "claude-opus-5-5": Model(4200, 0.9),
    "gemma4:e4b": Model(1500, 0.72),
    "gemma4:12b": Model(3600, 0.78),
    "gemma4:31b": Model(7000, 0.81),
    "openai/gpt-oss-20b:groq": Model(500, 0.74),
    "openai/gpt-oss-120b:groq": Model(900, 0.79),
}
_SHARES = {"openai": 12, "anthropic": 9, "ollama": 1, "huggingface": 1}
"""How often each provider is asked first."""


class Task(NamedTuple):
    """How often a task is asked for, its prompts, and the usual length of its answers in tokens."""

    weight: int
    prompts: tuple[str, ...]
    answer: int


TASKS = {
    "chat": Task(45, ("chat",), 260),
    "analysis": Task(35, ("analysis-financial", "analysis-news", "analysis-risk"), 380),
    "summary": Task(20, ("analysis-summary",), 95),
}
ADVICE = (*("advice-stock",) * 4, "advice-crypto", "advice-fx")
"""Prompts of an analysis that explains advice."""

USERS = ("ann", "ben", "chiara", "dev", "eva", "farid", "grace", "hiro", "ines", "jonas", "kim", "lea", "mo")
_DESKS = {"clients": "wealth", "equities": "fx", "research": "rates"}
_TEAMS = tuple(_DESKS)
_FAILURES = (
    ("RateLimited", 429, "Rate limit reached for requests: limit 500, try again in 6m0s"),
    ("ProviderTimeout", None, "no answer within 60 s"),
    ("ProviderUnavailable", 529, "Overloaded"),
    ("ContextTooLong", 400, "prompt is too long: 213462 tokens > 200000 maximum"),
)


class Attempt(NamedTuple):
    """An attempt as it begins and ends, and how good its model is."""

    entry: Entry
    end: End
    quality: float


class Requests:
    """Makes requests.

    Args:
        config_version: returns the configuration that was in force at a time, in Unix milliseconds.
    """

    def __init__(self, chance: Random, config: Config, config_version: Callable[[int], str]) -> None:
        self._chance = chance
        self._config = config
        self._config_version = config_version
        self._price_version = version()
        self._prices: dict[tuple[str, str], ModelPrice] = {}
        for name, provider in config.providers.items():
            for model in provider.models.values():
                price = prices.find(config.type_of(name), model, provider)
                assert price is not None
                self._prices[name, model] = price

    def make(self, started_ms: int, now_ms: int) -> list[Attempt]:
        """Return the attempts of a new call; an advice may ask twice, to correct sentences."""
        chance = self._chance
        task = chance.choices(list(TASKS), [task.weight for task in TASKS.values()])[0]
        user = chance.choices(USERS, range(len(USERS), 0, -1))[0]
        team = _TEAMS[USERS.index(user) % len(_TEAMS)]
        tier = self._config.routing.tasks[task]
        if chance.random() < 0.2:  # the caller chose another
            tier = "standard" if tier == "premium" else "economy"
        prompt = chance.choice(TASKS[task].prompts)
        if task == "analysis" and chance.random() < 0.01:
            prompt = chance.choice(ADVICE)
        labelled = {"user_id": user, "team": team, "tags": labels.to_text({"desk": _DESKS[team]})}
        asked = {"task": task, "tier": tier, "prompt_name": prompt, **labelled}
        attempts = self._request(started_ms, now_ms, asked)
        if prompt in ADVICE and attempts[-1].end.state == "settled" and chance.random() < 0.3:
            attempts += self._request(attempts[-1].end.ended_ms, now_ms, asked)
        return attempts

    def _request(self, started_ms: int, now_ms: int, asked: Mapping[str, Any]) -> list[Attempt]:
        """Return the attempts of a request: if the first fails, another provider is asked."""
        chance, attempts, providers = self._chance, list[Attempt](), list(_SHARES)
        request, tokens = self._id(), max(60, int(chance.lognormvariate(7.0, 0.9)))
        while True:
            name = chance.choices(providers, [_SHARES[name] for name in providers])[0]
            providers.remove(name)
            provider, most = self._config.providers[name], self._config.routing.max_tokens
            model = provider.models[asked["tier"]]
            entry = Entry(
                id=self._id(),
                request=request,
                process="",
                session_id=None,
                provider=name,
                model=model,
                key_slot="primary" if provider.keys else None,
                held_nano=self._prices[name, model].bound(2 * tokens + 50, most),
                started_ms=started_ms,
                prompt_hash="0" * 16,
                config_version=self._config_version(started_ms),
                price_version=self._price_version,
                max_tokens=most,
                address=provider.api_base,
                environment=self._config.environment,
                **asked,
            )
            end = self._end(entry, tokens, (now_ms - started_ms) / DAY_MS)
            attempts.append(Attempt(entry, end, MODELS[model].quality))
            if end.state != "released" or end.error == "ContextTooLong" or not providers:
                return attempts
            started_ms = end.ended_ms

    def _id(self) -> str:
        return uuid.UUID(int=self._chance.getrandbits(128)).hex

    def _end(self, entry: Entry, tokens: int, days_ago: float) -> End:
        chance = self._chance
        outage = entry.provider == "openai" and OUTAGE_DAYS[0] < days_ago < OUTAGE_DAYS[1]
        slower = 1 + 0.25 * math.sin(entry.started_ms / 6e6)
        took = int(MODELS[entry.model].latency_ms * chance.lognormvariate(0, 0.4) * slower)
        ended_ms = entry.started_ms + took
        if chance.random() < (0.6 if outage else 0.15 if entry.provider == "huggingface" else 0.018):
            failure = self._failure(entry.provider, outage)
            return End("released", 0, None, Usage(), ended_ms, took, None, failure.error, None, failure)
        if entry.task != "analysis" and chance.random() < 0.04:
            return End("settled", 0, "cached", Usage(), entry.started_ms + 3)
        if chance.random() < 0.0008:
            return End("lost", entry.held_nano, "bound", Usage(), ended_ms, error="Abandoned")
        answer = max(8, int(chance.lognormvariate(math.log(TASKS[entry.task].answer), 0.45)))
        from_cache = entry.provider in ("openai", "anthropic") and chance.random() < 0.25
        usage = Usage(tokens, answer, cached=int(tokens * 0.7) if from_cache else 0)
        price = self._prices[entry.provider, entry.model]
        cost = price.cost(usage)
        saved = price.cost(Usage(tokens, answer)) - cost
        basis: CostBasis = "exact" if chance.random() < 0.97 else "estimated"
        first = int(took * chance.uniform(0.15, 0.4))
        return End("settled", cost, basis, usage, ended_ms, took, first, saved=saved)

    def _failure(self, provider: str, outage: bool) -> FailurePattern:
        error, status, message = _FAILURES[2] if outage else self._chance.choice(_FAILURES)
        return health.fingerprint(provider, error, status, message)
