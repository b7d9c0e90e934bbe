"""Prices, against a calculation of their own: fractions over the JSON that LiteLLM bundles."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernova_ai.config import Provider
from supernova_ai.litellm_adapter import prices as pricing
from supernova_ai.litellm_adapter import token_bounds
from supernova_ai.litellm_adapter.rates import ModelPrice
from supernova_ai.litellm_adapter.setup import litellm
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


def price_of(provider: str, model: str, **settings: Any) -> ModelPrice:
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


def priced() -> dict[str, ModelPrice]:
    """Every chat model of the map that has a price, by its name there."""
    found = {}
    for name, entry in PRICES.items():
        provider = str(entry.get("litellm_provider"))
        if entry.get("mode") in ("chat", "responses"):
            price = pricing.find(provider, name.removeprefix(f"{provider}/"), Provider())
            if price is not None:
                found[name] = price
    return found


@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_bound_is_never_below_the_cost(data: st.DataObject) -> None:
    """Of every model of the map: no usage within the bounds costs more, however it is split and served."""
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
def test_every_dearer_class_is_in_the_bound_and_in_the_cost(name: str) -> None:
    """Where the map prices a class above the others, an attempt of nothing else costs that and is bounded."""
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


def test_thinking_that_is_dearer_than_speaking_is_bounded_at_its_own_rate() -> None:
    """Fifteen models charge more for a token of reasoning than for one of the answer."""
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
    """Where an answer says so; the others are written for minutes."""
    entry = PRICES["claude-haiku-4-5"]
    hour, minutes = (
        entry[f"cache_creation_input_token_cost{suffix}"] * 10**9 for suffix in ("_above_1hr", "")
    )
    price = price_of("anthropic", "claude-haiku-4-5")
    assert price.cost(Usage(prompt=10, cache_write=10, cache_write_1h=6)) == 6 * hour + 4 * minutes


def test_bound_takes_the_dearest_rate_of_each_side() -> None:
    """The bound has the dearest class of each side for every token: here writing the cache, for minutes."""
    entry = PRICES["claude-haiku-4-5"]
    exact = 100 * entry["cache_creation_input_token_cost"] + 10 * entry["output_cost_per_token"]
    assert price_of("anthropic", "claude-haiku-4-5").bound(100, 10) == exact * 10**9


def test_bound_has_the_service_tier_that_an_account_may_default_to() -> None:
    """OpenAI's projects can be set to priority; flex and batch are cheaper; ultrafast must be asked for."""
    entry = PRICES["gpt-4o-mini"]
    dear = 100 * entry["input_cost_per_token_priority"] + 10 * entry["output_cost_per_token_priority"]
    assert price_of("openai", "gpt-4o-mini").bound(100, 10) == dear * 10**9
    astra = price_of("openai", "gpt-6-astra")
    assert astra.bound(100, 10) < astra.cost(Usage(100, 10), tier="ultrafast")


def test_bound_of_a_short_prompt_has_no_rates_of_long_ones() -> None:
    """A prompt that cannot pass the step is not held at the rates above it."""
    price = price_of("gemini", "gemini-2.5-pro")
    below, above = price.bound(200_000, 0), price.bound(200_001, 0)
    assert above > 1.5 * below


def test_xai_counts_the_step_itself_to_the_long_prompts() -> None:
    """At xAI the higher rates begin at the step, elsewhere above it."""
    name, entry = next(
        (name, entry)
        for name, entry in PRICES.items()
        if entry.get("litellm_provider") == "xai" and "input_cost_per_token_above_200k_tokens" in entry
    )
    price = price_of("xai", name.removeprefix("xai/"))
    assert price.cost(Usage(200_000)) == round(
        200_000 * entry["input_cost_per_token_above_200k_tokens"] * 10**9
    )


def test_steps_of_another_form_are_read() -> None:
    """Alibaba's entries list their steps; one price holds for the whole request."""
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
    """The map's multiplier of the host's region is in every rate, and so in cost and bound."""
    price = price_of(provider, model, **({"api_base": api_base} if api_base else {}))
    entry = PRICES[model] if model in PRICES else PRICES[f"{provider}/{model}"]
    cost = 1000 * entry["input_cost_per_token"] * Fraction(factor) * 10**9
    assert price.cost(Usage(prompt=1000)) == cost
    assert price.bound(1000, 0) >= cost


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
    assert litellm.token_counter(model=model, messages=messages) <= token_bounds.messages_bound(messages)


def test_prompt_bound_holds_for_awkward_texts() -> None:
    """Emoji, joined letters, control signs and special tokens stay within the bound, however many."""
    for piece in (
        "👩‍👩‍👧‍👦",
        "\u0301",
        "\x00",
        "<|endoftext|>",
        "ﷺ",
        "\U000e0041",
        " \n",
        "漢",
        "İ",
        "각",
        "ﬃ",
    ):
        messages = [{"role": "user", "content": piece * 200}]
        for model in ("gpt-4o", "claude-haiku-4-5"):
            counted = litellm.token_counter(model=model, messages=messages)
            assert counted <= token_bounds.messages_bound(messages), (model, piece)


def test_no_character_is_longer_in_any_form_than_its_bound() -> None:
    """Every character there is, in each normal form, as it is and in lower case, before and after."""
    forms: tuple[Any, ...] = ("NFC", "NFD", "NFKC", "NFKD")
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Co", "Cs"):
            continue
        bound = token_bounds.text_bound(character)
        for form in forms:
            normal = unicodedata.normalize(form, character)
            if normal != character or not character.islower():
                for read in (normal, normal.lower(), unicodedata.normalize(form, character.casefold())):
                    assert len(read.encode("utf-8", "surrogatepass")) <= bound, (hex(code), form)


@given(text=st.text(max_size=200))
def test_no_text_is_longer_in_any_normal_form_than_its_bound(text: str) -> None:
    """What is joined with its neighbours becomes no longer by that."""
    forms: tuple[Any, ...] = ("NFC", "NFD", "NFKC", "NFKD")
    for form in forms:
        assert len(unicodedata.normalize(form, text).encode()) <= token_bounds.text_bound(text)
    assert len(text.encode()) <= token_bounds.text_bound(text)


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
def test_who_thinks_unseen(provider: str, model: str, hides: bool) -> None:
    """Models that reason at providers whose streams do not show it."""
    assert pricing.hides_reasoning(provider, model) is hides


def test_attachments_are_in_the_bound() -> None:
    """Images and pages come on top of the text, by the model's own rule where it has one."""
    image, document = Attachment("image/png", b""), Attachment("application/pdf", b"", pages=3)
    request = Request("r", ({"role": "user", "content": "Hi"},), "standard", "chat", 10)
    plain = token_bounds.request_bound(request, "gpt-4.1")
    assert plain == token_bounds.messages_bound(request.messages) + token_bounds.TEMPLATE_ALLOWANCE
    both = replace(request, attachments=(image, document))
    assert token_bounds.request_bound(both, "gpt-4.1") == plain + 5_000 + 3 * 8_000
    dear = 2_833 + 8 * 5_667
    assert token_bounds.request_bound(both, "gpt-4o-mini-2024-07-18") == plain + dear + 3 * (dear + 3_000)
