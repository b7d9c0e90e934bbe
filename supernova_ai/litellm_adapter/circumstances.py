"""Circumstances: what an answer itself says of its price, and what it costs by that.

A provider may serve a request at another service tier, from another region or with another model than it was
asked for, and OpenRouter says what it charged. What the price map knows of that is used. What it does not
know is settled at the dearest it can be, and not called exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from supernova_ai.litellm_adapter import prices
from supernova_ai.litellm_adapter.rates import ModelPrice
from supernova_ai.litellm_adapter.setup import BUNDLED
from supernova_ai.money import to_nano
from supernova_ai.types import CostBasis, Usage

_STANDARD = ("", "default", "standard", "auto", "on_demand", "not_available", "global")
_TIERS = {
    "fast": "priority",
    "batch": "batches",
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
}
"""Names that answers have for service tiers and regions: those of the standard, and others than the map's."""

_APART = (
    ("prompt_tokens_details", "audio_tokens", "audio_prompt"),
    ("prompt_tokens_details", "image_tokens", "image_prompt"),
    ("completion_tokens_details", "audio_tokens", "audio_completion"),
    ("completion_tokens_details", "image_tokens", "image_completion"),
)
"""Where an answer counts classes of tokens that have rates of their own, and are no part of our usage."""

_CHARGES = ("openrouter",)
"""Providers that say in USD what they charged for an answer."""

_CREDIBLE = 10
"""A charge of so many times the most we calculated is a mistake; it must not empty a budget."""

_known = lru_cache(maxsize=256)(prices.known)  # an answer names the same few models again and again

_VERSION = re.compile(r"[-@:](latest|default|\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})$")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an answer says of its price: "" or None where it says nothing. The charge is nano-USD."""

    model: str = ""
    service_tier: str = ""
    region: str = ""
    mode: str = ""
    charged: int | None = None
    apart: Mapping[str, int] = field(default_factory=dict)


def circumstances(answers: Iterable[Any]) -> Circumstances:
    """Read LiteLLM's answer, or the chunks of a stream, of which the last that says something counts."""
    found: dict[str, Any] = {}
    for answer in answers:
        hidden = getattr(answer, "_hidden_params", None)
        hidden = hidden if isinstance(hidden, dict) else {}
        usage = getattr(answer, "usage", None)
        specific = hidden.get("provider_specific_fields")
        traffic = specific.get("traffic_type") if isinstance(specific, dict) else None
        said = {
            # Of a stream's chunks the field has the name that was asked for.
            "model": hidden.get("provider_response_model") or getattr(answer, "model", None),
            "service_tier": getattr(answer, "service_tier", None)
            or getattr(usage, "service_tier", None)
            or traffic,
            "region": getattr(usage, "inference_geo", None),
            "mode": getattr(usage, "speed", None),
        }
        found |= {name: value for name, value in said.items() if isinstance(value, str) and value}
        if usage is not None:
            found |= {"charged": _charge(usage), "apart": _apart(usage)}
    for name in ("service_tier", "region", "mode"):
        value = str(found.get(name, "")).lower()
        found[name] = "" if value in _STANDARD else value
    found["service_tier"] = _TIERS.get(found["service_tier"], found["service_tier"])
    return Circumstances(**found)


def _charge(usage: Any) -> int | None:
    """Return what the provider says it charged, and its upstream where the user pays that."""
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


def _apart(usage: Any) -> dict[str, int]:
    counts: dict[str, Any] = {
        name: getattr(getattr(usage, part, None), key, None) for part, key, name in _APART
    }
    return {name: int(count) for name, count in counts.items() if _is_number(count) and count > 0}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def charge(
    provider: str, model: str, price: ModelPrice | None, usage: Usage, said: Circumstances, *, held: int
) -> tuple[int, CostBasis]:
    """Return what an answer costs in nano-USD, and whether that is exact, bound or unknown.

    Args:
        model: what was asked for.
        held: the most that was expected, in nano-USD; what cannot be told from the answer is taken for that.
    """
    if provider in _CHARGES and said.charged is not None and price != prices.FREE:
        if price is None or said.charged <= _CREDIBLE * held:
            return said.charged, "exact"
        return held, "bound"
    if price is None:
        return 0, "unknown"
    if price.fixed:
        return price.cost(usage), "exact"
    candidates, exact = _answering(provider, model, price, said.model)
    if not candidates:
        return max(held, _cost(price, usage, said)[0]), "bound"
    costs = [_cost(one, usage, said) for one in candidates]
    exact = exact and all(certain for _, certain in costs)
    return max(cost for cost, _ in costs), "exact" if exact else "bound"


def _cost(price: ModelPrice, usage: Usage, said: Circumstances) -> tuple[int, bool]:
    """Return the cost at this price, and whether the price has all that the answer says."""
    factor = Decimal(1)
    for name in (said.region, said.mode):
        factor *= price.factors.get(name, Decimal(1))
    known = not said.service_tier or said.service_tier in price.tiers
    if known:
        cost = price.cost(usage, said.apart, tier=said.service_tier, factor=factor)
    else:
        each = (price.cost(usage, said.apart, tier=tier, factor=factor) for tier in ("", *price.tiers))
        cost = max(each)
    return cost, known and price.certain


def _answering(provider: str, asked: str, price: ModelPrice, name: str) -> tuple[list[ModelPrice], bool]:
    """Return the prices of the model that answered, and whether it is that one; none where nobody knows it.

    A name that no price map has, and no such provider either, is what a gateway or a server calls the model
    that was asked for.
    """
    if name in ("", asked, f"{provider}/{asked}"):
        return [price], True
    plain = name.removeprefix(f"{provider}/").removeprefix("models/")
    if found := _known(provider, plain, price.region):
        return [found], True
    if _plain(plain) == _plain(asked):
        return [price], True
    elsewhere = _elsewhere(plain)
    if elsewhere is not None:
        return [price, elsewhere], False
    return ([], False) if _family(plain) in _families(provider) else ([price], True)


def _plain(name: str) -> str:
    """Return the name of a model without its maker, its tag and the date of its version."""
    name = name.lower().rpartition("/")[2]
    return _VERSION.sub("", name)


def _family(name: str) -> str:
    return re.split(r"[-@:.\d]", _plain(name), maxsplit=1)[0]


@lru_cache
def _families(provider: str) -> frozenset[str]:
    """Return the first words of the names of the provider's models, "gpt" and "claude" say."""
    entries = BUNDLED.items()
    names = (_family(name) for name, entry in entries if entry.get("litellm_provider") == provider)
    return frozenset(name for name in names if name)


@lru_cache(maxsize=256)
def _elsewhere(name: str) -> ModelPrice | None:
    """Return the price that the map has of this name at its own provider."""
    entry = BUNDLED.get(name)
    provider = str((entry or {}).get("litellm_provider", ""))
    return _known(provider, name.removeprefix(f"{provider}/"), None) if entry else None
