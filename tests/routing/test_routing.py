"""Which deployment is asked: strategies, circuit breaker, pinned models, prices and budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from supernova_ai import (
    BudgetExceeded,
    InvalidRequest,
    NoProvider,
    PriceUnknown,
    ProviderUnavailable,
    Supernova,
)
from supernova_ai.store.tables import AttemptRow, WindowRow
from supernova_ai.testing import Failure, Reset, StubProvider

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

TINY = [{"name": "daily", "limit": "0.0000001", "per": "day"}]


async def test_priority_asks_the_first(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """By default the first provider of the priority is asked, every time."""
    url = stub_provider("Diversify.").url
    nova = open_nova({"anthropic": url, "openai": url})
    for _ in range(3):
        await nova.chat("What now?")
    assert {row.provider for row in attempts()} == {"anthropic"}


async def test_round_robin_takes_turns(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Round robin gives every provider the same number of requests."""
    url = stub_provider("Diversify.").url
    nova = open_nova(
        dict.fromkeys(["openai", "anthropic", "ollama"], url), routing={"strategy": "round_robin"}
    )
    for _ in range(6):
        await nova.chat("What now?")
    assert Counter(row.provider for row in attempts()) == {"openai": 2, "anthropic": 2, "ollama": 2}


async def test_cost_asks_the_cheapest(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """The strategy ``cost`` asks the cheapest provider, and the next cheapest when it fails."""
    stub = stub_provider("Diversify.", script=[Failure(500)])
    nova = open_nova(
        {"anthropic": stub.url, "openai": stub.url, "huggingface": stub.url}, routing={"strategy": "cost"}
    )
    await nova.chat("What now?")
    assert [row.provider for row in attempts()] == ["huggingface", "openai"]


async def test_latency_tries_each_before_it_compares(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """The strategy ``latency`` asks providers without samples first, so that each is measured."""
    url = stub_provider("Diversify.").url
    nova = open_nova({"openai": url, "anthropic": url}, routing={"strategy": "latency"})
    for _ in range(2):
        await nova.chat("What now?")
    assert [row.provider for row in attempts()] == ["openai", "anthropic"]


async def test_failures_in_a_row_open_the_circuit(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """After the configured failures in a row a provider is skipped, and the other one is asked at once."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    routing = {"breaker": {"failures": 2, "cooldown": 600}}
    nova = open_nova({"openai": bad.url, "anthropic": good.url}, routing=routing)
    for _ in range(5):
        assert (await nova.chat("What now?")).provider == "anthropic"
    assert (len(bad.requests), len(good.requests)) == (2, 5)
    assert len(attempts()) == 7


async def test_all_in_cooldown_is_reported(open_nova: Open, stub_provider: Stub) -> None:
    """If every provider of a tier is in cooldown, nothing is sent and the error names the cooldown."""
    bad = stub_provider(Failure(500))
    routing = {"breaker": {"failures": 1, "cooldown": 600}}
    nova = open_nova({"openai": bad.url, "anthropic": bad.url}, routing=routing)
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    with pytest.raises(NoProvider, match=r"breaker\.cooldown"):
        await nova.chat("What now?")
    assert len(bad.requests) == 2


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "anthropic/claude-haiku-4-5"])
async def test_only_the_pinned_model_is_asked(
    model: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A pinned model is asked whatever the priority, and there is no fallback when it fails."""
    stub, pinned = stub_provider("Unused."), stub_provider(Failure(500), script=["Diversify."])
    nova = open_nova({"openai": stub.url, "anthropic": pinned.url})
    reply = await nova.chat("What now?", model=model)
    assert (reply.provider, reply.model) == ("anthropic", "claude-haiku-4-5")
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?", model=model)
    assert stub.requests == []
    assert {row.model for row in attempts()} == {"claude-haiku-4-5"}
    assert len(attempts()) == len(pinned.requests)


async def test_unknown_pin_lists_the_models(open_nova: Open, stub_provider: Stub) -> None:
    """A pinned model that is not configured is refused, and the error lists the models that are."""
    nova = open_nova({"openai": stub_provider().url})
    with pytest.raises(InvalidRequest, match="openai/gpt-4o-mini"):
        await nova.chat("What now?", model="gpt-99")


async def refused(nova: Supernova, streaming: bool = False, **options: Any) -> BudgetExceeded:
    with pytest.raises(BudgetExceeded) as raised:
        await nova.chat("What now?", streaming=streaming, **options)
    return raised.value


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_exceeded_budget_sends_nothing(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows, window: Callable[..., WindowRow]
) -> None:
    """A request that exceeds a budget is refused, with the amounts, without an attempt or a hold."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url, "anthropic": stub.url}, budgets=TINY, routing={"retries": 5})
    error = await refused(nova, streaming)
    assert (error.budget, error.limit, error.spent) == ("daily", Decimal("0.0000001"), Decimal(0))
    assert error.needed > error.left
    assert error.resets_at is not None
    assert (stub.requests, attempts()) == ([], [])
    assert (window().settled, window().held, window().lost) == (0, 0, 0)


async def test_provider_within_budget_is_asked_instead(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A provider that would exceed a budget is skipped for one that is within all budgets."""
    stub = stub_provider("Diversify.")
    budgets = [{"name": "dear", "limit": "0.0000001", "per": "day", "provider": "openai"}]
    nova = open_nova({"openai": stub.url, "anthropic": stub.url}, budgets=budgets)
    assert (await nova.chat("What now?")).provider == "anthropic"
    assert [row.provider for row in attempts()] == ["anthropic"]


async def test_cheaper_tier_is_asked_when_the_budget_is_too_small(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If the budget is too small for the requested tier, a cheaper tier answers."""
    stub = stub_provider("Diversify.")
    models = {"premium": "dear", "economy": "cheap"}
    prices = {"dear": {"input": "1000", "output": "1000"}, "cheap": {"input": "0.1", "output": "0.1"}}
    nova = open_nova(
        {"openai": {"url": stub.url, "models": models, "prices": prices}},
        budgets=[{"name": "daily", "limit": "0.1", "per": "day"}],
    )
    reply = await nova.chat("What now?", tier="premium")
    assert (reply.tier, reply.model) == ("economy", "cheap")
    assert [row.model for row in attempts()] == ["cheap"]


async def test_max_cost_caps_one_request(open_nova: Open, stub_provider: Stub) -> None:
    """``max_cost`` refuses one request, by that name; the next request is answered."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url})
    error = await refused(nova, max_cost="0.0000001")
    assert (error.budget, error.limit, error.resets_at) == ("max_cost", Decimal("0.0000001"), None)
    assert stub.requests == []
    assert (await nova.chat("What now?", max_cost=1)).content == "Diversify."


async def test_max_cost_counts_what_earlier_attempts_lost(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """``max_cost`` covers all attempts of a request: a lost attempt leaves less for the next."""
    lossy, good = stub_provider(Reset()), stub_provider("Diversify.")
    prices = {"gpt-4o-mini": {"input": "1", "output": "1000"}}
    nova = open_nova({"openai": {"url": lossy.url, "prices": prices}, "anthropic": good.url})
    error = await refused(nova, max_cost="0.1004", max_tokens=100)
    (row,) = attempts()
    assert row.state == "lost"
    assert error.spent * 10**9 == row.cost
    assert good.requests == []


@pytest.mark.parametrize(("budgets", "options"), [(None, {}), ([], {"max_cost": 1})], ids=["budget", "cap"])
async def test_unpriced_model_is_refused_under_a_limit(
    budgets: Any, options: dict[str, Any], open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If a budget or cap applies, a model without a price is refused; the error says how to price it."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": {"url": stub.url, "models": {"standard": "gpt-99"}}}, budgets=budgets)
    with pytest.raises(PriceUnknown, match=r"providers\.openai\.prices.*price: free"):
        await nova.chat("What now?", **options)
    assert (stub.requests, attempts()) == ([], [])


async def test_unpriced_model_without_a_limit_has_an_unknown_cost(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Without a limit a model without a price answers, and its cost is unknown, not free."""
    nova = open_nova(
        {"openai": {"url": stub_provider("Diversify.").url, "models": {"standard": "gpt-99"}}}, budgets=[]
    )
    reply = await nova.chat("What now?")
    assert (reply.cost_basis, reply.usage.completion) == ("unknown", 1)
    assert [row.basis for row in attempts()] == ["unknown"]
