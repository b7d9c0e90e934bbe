"""What caches and cheaper tiers saved, and what each advice cost: exact amounts with their arithmetic."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from supernova_ai.advisor import records
from supernova_ai.reports.advice import AdviceCost, advice_cost
from supernova_ai.reports.savings import Saving, savings
from supernova_ai.store import Store
from tests.advisor.test_records import draft
from tests.reports.answered import CONFIG, HOUR, TODAY, answered


def found(store: Store) -> list[Saving]:
    return store.read(lambda database: savings(database, CONFIG, TODAY))


def test_hits_of_the_answer_cache(store: Store) -> None:
    """A hit saves the mean cost of its model's answers to its prompt; without such an answer, nothing."""
    answered(store, "openai/large", 10, 200_000_000, cached=3)
    answered(store, "openai/large", 0, 0, cached=2, prompt="other")
    cache, *_ = found(store)
    assert (cache.kind, cache.amount, cache.count, cache.estimated) == ("answer cache", 60_000_000, 5, True)
    assert cache.arithmetic == (
        "3 answers from the cache, each at the mean cost of its model's answers to its prompt, $0.02 on "
        "average; 2 more have no answer to compare with"
    )


def test_prompt_caches(store: Store) -> None:
    """The ledger knows this saving exactly, also where writing to the cache cost more."""
    answered(store, "openai/large", 10, 1, cached_tokens=4000, saved=36_000_000)
    answered(store, "anthropic/good", 10, 1, saved=-6_000_000)
    _, prompt, *_ = found(store)
    assert (prompt.amount, prompt.count, prompt.estimated) == (30_000_000, 4000, False)
    assert prompt.arithmetic.startswith("4,000 of 20,000 prompt tokens were read from caches")


def test_cheaper_tiers(store: Store) -> None:
    """Answers below their task's tier are compared with the first model of that tier; others are not."""
    answered(store, "openai/small", 10, 12_000_000, tier="economy")
    answered(store, "openai/good", 10, 30_000_000, tier="standard", task="chat")
    answered(store, "openai/good", 10, 30_000_000, tier="standard", task="unknown")
    *_, tier = found(store)
    assert (len(found(store)), tier.amount, tier.count) == (3, 160_000_000 - 12_000_000 - 10_000_000, 10)
    assert tier.arithmetic == (
        "analysis: 10 answers of economy instead of premium cost $0.012; their tokens cost $0.15 at the "
        "price of openai/large"
    )


def test_an_empty_ledger_saved_nothing(store: Store) -> None:
    """Both caches are there, with nothing."""
    assert [(one.kind, one.amount, one.count) for one in found(store)] == [
        ("answer cache", 0, 0),
        ("prompt cache", 0, 0),
    ]


def test_the_cost_of_advice(store: Store) -> None:
    """The attempts that explained it, over the records of the same period, by the class of the asset."""
    answered(store, "openai/large", 3, 60_000_000, prompt="advice-stock")
    answered(store, "openai/large", 1, 30_000_000, prompt="advice-fx", error="ProviderTimeout")
    answered(store, "openai/large", 1, 7_000_000, prompt="chat")
    for number in range(4):
        one = replace(draft(number), created_ms=HOUR * 3_600_000 if number else 0)
        store.write(partial(records.append, draft=one)).result()
    cost = store.read(partial(advice_cost, period=TODAY))
    assert (cost.records, cost.attempts, cost.cost, cost.each) == (3, 4, 90_000_000, 30_000_000)
    assert [(line.name, line.cost) for line in cost.by_class] == [
        ("advice-stock", 60_000_000),
        ("advice-fx", 30_000_000),
    ]
    assert AdviceCost(0, 4, 90_000_000, ()).each is None
