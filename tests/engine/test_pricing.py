"""Prices, against a calculation of their own: fractions over the JSON that LiteLLM bundles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernova_ai.config import Provider
from supernova_ai.engine import pricing
from supernova_ai.engine.lite import litellm
from supernova_ai.engine.pricing import Price
from supernova_ai.types import Attachment, Request, Usage

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


def price_of(provider: str, model: str, **settings: Any) -> Price:
    price = pricing.find(provider, model, Provider.model_validate(settings))
    assert price is not None
    return price


def calculated(entry: dict[str, Any], usage: Usage) -> Fraction:
    """What an entry of the map charges for the usage, in nano-USD."""
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
def test_cost_is_what_the_map_says(provider: str) -> None:
    """Every chat model's cost is the independent one to the nano-dollar: all classes, around all steps."""
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
def test_what_costs_beside_its_tokens_has_no_price(provider: str, model: str) -> None:
    """A price per request or search is in no count of tokens: unknown, so that a budget refuses it."""
    assert pricing.find(provider, model, Provider()) is None


def test_long_prompts_are_dearer_only_above_their_step() -> None:
    """A model with a step charges the higher rates for the whole prompt from one token above it."""
    price = price_of("openai", "gpt-5.5")
    at, above = price.cost(Usage(prompt=272_000)), price.cost(Usage(prompt=272_001))
    entry = PRICES["gpt-5.5"]
    assert at == 272_000 * entry["input_cost_per_token"] * 10**9
    assert above == 272_001 * entry["input_cost_per_token_above_272k_tokens"] * 10**9
    assert above > at * 1.5


@settings(deadline=None)
@given(data=st.data(), usage=st.sampled_from(USAGES))
def test_bound_is_never_below_the_cost(data: st.DataObject, usage: Usage) -> None:
    """No usage within the bounds costs more than the bound, whatever is cached, written or thought."""
    _, model, _ = data.draw(st.sampled_from(list(chat_models("openai", "anthropic"))))
    price = pricing.find("openai", model, Provider()) or price_of("anthropic", model)
    more = data.draw(st.integers(0, 10_000))
    assert price.cost(usage) <= price.bound(usage.prompt + more, usage.completion)


def test_bound_takes_the_dearest_rate_of_each_side() -> None:
    """The bound is the dearest step's dearest class for every token: here writing the cache."""
    entry = PRICES["claude-haiku-4-5"]
    exact = 100 * entry["cache_creation_input_token_cost"] + 10 * entry["output_cost_per_token"]
    assert price_of("anthropic", "claude-haiku-4-5").bound(100, 10) == exact * 10**9


def test_yaml_price_wins_over_the_map() -> None:
    """A price in YAML replaces the map's; cached input costs as much as input unless given."""
    prices = {"gpt-4o-mini": {"input": "3", "output": "10"}}
    usage = Usage(prompt=1000, completion=100, cached=400, cache_write=100, reasoning=50)
    assert price_of("openai", "gpt-4o-mini", prices=prices).cost(usage) == 1000 * 3000 + 100 * 10_000
    prices["gpt-4o-mini"]["cached_input"] = "0.5"
    cost = price_of("openai", "gpt-4o-mini", prices=prices).cost(usage)
    assert cost == 600 * 3000 + 400 * 500 + 100 * 10_000


def test_half_a_nano_is_rounded_and_a_bound_is_rounded_up() -> None:
    """A cost goes to the nearest nano-dollar; a bound never goes below what it bounds."""
    price = price_of("openai", "m", prices={"m": {"input": "0.0004", "output": "0"}})
    assert (price.cost(Usage(prompt=1)), price.bound(1, 0)) == (0, 1)
    assert (price.cost(Usage(prompt=2)), price.bound(2, 0)) == (1, 1)


def test_free_is_said_and_not_guessed() -> None:
    """A provider called free costs nothing; a price in YAML for one of its models still counts."""
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
def test_unknown_is_none(provider: str, model: str) -> None:
    """A model without a known price for this provider has None, never 0; so has one LiteLLM lists at 0."""
    assert pricing.find(provider, model, Provider()) is None


async def test_prices_stay_once_litellm_knows_the_models() -> None:
    """A Router writes into LiteLLM's map: that makes no unpriced model look free, no long prompt cheap."""
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


@settings(deadline=None)  # the tokenizers are loaded in the first example
@given(text=st.text(max_size=300), role=st.sampled_from(["user", "system", "assistant"]))
@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-3.5-turbo", "claude-haiku-4-5", "llama3.1"])
def test_prompt_bound_is_never_below_a_tokenizer(model: str, text: str, role: str) -> None:
    """Whatever the text, no tokenizer counts more tokens than the bound, alone or as one of two messages."""
    messages = [{"role": role, "content": text}, {"role": "user", "content": "and?"}]
    assert litellm.token_counter(model=model, messages=messages) <= pricing.prompt_bound(messages)


def test_prompt_bound_holds_for_awkward_texts() -> None:
    """Emoji, joined letters, control signs and special tokens stay within the bound, however many."""
    for piece in ("👩‍👩‍👧‍👦", "\u0301", "\x00", "<|endoftext|>", "ﷺ", "\U000e0041", " \n", "漢"):
        messages = [{"role": "user", "content": piece * 200}]
        assert litellm.token_counter(model="gpt-4o", messages=messages) <= pricing.prompt_bound(messages)


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
def test_what_a_model_takes_is_what_the_map_says(provider: str, model: str, kinds: set[str]) -> None:
    """A model that LiteLLM's map does not have at that provider takes no attachments."""
    assert pricing.takes(provider, model) == kinds


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
def test_who_thinks_unseen(provider: str, model: str, hides: bool) -> None:
    """Models that reason at providers whose streams do not show it."""
    assert pricing.hides_thoughts(provider, model) is hides


def test_attachments_are_in_the_bound() -> None:
    """Images and pages come on top of the text, by the model's own rule where it has one."""
    image, document = Attachment("image/png", b""), Attachment("application/pdf", b"", pages=3)
    request = Request("r", ({"role": "user", "content": "Hi"},), "standard", "chat", 10)
    plain = pricing.bound(request, "gpt-4.1")
    assert plain == pricing.prompt_bound(request.messages) + pricing.TEMPLATE_ALLOWANCE
    both = replace(request, attachments=(image, document))
    assert pricing.bound(both, "gpt-4.1") == plain + 5_000 + 3 * 8_000
    dear = 2_833 + 8 * 5_667
    assert pricing.bound(both, "gpt-4o-mini-2024-07-18") == plain + dear + 3 * (dear + 3_000)
