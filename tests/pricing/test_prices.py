"""Prices, compared with an independent calculation: fractions over the JSON that LiteLLM bundles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernova_ai.config import Provider
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.pricing import prices as pricing
from supernova_ai.pricing.rates import ModelPrice
from supernova_ai.types import Usage

MAP = Path(litellm.__file__).with_name("model_prices_and_context_window_backup.json")
PRICES: dict[str, dict[str, Any]] = json.loads(MAP.read_text(), parse_float=Fraction)
USAGES = [
    Usage(prompt=1000, completion=500),
    Usage(prompt=1000, completion=500, cached=300, reasoning=100),
    Usage(prompt=1000, completion=500, cache_write=400),
    Usage(prompt=1000, completion=500, cached=100, cache_write=900, reasoning=500),
    *(
        Usage(prompt=prompt, completion=999, cached=7, reasoning=9)
        for limit in (100_000, 128_000, 200_000, 272_000)
        for prompt in (limit, limit + 1)
    ),
]


def price_of(provider: str, model: str, **settings: Any) -> ModelPrice:
    price = pricing.find(provider, model, Provider.model_validate(settings))
    assert price is not None
    return price


def calculated(entry: dict[str, Any], usage: Usage) -> Fraction:
    """Return what an entry of the map charges for the usage, in nano-USD."""
    steps = [
        int(n) for name in entry for n in re.findall(r"^input_cost_per_token_above_(\d+)k_tokens$", name)
    ]
    passed = [step for step in steps if usage.prompt > step * 1000]
    suffix = f"_above_{max(passed)}k_tokens" if passed else ""

    def rate(name: str, otherwise: Fraction | None = None) -> Fraction:
        found = entry.get(name + suffix, entry.get(name))
        value = otherwise if found is None else found
        assert value is not None
        return Fraction(value)

    prompt, completion = rate("input_cost_per_token"), rate("output_cost_per_token")
    return 10**9 * (
        (usage.prompt - usage.cached - usage.cache_write) * prompt
        + usage.cached * rate("cache_read_input_token_cost", prompt)
        + usage.cache_write * rate("cache_creation_input_token_cost", prompt)
        + (usage.completion - usage.reasoning) * completion
        + usage.reasoning * rate("output_cost_per_reasoning_token", completion)
    )


def chat_models(*providers: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, entry in PRICES.items():
        provider = entry.get("litellm_provider")
        if f"{provider}/{name}" in PRICES:
            continue  # the full name wins
        if entry.get("input_cost_per_request") or "-search-" in name:
            continue  # no count of tokens tells what they cost
        if provider in providers and entry.get("mode") == "chat" and entry.get("input_cost_per_token"):
            yield provider, name.removeprefix(f"{provider}/"), entry


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "mistral"])
def test_cost_is_that_of_the_map(provider: str) -> None:
    """Every chat model's cost equals the independent one: for all classes, and around all steps."""
    models = list(chat_models(provider))
    assert len(models) > 10
    for name, model, entry in models:
        price = price_of(name, model)
        for usage in USAGES:
            assert abs(price.cost(usage) - calculated(entry, usage)) <= Fraction(1, 2), (model, usage)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("perplexity", "sonar"), ("perplexity", "pplx-70b-online"), ("openai", "gpt-4o-search-preview")],
)
def test_model_with_a_price_per_request_has_no_price(provider: str, model: str) -> None:
    """No count of tokens tells the price of a request or search: it is unknown, and budgets refuse it."""
    assert pricing.find(provider, model, Provider()) is None


def test_embeddings_cost_only_their_input() -> None:
    """An entry of an embedding model without a price of output has none to pay."""
    price = price_of("mistral", "mistral-embed")
    assert "output_cost_per_token" not in PRICES["mistral/mistral-embed"]
    assert (price.cost(Usage(prompt=1000)), price.bound(1000, 0)) == (100_000, 100_000)
    assert price_of("openai", "text-embedding-3-small").bound(1000, 0) == 20_000


def test_rerank_models_cost_searches_or_tokens() -> None:
    """A price per search is bound by the search units, a price per token by the tokens."""
    cohere, voyage = price_of("cohere", "rerank-v3.5"), price_of("voyage", "rerank-2.5")
    assert (cohere.bound(1000, 0, searches=3), cohere.cost(Usage(prompt=1000))) == (6_000_000, 0)
    assert (voyage.bound(1000, 0, searches=3), voyage.cost(Usage(prompt=1000))) == (50_000, 50_000)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("bedrock", "twelvelabs.marengo-embed-2-7-v1:0"), ("nvidia_nim", "nvidia/nv-rerankqa-mistral-4b-v3")],
)
def test_prices_of_other_units_are_unknown(provider: str, model: str) -> None:
    """A price per second and image, or of 0, is no price of a text."""
    assert pricing.find(provider, model, Provider()) is None


def test_long_prompts_are_dearer_only_above_their_step() -> None:
    """A model with a step charges the higher rates for the whole prompt from one token above it."""
    price = price_of("openai", "gpt-5.5")
    at, above = price.cost(Usage(prompt=272_000)), price.cost(Usage(prompt=272_001))
    entry = PRICES["gpt-5.5"]
    assert at == 272_000 * entry["input_cost_per_token"] * 10**9
    assert above == 272_001 * entry["input_cost_per_token_above_272k_tokens"] * 10**9
    assert above > at * 1.5


def priced() -> dict[str, ModelPrice]:
    """Return the price of every chat model of the map that has one, by its name there."""
    found = {}
    for name, entry in PRICES.items():
        provider = str(entry.get("litellm_provider"))
        if entry.get("mode") in ("chat", "responses"):
            price = pricing.find(provider, name.removeprefix(f"{provider}/"), Provider())
            if price is not None:
                found[name] = price
    return found


@settings(max_examples=8)
@given(data=st.data())
def test_bound_is_never_below_the_cost(data: st.DataObject) -> None:
    """For every model of the map, no usage within the bound costs more, at any service tier or region."""
    count = st.integers(0, 400_000)
    prompt, completion, more = (data.draw(count) for _ in range(3))
    cached = data.draw(st.integers(0, prompt))
    usage = Usage(
        prompt,
        completion,
        cached=cached,
        cache_write=data.draw(st.integers(0, prompt - cached)),
        reasoning=data.draw(st.integers(0, completion)),
    )
    classes = ("audio_prompt", "image_prompt", "audio_completion", "image_completion")
    media_tokens = {name: data.draw(count) for name in classes}
    models = priced()
    assert len(models) > 2000
    for name, price in models.items():
        regions = [value for place, value in price.factors.items() if place != "fast"]
        for tier in ("", *price.tiers):
            for factor in (Decimal(1), *regions):
                cost = price.cost(usage, media_tokens, tier=tier, factor=factor)
                if tier != "ultrafast":  # which nothing but the request itself can ask for
                    assert cost <= price.bound(prompt + more, completion), (name, tier, factor)


DEAR = {
    "output_cost_per_reasoning_token": Usage(completion=1000, reasoning=1000),
    "cache_creation_input_token_cost": Usage(prompt=1000, cache_write=1000),
    "cache_read_input_token_cost": Usage(prompt=1000, cached=1000),
}


@pytest.mark.parametrize("name", DEAR)
def test_every_dearer_class_is_in_bound_and_cost(name: str) -> None:
    """If a class is dearer than the others, tokens of that class alone cost its rate, within the bound."""
    plain = "output_cost_per_token" if name.startswith("output") else "input_cost_per_token"
    dearer = 0
    for model, price in priced().items():
        entry = PRICES[model]
        if entry.get(name) and not price.region and "tiered_pricing" not in entry:
            usage = DEAR[name]
            cost = price.cost(usage)
            assert abs(cost - 1000 * entry[name] * 10**9) <= 1
            assert cost <= price.bound(usage.prompt, usage.completion)
            dearer += entry[name] > entry[plain]
    assert dearer or name.startswith("cache_read")


def test_dearer_reasoning_is_bounded_at_its_own_rate() -> None:
    """At least fifteen models charge more for a token of reasoning than for one of the answer."""
    dear = [
        (PRICES[model], price)
        for model, price in priced().items()
        if PRICES[model].get("output_cost_per_reasoning_token", 0)
        > PRICES[model].get("output_cost_per_token", 10)
    ]
    assert len(dear) >= 15
    for entry, price in dear:
        assert price.bound(0, 1000) == 1000 * entry["output_cost_per_reasoning_token"] * 10**9
        assert price.affordable_completion(0, price.bound(0, 1000) + 1) == 1000


@pytest.mark.parametrize(
    ("media_tokens", "usage", "side"),
    [
        ({"audio_completion": 10}, Usage(completion=10), "output_cost_per_audio_token"),
        ({"audio_prompt": 10}, Usage(prompt=10), "input_cost_per_audio_token"),
    ],
)
def test_audio_is_charged_and_bounded_at_its_own_rate(
    media_tokens: dict[str, int], usage: Usage, side: str
) -> None:
    """Each token of audio is charged once, and no more of them than the usage has."""
    price, entry = (
        price_of("openai", "gpt-4o-audio-preview-2024-12-17"),
        PRICES["gpt-4o-audio-preview-2024-12-17"],
    )
    assert (
        price.cost(usage, media_tokens)
        == 10 * entry[side] * 10**9
        <= price.bound(usage.prompt, usage.completion)
    )
    assert price.cost(usage, dict.fromkeys(media_tokens, 99)) == price.cost(usage, media_tokens)


def test_a_cache_write_for_an_hour_is_charged_at_its_own_rate() -> None:
    """Tokens that are written for an hour cost more than those for minutes."""
    entry = PRICES["claude-haiku-4-5"]
    hour, minutes = (
        entry[f"cache_creation_input_token_cost{suffix}"] * 10**9 for suffix in ("_above_1hr", "")
    )
    price = price_of("anthropic", "claude-haiku-4-5")
    assert price.cost(Usage(prompt=10, cache_write=10, cache_write_1h=6)) == 6 * hour + 4 * minutes


def test_bound_takes_the_dearest_rate_of_each_side() -> None:
    """Every token counts at the dearest class of its side: here a cache write for minutes."""
    entry = PRICES["claude-haiku-4-5"]
    exact = 100 * entry["cache_creation_input_token_cost"] + 10 * entry["output_cost_per_token"]
    assert price_of("anthropic", "claude-haiku-4-5").bound(100, 10) == exact * 10**9


def test_bound_includes_the_service_tier_that_an_account_may_apply() -> None:
    """OpenAI's projects can default to priority; ultrafast applies only on request."""
    entry = PRICES["gpt-4o-mini"]
    dear = 100 * entry["input_cost_per_token_priority"] + 10 * entry["output_cost_per_token_priority"]
    assert price_of("openai", "gpt-4o-mini").bound(100, 10) == dear * 10**9
    astra = price_of("openai", "gpt-6-astra")
    assert astra.bound(100, 10) < astra.cost(Usage(100, 10), tier="ultrafast")


def test_bound_of_a_short_prompt_ignores_rates_for_long_ones() -> None:
    """The rates above a step do not count for a prompt that cannot exceed it."""
    price = price_of("gemini", "gemini-2.5-pro")
    below, above = price.bound(200_000, 0), price.bound(200_001, 0)
    assert above > 1.5 * below


def test_xai_charges_long_prompts_from_the_step_on() -> None:
    """At xAI the higher rates begin at the step; elsewhere they begin above it."""
    name, entry = next(
        (name, entry)
        for name, entry in PRICES.items()
        if entry.get("litellm_provider") == "xai" and "input_cost_per_token_above_200k_tokens" in entry
    )
    price = price_of("xai", name.removeprefix("xai/"))
    assert price.cost(Usage(200_000)) == round(
        200_000 * entry["input_cost_per_token_above_200k_tokens"] * 10**9
    )


def test_tiered_pricing_is_read() -> None:
    """Alibaba's entries list their steps; one step applies to the whole request."""
    entry = PRICES["dashscope/qwen-flash"]["tiered_pricing"]
    price = price_of("dashscope", "qwen-flash")
    for step, prompt in zip(entry, (256_000, 256_001), strict=True):
        assert price.cost(Usage(prompt=prompt)) == round(prompt * step["input_cost_per_token"] * 10**9)


@pytest.mark.parametrize(
    ("provider", "model", "api_base", "factor"),
    [
        ("openai", "gpt-5.5", None, "1"),
        ("openai", "gpt-5.5", "https://api.openai.com/v1", "1"),
        ("openai", "gpt-5.5", "https://eu.api.openai.com/v1", "1.1"),
        ("openai", "gpt-5.5", "https://us.api.openai.com/v1", "1.1"),
        ("openai", "gpt-4o-mini", "https://eu.api.openai.com/v1", "1"),
        ("openai", "gpt-5.5", "https://eu.example.com/v1", "1"),
        ("vertex_ai", "gemini-3.5-flash", None, "1.1"),
        ("vertex_ai", "gemini-3.5-flash", "https://aiplatform.googleapis.com", "1"),
    ],
)
def test_a_regional_host_has_its_uplift(provider: str, model: str, api_base: str | None, factor: str) -> None:
    """The map's multiplier for the host's region is in cost and bound."""
    price = price_of(provider, model, **({"api_base": api_base} if api_base else {}))
    entry = PRICES[model] if model in PRICES else PRICES[f"{provider}/{model}"]
    cost = 1000 * entry["input_cost_per_token"] * Fraction(factor) * 10**9
    assert price.cost(Usage(prompt=1000)) == cost
    assert price.bound(1000, 0) >= cost


def test_yaml_price_wins_over_the_map() -> None:
    """A price in YAML replaces the map's; cached input costs as much as input unless it has its own price."""
    prices = {"gpt-4o-mini": {"input": "3", "output": "10"}}
    usage = Usage(prompt=1000, completion=100, cached=400, cache_write=100, reasoning=50)
    assert price_of("openai", "gpt-4o-mini", prices=prices).cost(usage) == 1000 * 3000 + 100 * 10_000
    prices["gpt-4o-mini"]["cached_input"] = "0.5"
    cost = price_of("openai", "gpt-4o-mini", prices=prices).cost(usage)
    assert cost == 600 * 3000 + 400 * 500 + 100 * 10_000


def test_cost_is_rounded_and_bound_is_rounded_up() -> None:
    """A cost is rounded to the nearest nano-dollar; a bound is never rounded down."""
    price = price_of("openai", "m", prices={"m": {"input": "0.0004", "output": "0"}})
    assert (price.cost(Usage(prompt=1)), price.bound(1, 0)) == (0, 1)
    assert (price.cost(Usage(prompt=2)), price.bound(2, 0)) == (1, 1)


def test_only_a_provider_configured_as_free_is_free() -> None:
    """A provider with price: free costs nothing; a price in YAML for one of its models still applies."""
    settings = {"price": "free", "prices": {"paid": {"input": "1", "output": "1"}}}
    assert price_of("ollama", "llama3.1", **settings).cost(Usage(prompt=10**6, completion=10**6)) == 0
    assert price_of("ollama", "paid", **settings).cost(Usage(prompt=1, completion=1)) == 2000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99-imaginary"),
        ("anthropic", "gpt-4o-mini"),
        ("huggingface", "meta-llama/llama-3.1-8b-instruct"),
        ("ollama", "gemma4:12b"),
        ("openai", "openai/container"),
        ("cohere_chat", "command-a-plus-05-2026"),
        ("ollama", "gpt-oss:120b-cloud"),
    ],
)
def test_unknown_price_is_none(provider: str, model: str) -> None:
    """A model without a known price at this provider has None, never 0; also if LiteLLM's map has 0."""
    assert pricing.find(provider, model, Provider()) is None


async def test_prices_stay_when_a_router_changes_the_map() -> None:
    """LiteLLM's Router writes to its map; that changes no price here."""
    known, unknown = "claude-opus-4-5", "gpt-99-imaginary"
    before = price_of("anthropic", known)
    for model in (f"anthropic/{known}", f"openai/{unknown}"):
        params = {"model": model, "api_key": "none", "mock_response": "Hello."}
        router = litellm.Router(model_list=[{"model_name": "x", "litellm_params": params}])
        await router.acompletion("x", [{"role": "user", "content": "Hello"}])
        router.discard()
    assert len(litellm.model_cost[known]) > len(PRICES[known])
    assert price_of("anthropic", known) == before
    assert pricing.find("openai", unknown, Provider()) is None


@pytest.mark.parametrize(
    ("provider", "model", "kinds"),
    [
        ("openai", "gpt-4o-mini", {"image", "pdf"}),
        ("anthropic", "claude-haiku-4-5", {"image", "pdf"}),
        ("openai", "gpt-3.5-turbo", set()),
        ("anthropic", "gpt-4o-mini", set()),
        ("ollama", "never-heard-of", set()),
    ],
)
def test_supported_attachments_are_those_of_the_map(provider: str, model: str, kinds: set[str]) -> None:
    """A model that the map does not have at that provider supports no attachments."""
    assert pricing.supported_attachments(provider, model) == kinds


@pytest.mark.parametrize(
    ("provider", "model", "hides"),
    [
        ("openai", "gpt-5", True),
        ("azure", "gpt-5.1", True),
        ("xai", "grok-4.3", True),
        ("openai", "gpt-4.1", False),
        ("anthropic", "claude-sonnet-4-5", False),
    ],
)
def test_models_that_hide_their_reasoning(provider: str, model: str, hides: bool) -> None:
    """These are reasoning models of providers whose streams do not show the reasoning."""
    assert pricing.hides_reasoning(provider, model) is hides
