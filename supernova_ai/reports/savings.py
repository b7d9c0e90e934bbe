"""Savings: what caches and cheaper tiers took off the cost of a period, and how that is computed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from peewee import Database, fn

from supernova_ai.config import Config
from supernova_ai.money import rounded
from supernova_ai.reports.answers import Answers, Candidate, answers, candidates, cost_at
from supernova_ai.reports.periods import Period
from supernova_ai.store.tables import UsageRow
from supernova_ai.types import TIERS

Kind = Literal["answer cache", "prompt cache", "cheaper tier"]


@dataclass(frozen=True, slots=True)
class Saving:
    """What one kind of saving took off the cost, in nano-USD; below 0 if it added to it.

    ``count`` is the number of answers, or of tokens that a prompt cache had. An ``estimated`` amount is a
    comparison with what the answers would have cost otherwise: ``arithmetic`` says how.
    """

    kind: Kind
    amount: int
    count: int
    estimated: bool
    arithmetic: str


def savings(database: Database, config: Config, period: Period) -> list[Saving]:
    """Return the savings of the period: the caches first, then each task that a cheaper tier answered."""
    found = answers(database, period)
    return [_answer_cache(found), _prompt_cache(database, period), *_cheaper_tiers(found, config)]


def _answer_cache(found: Sequence[Answers]) -> Saving:
    """Compare each hit with the mean cost of an answer of its model to its prompt."""
    groups: defaultdict[tuple[str, ...], list[Answers]] = defaultdict(list)
    for one in found:
        groups[one.provider, one.model, one.task, one.prompt].append(one)
    amount, priced, hits = 0, 0, 0
    for group in groups.values():
        cached, sent = sum(one.cached for one in group), sum(one.sent for one in group)
        hits += cached
        if sent:
            priced += cached
            amount += cached * sum(one.cost for one in group) // sent
    unpriced = f"; {hits - priced:,} more have no answer to compare with" if hits > priced else ""
    mean = f", {rounded(amount // priced)} on average" if priced else ""
    text = f"{priced:,} answers from the cache, each at the mean cost of its model's answers to its prompt"
    return Saving("answer cache", amount, hits, True, f"{text}{mean}{unpriced}")


def _prompt_cache(database: Database, period: Period) -> Saving:
    first, after = period.hours
    columns = (UsageRow.saved, UsageRow.cached_tokens, UsageRow.prompt_tokens)
    query = UsageRow.select(*(fn.COALESCE(fn.SUM(column), 0) for column in columns))
    query = query.where((UsageRow.hour >= first) & (UsageRow.hour < after))
    ((saved, cached, prompt),) = query.tuples().execute(database)
    text = (
        f"{cached:,} of {prompt:,} prompt tokens were read from caches of providers at lower rates, "
        f"less what writing to the caches cost"
    )
    return Saving("prompt cache", int(saved), int(cached), False, text)


def _cheaper_tiers(found: Sequence[Answers], config: Config) -> Iterator[Saving]:
    """Compare answers below their task's tier with the price of the first model of that tier."""
    first: dict[str, Candidate] = {}
    for candidate in candidates(config):
        first.setdefault(candidate.tier, candidate)
    groups: defaultdict[tuple[str, str], list[Answers]] = defaultdict(list)
    for one in found:
        usual = config.routing.tasks.get(one.task)
        if usual and one.tier in TIERS and TIERS.index(one.tier) < TIERS.index(usual) and one.sent:
            groups[one.task, one.tier].append(one)
    for (task, tier), group in sorted(groups.items()):
        usual = config.routing.tasks[task]
        if (dearer := first.get(usual)) is None:
            continue
        count, cost, full = (
            sum(one.sent for one in group),
            sum(one.cost for one in group),
            cost_at(dearer.price, group),
        )
        text = (
            f"{task}: {count:,} answers of {tier} instead of {usual} cost {rounded(cost)}; their tokens cost "
            f"{rounded(full)} at the price of {dearer.name}"
        )
        yield Saving("cheaper tier", full - cost, count, True, text)
