"""What an answer itself says of its price, and what it costs by that.

A provider may serve a request at another service tier, from another region or with another model than it was
asked for; the cost then comes from the price map's rates for those. OpenRouter reports what it charged. Where
the map has no rate, the answer costs the most that it can, and the cost is not called exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from supernova_ai.money import to_nano
from supernova_ai.pricing import prices
from supernova_ai.pricing.price_map import bundled
from supernova_ai.pricing.rates import HOUR, ModelPrice
from supernova_ai.types import CostBasis, Message, Request, Usage

_STANDARD = ("", "default", "standard", "auto", "on_demand", "not_available", "global")
"""Names that answers have for the standard service tier, region and mode."""

_TIERS = {
    "fast": "priority",
    "batch": "batches",
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
}
"""Names that answers have for service tiers, where the map has another name."""

_MEDIA = (
    ("prompt_tokens_details", "audio_tokens", "audio_prompt"),
    ("prompt_tokens_details", "image_tokens", "image_prompt"),
    ("completion_tokens_details", "audio_tokens", "audio_completion"),
    ("completion_tokens_details", "image_tokens", "image_completion"),
)
"""Where an answer counts tokens of audio and images, and the name of their rate."""

_REPORT_CHARGES = ("openrouter",)
"""Providers that report in USD what they charged for an answer."""

_CREDIBLE = 10
"""A reported charge is believed up to so many times the hold: a mistake must not empty a budget."""

_map_price = lru_cache(maxsize=256)(prices.map_price)  # answers name the same few models again and again

_VERSION = re.compile(r"[-@:](latest|default|\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})$")


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What an answer says of its price: "" or None where it says nothing.

    ``charged`` is in nano-USD; ``media_tokens`` are tokens of audio and images, by the name of their rate;
    ``searches`` are the search units of a request to rerank.
    """

    model: str = ""
    service_tier: str = ""
    region: str = ""
    mode: str = ""
    charged: int | None = None
    media_tokens: Mapping[str, int] = field(default_factory=dict)
    searches: int | None = None


class AnswerCost(NamedTuple):
    """What an answer costs in nano-USD, and whether that is exact, bound or unknown.

    ``saved`` is how much more it would cost if none of its prompt were read from or written to the provider's
    cache; it is below 0 if writing cost more than reading saved.
    """

    cost: int
    basis: CostBasis
    saved: int = 0


def asked_terms(request: Request) -> frozenset[str]:
    """Return what a request asks for that changes its price: a service tier, and a cache of an hour."""
    tier = request.parameters.get("service_tier", "")
    hour = request.prompt_cache == "1h" or _marks_an_hour(request.messages)
    return frozenset(
        ({_TIERS.get(tier, tier)} if tier not in _STANDARD else set()) | ({HOUR} if hour else set())
    )


def _marks_an_hour(messages: Iterable[Message]) -> bool:
    marked = (
        holder["cache_control"]
        for message in messages
        for holder in (message, *(m for m in _parts(message) if isinstance(m, Mapping)))
        if "cache_control" in holder
    )
    return any(not isinstance(mark, Mapping) or mark.get("ttl") not in (None, "5m") for mark in marked)


def _parts(message: Message) -> Iterable[Any]:
    content = message.get("content")
    return content if isinstance(content, list | tuple) else ()


def read_price_terms(answers: Iterable[Any]) -> PriceTerms:
    """Read the terms of LiteLLM's answer, or of a stream's chunks: the last that names a term counts."""
    found: dict[str, Any] = {}
    for answer in answers:
        hidden = getattr(answer, "_hidden_params", None)
        hidden = hidden if isinstance(hidden, dict) else {}
        usage = getattr(answer, "usage", None)
        specific = hidden.get("provider_specific_fields")
        traffic = specific.get("traffic_type") if isinstance(specific, dict) else None
        terms = {
            # In the chunks of a stream, ``model`` is the name that was asked for.
            "model": hidden.get("provider_response_model") or getattr(answer, "model", None),
            "service_tier": getattr(answer, "service_tier", None)
            or getattr(usage, "service_tier", None)
            or traffic,
            "region": getattr(usage, "inference_geo", None),
            "mode": getattr(usage, "speed", None),
        }
        found |= {name: value for name, value in terms.items() if isinstance(value, str) and value}
        if usage is not None:
            found |= {"charged": _charged(usage), "media_tokens": _media_tokens(usage)}
        if searches := getattr(answer, "searches", None):
            found["searches"] = searches
    for name in ("service_tier", "region", "mode"):
        value = str(found.get(name, "")).lower()
        found[name] = "" if value in _STANDARD else value
    found["service_tier"] = _TIERS.get(found["service_tier"], found["service_tier"])
    return PriceTerms(**found)


def _charged(usage: Any) -> int | None:
    """Return what the provider reports to have charged, with its upstream's charge if the user pays that."""
    details = getattr(usage, "cost_details", None)
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    both: list[Any] = [
        getattr(usage, "cost", None),
        upstream if getattr(usage, "is_byok", None) is True else 0,
    ]
    amounts = [amount for amount in both if _is_number(amount) and amount >= 0]
    try:
        return sum(map(to_nano, amounts)) if len(amounts) == len(both) else None
    except ValueError:
        return None


def _media_tokens(usage: Any) -> dict[str, int]:
    counts: dict[str, Any] = {
        name: getattr(getattr(usage, details, None), key, None) for details, key, name in _MEDIA
    }
    return {name: int(count) for name, count in counts.items() if _is_number(count) and count > 0}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def cost_of_answer(
    provider: str, model: str, price: ModelPrice | None, usage: Usage, terms: PriceTerms, *, held: int
) -> AnswerCost:
    """Return what an answer costs. Where the cost is not computed from rates, nothing is known to be saved.

    Args:
        model: the model that was asked for.
        held: the hold, in nano-USD; it is the cost where the answer does not tell.
    """
    if provider in _REPORT_CHARGES and terms.charged is not None and price != prices.FREE:
        if price is None or terms.charged <= _CREDIBLE * held:
            return AnswerCost(terms.charged, "exact")
        return AnswerCost(held, "bound")
    if price is None:
        return AnswerCost(0, "unknown")
    if price.fixed:
        cost = price.cost(usage)
        return AnswerCost(cost, "exact", price.cost(_uncached(usage)) - cost)
    if price.per_search:
        cost = round(price.per_search * (terms.searches or 0))
        return AnswerCost(cost, "exact") if 0 < cost <= _CREDIBLE * held else AnswerCost(held, "bound")
    candidates, exact = _possible_prices(provider, model, price, terms.model)
    if not candidates:
        return AnswerCost(max(held, _cost(price, usage, terms)[0]), "bound")
    costs = [(*_cost(one, usage, terms), one) for one in candidates]
    exact = exact and all(certain for _, certain, _ in costs)
    cost, _, dearest = max(costs, key=lambda each: each[0])
    saved = _cost(dearest, _uncached(usage), terms)[0] - cost
    return AnswerCost(cost, "exact" if exact else "bound", saved)


def _uncached(usage: Usage) -> Usage:
    """Return the usage of the same answer without a cache for its prompt."""
    return replace(usage, cached=0, cache_write=0, cache_write_1h=0)


def _cost(price: ModelPrice, usage: Usage, terms: PriceTerms) -> tuple[int, bool]:
    """Return the cost at this price, and whether the price has rates for all of the terms."""
    factor = Decimal(1)
    for name in (terms.region, terms.mode):
        factor *= price.factors.get(name, Decimal(1))
    known = not terms.service_tier or terms.service_tier in price.tiers
    tiers = (terms.service_tier,) if known else ("", *price.tiers)
    cost = max(price.cost(usage, terms.media_tokens, tier=tier, factor=factor) for tier in tiers)
    return cost, known and price.certain


def _possible_prices(
    provider: str, asked: str, price: ModelPrice, answered: str
) -> tuple[list[ModelPrice], bool]:
    """Return the prices that the answering model may have, and whether it is certain which it has.

    A name that is in no price map, and is like no other name of the provider, is what a gateway or a server
    calls the model that was asked for.

    Args:
        asked: the model that was asked for.
        price: its price.
        answered: the model that the answer names.
    """
    if answered in ("", asked, f"{provider}/{asked}"):
        return [price], True
    plain = answered.removeprefix(f"{provider}/").removeprefix("models/")
    if found := _map_price(provider, plain, price.region):
        return [found], True
    if _base_name(plain) == _base_name(asked):
        return [price], True
    elsewhere = _price_elsewhere(plain)
    if elsewhere is not None:
        return [price, elsewhere], False
    return ([], False) if _family(plain) in _families(provider) else ([price], True)


def _base_name(name: str) -> str:
    """Return the name of a model without its maker, its tag and the date of its version."""
    name = name.lower().rpartition("/")[2]
    return _VERSION.sub("", name)


def _family(name: str) -> str:
    return re.split(r"[-@:.\d]", _base_name(name), maxsplit=1)[0]


@lru_cache
def _families(provider: str) -> frozenset[str]:
    """Return the first words of the names of the provider's models, such as "gpt" and "claude"."""
    entries = bundled().items()
    names = (_family(name) for name, entry in entries if prices.is_of(provider, entry))
    return frozenset(name for name in names if name)


@lru_cache(maxsize=256)
def _price_elsewhere(name: str) -> ModelPrice | None:
    """Return the price that the map has for this name at its own provider."""
    entry = bundled().get(name)
    provider = str((entry or {}).get("litellm_provider", ""))
    return _map_price(provider, name.removeprefix(f"{provider}/"), None) if entry else None
