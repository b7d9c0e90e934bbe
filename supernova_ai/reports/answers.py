"""Answers: what each model answered, from the hourly sums, and what the same tokens cost at another price."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from peewee import Database, fn

from supernova_ai.config import Config
from supernova_ai.pricing import prices
from supernova_ai.pricing.rates import ModelPrice
from supernova_ai.reports.periods import Period
from supernova_ai.store.tables import UsageRow
from supernova_ai.types import TIERS, Tier

_KEY = (UsageRow.provider, UsageRow.model, UsageRow.tier, UsageRow.task, UsageRow.prompt)


class Answers(NamedTuple):
    """The complete answers of a model to one prompt of one task. The cost is nano-USD.

    ``sent`` are those of the provider, ``cached`` those of the answer cache, which cost nothing and have no
    tokens. ``prompt_tokens`` include ``cached_tokens``, those that the provider read from its prompt cache.
    """

    provider: str
    model: str
    tier: str
    task: str
    prompt: str
    sent: int
    cached: int
    cost: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configured model of a tier that has a price."""

    provider: str
    model: str
    tier: Tier
    price: ModelPrice

    @property
    def name(self) -> str:
        """The provider and the model, as reports name a model."""
        return f"{self.provider}/{self.model}"


def answers(database: Database, period: Period) -> list[Answers]:
    """Return the complete answers of the period, by model, tier, task and prompt."""
    columns = ("attempts", "cached", "cost", "prompt_tokens", "completion_tokens", "cached_tokens")
    first, after = period.hours
    query = UsageRow.select(*_KEY, *(fn.SUM(getattr(UsageRow, name)) for name in columns)).group_by(*_KEY)
    query = query.where((UsageRow.hour >= first) & (UsageRow.hour < after) & (UsageRow.error == ""))
    query = query.where(UsageRow.attempts > 0).order_by(*_KEY)
    return [
        Answers._make((*row[:5], int(row[5]) - int(row[6]), *map(int, row[6:])))
        for row in query.tuples().execute(database)
    ]


def candidates(config: Config) -> Iterator[Candidate]:
    """Yield the models of the tiers that may be asked and have a price, in the order of the providers."""
    for provider in config.active_providers:
        settings = config.providers[provider]
        for tier in TIERS:
            if (model := settings.models.get(tier)) is not None:
                price = prices.find(config.type_of(provider), model, settings)
                if price is not None:
                    yield Candidate(provider, model, tier, price)


def cost_at(price: ModelPrice, given: Iterable[Answers]) -> int:
    """Return what the tokens of these answers cost at another price, in nano-USD, without a prompt cache."""
    total = 0
    for one in given:
        if one.sent:
            rates = price.rates_for(one.prompt_tokens // one.sent)
            total += round(rates.prompt * one.prompt_tokens + rates.completion * one.completion_tokens)
    return total
