"""Price terms in an answer are used; where the price is unknown, the highest is the bound."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai import Supernova
from supernova_ai.config import Provider
from supernova_ai.litellm_adapter.price_terms import PriceTerms, cost_of_answer, read_price_terms
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.money import to_usd
from supernova_ai.pricing import prices
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Raw, StubProvider
from supernova_ai.types import Usage

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

USAGE = Usage(prompt=1000, completion=100, cached=200)
HELD = 10**9
NOTHING = PriceTerms()
OWN = {"prices": {"openai/gpt-4o": {"input": "1", "output": "1"}}}


def charged(provider: str, model: str, said: PriceTerms, held: int = HELD) -> tuple[int, str]:
    price = prices.find(provider, model, Provider())
    return cost_of_answer(provider, model, price, USAGE, said, held=held)[:2]


def at(name: str, suffix: str = "") -> int:
    """Return what the usage costs at an entry of the map, at one service tier, in nano-USD."""
    entry = litellm.model_cost[name]
    fresh, cached, out = (
        Decimal(str(entry[f"{rate}{suffix}"]))
        for rate in ("input_cost_per_token", "cache_read_input_token_cost", "output_cost_per_token")
    )
    return round((800 * fresh + 200 * cached + 100 * out) * 10**9)


def test_answer_without_terms_costs_the_standard_price() -> None:
    """An answer that names the usual model costs the same."""
    usual = PriceTerms(model="gpt-4o-mini")
    assert charged("openai", "gpt-4o-mini", NOTHING) == (at("gpt-4o-mini"), "exact")
    assert charged("openai", "gpt-4o-mini", usual) == (at("gpt-4o-mini"), "exact")


@pytest.mark.parametrize(
    ("said", "suffix"),
    [
        ("default", ""),
        ("auto", ""),
        ("standard", ""),
        ("priority", "_priority"),
        ("PRIORITY", "_priority"),
        ("fast", "_priority"),
        ("flex", "_flex"),
        ("ultrafast", "_ultrafast"),
    ],
)
def test_the_service_tier_of_the_answer_is_its_price(said: str, suffix: str) -> None:
    """The map's rates for the tier apply: priority is dearer, flex cheaper."""
    answer = SimpleNamespace(service_tier=said, usage=None)
    assert charged("openai", "gpt-6-astra", read_price_terms([answer])) == (
        at("gpt-6-astra", suffix),
        "exact",
    )


@pytest.mark.parametrize("tier", ["scale", "flex", "performance"])
def test_a_service_tier_without_a_price_is_not_exact(tier: str) -> None:
    """The answer costs the dearest tier that the model's price has."""
    found = charged("openai", "gpt-4o-mini", PriceTerms(service_tier=tier))
    assert found == (at("gpt-4o-mini", "_priority"), "bound")


@pytest.mark.parametrize(
    ("provider", "asked", "answered"),
    [
        ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("openai", "gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai", "gpt-4o-mini", "gpt-4o-mini-2031-01-31"),
        ("openai", "gpt-4o-mini", "some-name-of-a-gateway"),
        ("openai", "gpt-4o-mini", "m"),
        ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5@20310101"),
        ("mistral", "mistral-large-latest", "mistral-large-3112"),
        ("gemini", "gemini-2.5-pro", "models/gemini-2.5-pro"),
        ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama-3.3-70b-instruct-turbo"),
    ],
)
def test_other_name_of_the_same_model_is_exact(provider: str, asked: str, answered: str) -> None:
    """The name may have a date, a prefix or a maker's name, or be a gateway's own."""
    usual = charged(provider, asked, NOTHING)
    assert usual[1] == "exact"
    assert charged(provider, asked, PriceTerms(model=answered)) == usual


def test_other_model_costs_its_own_price() -> None:
    """The price of the model that answered applies, if the map has it."""
    for asked, answered in (("gpt-4o-mini", "gpt-4o-2024-11-20"), ("gpt-4o", "gpt-4o-mini")):
        said = PriceTerms(model=answered)
        assert charged("openai", asked, said) == (at(answered), "exact")


def test_unknown_model_is_not_exact() -> None:
    """Another provider's model costs the dearer of both prices; one without a price costs the hold."""
    haiku = prices.find("anthropic", "claude-haiku-4-5", Provider())
    assert haiku is not None
    foreign = charged("openai", "gpt-4o-mini", PriceTerms(model="claude-haiku-4-5"))
    assert foreign == (haiku.cost(USAGE), "bound")
    assert charged("openai", "gpt-4o", PriceTerms(model="gpt-4o-mini-of-mine")) == (HELD, "bound")
    cheaper = charged("anthropic", "claude-haiku-4-5", PriceTerms(model="gpt-4o-mini"))
    assert cheaper == (haiku.cost(USAGE), "bound")


def test_region_and_mode_multiply_the_cost() -> None:
    """Anthropic reports the region, and whether the fast mode was used."""
    plain, _ = charged("anthropic", "claude-opus-5", NOTHING)
    for usage, factor in (
        ({"inference_geo": "us"}, "1.1"),
        ({"inference_geo": "global"}, "1"),
        ({"inference_geo": "not_available"}, "1"),
        ({"speed": "fast"}, "2"),
        ({"speed": "standard"}, "1"),
    ):
        said = read_price_terms([SimpleNamespace(usage=SimpleNamespace(**usage))])
        assert charged("anthropic", "claude-opus-5", said) == (round(plain * Decimal(factor)), "exact")
    price = prices.find("anthropic", "claude-opus-5", Provider())
    assert price is not None
    bound = price.bound(USAGE.prompt, USAGE.completion)
    assert bound >= price.cost(replace(USAGE, cached=0), factor=Decimal("1.1"))


def test_price_that_changes_by_the_hour_is_not_exact() -> None:
    """DeepSeek is cheaper outside its peak hours; the price at peak hours is the bound."""
    model = next(name for name, entry in litellm.model_cost.items() if entry.get("off_peak_pricing"))
    provider = litellm.model_cost[model]["litellm_provider"]
    assert charged(provider, model.removeprefix(f"{provider}/"), NOTHING)[1] == "bound"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"cost": 0.0123}, 12_300_000),
        ({"cost": 0}, 0),
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}, 21_000_000),
        ({"cost": 0.02, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.02}}, 20_000_000),
        ({"cost": 0.02, "is_byok": True, "cost_details": None}, None),
        ({"cost": None}, None),
        ({"cost": -1}, None),
        ({"cost": float("nan")}, None),
        ({"cost": float("inf")}, None),
        ({"cost": "0.1"}, None),
        ({"cost": True}, None),
        ({"cost": {"total_cost": 1}}, None),
        ({"cost": 1e300}, None),
    ],
)
def test_openrouters_charge_is_the_cost(usage: dict[str, Any], expected: int | None) -> None:
    """The charge is exact, also for a model without a price; a value that is no amount is ignored."""
    said = read_price_terms([SimpleNamespace(usage=SimpleNamespace(**usage))])
    assert said.charged == expected
    if expected is not None:
        own = prices.find("openrouter", "openai/gpt-4o", Provider.model_validate(OWN))
        found = cost_of_answer("openrouter", "openai/gpt-4o", own, USAGE, said, held=HELD)[:2]
        assert found == (expected, "exact")
        assert charged("openrouter", "nobody/knows-it", said) == (expected, "exact")
        assert charged("openai", "gpt-4o", said) == charged(
            "openai", "gpt-4o", NOTHING
        )  # other providers report no charge


def test_an_absurd_charge_costs_the_hold() -> None:
    """A provider's mistake does not use up a budget."""
    own = prices.find("openrouter", "openai/gpt-4o", Provider.model_validate(OWN))
    said = PriceTerms(charged=10**15)
    assert cost_of_answer("openrouter", "openai/gpt-4o", own, USAGE, said, held=HELD)[:2] == (HELD, "bound")


def test_price_in_yaml_applies_whatever_the_answer_says() -> None:
    """A price in YAML, or price: free, wins over the tier, model and region that an answer names."""
    said = PriceTerms("gpt-4o-mini", "priority", "us", "fast", charged=1)
    for provider, settings, cost in (
        ("openai", OWN, 1_100_000),
        ("openai", {"price": "free"}, 0),
        ("openrouter", {"price": "free"}, 0),
    ):
        price = prices.find(provider, "openai/gpt-4o", Provider.model_validate(settings))
        assert cost_of_answer(provider, "openai/gpt-4o", price, USAGE, said, held=HELD)[:2] == (cost, "exact")


@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", object()])
def test_malformed_terms_are_ignored(value: object) -> None:
    """Reading does not fail, whatever the fields contain."""
    usage = SimpleNamespace(
        service_tier=value, inference_geo=value, speed=value, cost=value, cost_details=value, is_byok=value,
        prompt_tokens_details=value, completion_tokens_details=value,
    )  # fmt: skip
    hidden = {"provider_response_model": value, "provider_specific_fields": value}
    for answer in (
        value,
        SimpleNamespace(model=value, service_tier=value, usage=usage, _hidden_params=hidden),
    ):
        said = read_price_terms([answer])
        assert (said.model, said.service_tier, said.region, said.mode, said.media_tokens) == (
            "",
            "",
            "",
            "",
            {},
        )


# Through the whole stack


COUNTS = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}


def raw(streaming: bool, usage: dict[str, Any] = COUNTS, **said: Any) -> Raw:
    """Return an answer in OpenAI's dialect with these terms."""
    head = {"id": "c1", "created": 1, "model": "gpt-4o-mini"} | said
    if not streaming:
        choice = {"index": 0, "message": {"role": "assistant", "content": "Bonds."}, "finish_reason": "stop"}
        body = head | {"object": "chat.completion", "choices": [choice], "usage": usage}
        return Raw(200, "application/json", json.dumps(body))
    deltas: list[tuple[dict[str, str], str | None]] = [({"content": "Bonds."}, None), ({}, "stop")]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in deltas
    ]
    chunks.append({"choices": [], "usage": usage})
    lines = (json.dumps(head | {"object": "chat.completion.chunk"} | chunk) for chunk in chunks)
    return Raw(200, "text/event-stream", "".join(f"data: {line}\n\n" for line in lines) + "data: [DONE]\n\n")


each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


@each_way
@pytest.mark.parametrize(
    ("said", "name", "suffix"),
    [
        ({}, "gpt-4o-mini", ""),
        ({"service_tier": "default", "model": "gpt-4o-mini-2024-07-18"}, "gpt-4o-mini", ""),
        ({"service_tier": "priority"}, "gpt-4o-mini", "_priority"),
        ({"model": "gpt-4o-2024-11-20"}, "gpt-4o-2024-11-20", ""),
    ],
    ids=["usual", "named", "priority", "another model"],
)
async def test_an_answer_is_settled_at_its_own_price(
    said: dict[str, Any],
    name: str,
    suffix: str,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
) -> None:
    """The ledger has the cost by the answer's terms, for whole answers and streams."""
    nova = open_nova({"openai": stub_provider(raw(streaming, **said)).url})
    reply = await nova.chat("What is a bond?", streaming=streaming)
    entry = litellm.model_cost[name]
    rates = [entry[f"{side}_cost_per_token{suffix}"] for side in ("input", "output")]
    (row,) = attempts()
    assert (row.cost, row.basis) == (round((12 * rates[0] + 8 * rates[1]) * 1e9), "exact")
    assert (reply.cost, reply.cost_basis) == (to_usd(row.cost), row.basis)
    assert row.cost <= row.held


@each_way
async def test_openrouters_charge_is_settled(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """The reported charge is the cost, to the nano-dollar."""
    stub = stub_provider(raw(streaming, COUNTS | {"cost": 0.000123456}))
    models = {"models": {"standard": "openai/gpt-4o"}, "keys": ["primary"]}
    settings = {"url": f"{stub.url}/v1", **models, **OWN}
    reply = await open_nova({"openrouter": settings}).chat("What is a bond?", streaming=streaming)
    (row,) = attempts()
    assert (row.cost, row.basis, reply.cost_basis) == (123_456, "exact", "exact")


@pytest.mark.parametrize(
    ("usage", "saved"),
    [
        (Usage(prompt=1000, completion=9, cached=800), 800 * 900),  # a tenth of the price
        (Usage(prompt=1000, completion=9, cache_write=800), -800 * 250),  # a quarter more
        (Usage(prompt=1000, completion=9, cached=100, cache_write=400), 100 * 900 - 400 * 250),
        (Usage(prompt=1000, completion=9), 0),
    ],
)
def test_what_a_prompt_cache_saves_is_known(usage: Usage, saved: int) -> None:
    """It is the price without the cache less the cost, at the same rates; a first write costs more."""
    price = prices.find("anthropic", "claude-haiku-4-5", Provider())
    found = cost_of_answer("anthropic", "claude-haiku-4-5", price, usage, NOTHING, held=HELD)
    assert found.saved == saved
    assert found.cost + saved == 1000 * 1000 + 9 * 5000


def test_nothing_is_saved_where_no_rate_says_so() -> None:
    """An unknown price, a charge of the provider's own and an unknown model save 0."""
    price = prices.find("openai", "gpt-4o", Provider())
    for provider, known, said in (
        ("openai", None, NOTHING),
        ("openrouter", price, PriceTerms(charged=5)),
        ("openai", price, PriceTerms(model="gpt-99-unheard-of")),
    ):
        assert cost_of_answer(provider, "gpt-4o", known, USAGE, said, held=HELD).saved == 0
