"""The tier of a call: from tier, quality, complexity, prompt or task, with the reason in the reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai import BudgetExceeded, InvalidRequest, ProviderError, Supernova
from supernova_ai.testing import Failure, StubProvider

Open = Callable[..., Supernova]

MODELS = {"economy": "gpt-4o-mini", "standard": "gpt-4.1", "premium": "gpt-4o"}
HARD = "Compare four ways to hedge this portfolio against rates, and derive the cost of each."


@pytest.fixture
def tiers(open_nova: Open, stub: StubProvider) -> Supernova:
    """A client with a model in every tier."""
    return open_nova({"openai": {"url": stub.url, "models": MODELS}})


@pytest.mark.parametrize(
    ("given", "tier", "reason"),
    [
        ({}, "standard", "task 'chat'"),
        ({"task": "analysis"}, "premium", "task 'analysis'"),
        ({"tier": "economy"}, "economy", "asked for"),
        ({"quality": "premium"}, "premium", "asked for"),
        ({"quality": "premium", "tier": "premium"}, "premium", "asked for"),
        ({"complexity": "simple"}, "economy", "complexity: simple"),
        ({"complexity": "moderate"}, "standard", "complexity: moderate"),
        ({"complexity": "complex"}, "premium", "complexity: complex"),
        ({"complexity": "critical"}, "premium", "complexity: critical"),
        ({"complexity": "auto"}, "economy", "complexity auto: simple (4 words, 1 question)"),
        ({"complexity": "auto", "message": HARD}, "premium", "complexity auto: complex ("),
        (
            {"complexity": "auto", "task": "analysis"},
            "economy",
            "complexity auto: simple (4 words, 1 question)",
        ),
        ({"model": "gpt-4o-mini"}, "economy", "model 'gpt-4o-mini' was asked for"),
    ],
    ids=str,
)
async def test_tier_and_its_reason(given: dict[str, Any], tier: str, reason: str, tiers: Supernova) -> None:
    """The tier is the one asked for, else that of the complexity, else that of the task."""
    reply = await tiers.chat(**{"message": "What is an ETF?"} | given)
    assert reply.tier == tier
    assert reply.tier_reason.startswith(reason)


async def test_estimate_is_for_the_text_only(tiers: Supernova) -> None:
    """The estimate does not count the words of the prompt template."""
    reply = await tiers.analyze("Acme rose.", analysis_type="risk", complexity="auto")
    assert reply.tier_reason == "complexity auto: moderate (2 words)"


async def test_quote_is_for_the_estimated_tier(tiers: Supernova) -> None:
    """A quote is for the tier of the estimate."""
    assert (await tiers.quote(HARD, complexity="auto")).tier == "premium"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"quality": "gold"}, "quality 'gold' is not known; choose one of: economy, standard, premium"),
        ({"quality": ["premium"]}, "quality"),
        ({"quality": "premium", "tier": "economy"}, "two names of one thing"),
        ({"complexity": "hard"}, "complexity 'hard' is not known; choose one of: simple, moderate, complex"),
        ({"complexity": ["auto"]}, "complexity"),
        ({"complexity": ""}, "complexity '' is not known"),
        (
            {"complexity": "auto", "tier": "economy"},
            "would choose the tier, and 'economy' is given; give one",
        ),
        ({"complexity": "simple", "quality": "economy"}, "would choose the tier"),
        ({"cache": "no"}, "cache must be True or False, not 'no'"),
    ],
    ids=str,
)
async def test_bad_argument_is_named(
    given: dict[str, Any], words: str, tiers: Supernova, stub: StubProvider
) -> None:
    """An unknown or contradictory option is refused, and nothing is sent."""
    with pytest.raises(InvalidRequest) as raised:
        await tiers.chat("What now?", **given)
    assert words in str(raised.value)
    assert stub.requests == []


@pytest.fixture
def failing(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider(Failure(500))


def two(failing: StubProvider, stub: StubProvider) -> dict[str, Any]:
    """A premium provider that fails, and a standard one that answers."""
    return {
        "openai": {"url": failing.url, "models": {"premium": "gpt-4o"}},
        "anthropic": {"url": stub.url, "models": {"standard": "claude-haiku-4-5"}},
    }


async def test_degraded_answer_says_so(open_nova: Open, failing: StubProvider, stub: StubProvider) -> None:
    """The reason names the cheaper tier that answered, and why the other did not."""
    reply = await open_nova(two(failing, stub)).chat("What now?", complexity="complex")
    assert (reply.tier, reply.tier_reason) == (
        "standard",
        "complexity: complex; premium failed, degraded to standard",
    )


async def test_cap_lowers_the_tier(open_nova: Open, stub: StubProvider) -> None:
    """If ``max_cost`` is too low for the estimated tier, a cheaper one answers, and the reason says so."""
    models = {"premium": "gpt-4o", "standard": "gpt-4o-mini"}
    nova = open_nova({"openai": {"url": stub.url, "models": models}})
    reply = await nova.chat(HARD, complexity="auto", max_cost="0.002", max_tokens=500)
    assert reply.tier == "standard"
    assert reply.tier_reason.endswith("; premium was in cooldown or over budget, degraded to standard")


async def test_critical_is_never_degraded(open_nova: Open, failing: StubProvider, stub: StubProvider) -> None:
    """A critical call fails if the premium tier fails or is over budget; no cheaper tier answers."""
    nova = open_nova(two(failing, stub))
    with pytest.raises(ProviderError):
        await nova.chat("What now?", complexity="critical")
    with pytest.raises(BudgetExceeded):
        await nova.chat("What now?", complexity="critical", max_cost="0.0001")
    assert stub.requests == []
