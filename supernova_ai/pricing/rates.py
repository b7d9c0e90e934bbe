"""Rates: what each class of tokens costs, by the length of the prompt and by the provider's service tier.

They are read from an entry of LiteLLM's price map, which has USD per token as floats. Its names have suffixes
for long prompts (``_above_200k_tokens``) and for service tiers (``_priority``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType
from typing import Any

from supernova_ai.money import NANO
from supernova_ai.types import Usage

_PROMPT_CLASSES = {
    "prompt": ("input_cost_per_token", ""),
    "cached": ("cache_read_input_token_cost", "prompt"),
    "cache_write": ("cache_creation_input_token_cost", "prompt"),
    "cache_write_hour": ("cache_creation_input_token_cost_above_1hr", "cache_write"),
    "audio_prompt": ("input_cost_per_audio_token", "prompt"),
    "image_prompt": ("input_cost_per_image_token", "prompt"),
}
_COMPLETION_CLASSES = {
    "completion": ("output_cost_per_token", ""),
    "reasoning": ("output_cost_per_reasoning_token", "completion"),
    "audio_completion": ("output_cost_per_audio_token", "completion"),
    "image_completion": ("output_cost_per_image_token", "completion"),
}
"""Each class of tokens: its name in the map, and the class whose rate applies where the map has none."""

SERVICE_TIERS = ("priority", "flex", "batches", "balanced", "ultrafast")
"""The service tiers that the map has prices for: suffixes of its names."""

_ACCOUNT_TIERS = ("priority",)
"""Service tiers that a setting of the account can apply to requests that name none."""

HOUR = "cache_write_hour"
"""The class of tokens that are written to a provider's cache for an hour."""

_ON_REQUEST = ("fast", HOUR)
"""The factor and the class that apply only to requests that ask for them."""

_FROM_THE_STEP = ("xai",)
"""Providers whose rates for long prompts apply from the step on; elsewhere they apply above it."""

_WITHOUT_OUTPUT = ("embedding", "rerank")
"""Kinds of models whose answers have no tokens; some of their entries have no price for them."""

_ONE = Decimal(1)
_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-USD per token of each class, for prompts of more than ``above`` tokens."""

    above: int
    prompt: Decimal
    cached: Decimal
    cache_write: Decimal
    completion: Decimal
    reasoning: Decimal
    cache_write_hour: Decimal
    audio_prompt: Decimal
    image_prompt: Decimal
    audio_completion: Decimal
    image_completion: Decimal

    def dearest(self, asked: Collection[str]) -> tuple[Decimal, Decimal]:
        """Return the highest rates of the prompt's and the completion's classes that can apply.

        Args:
            asked: the classes that apply only on request and were asked for.
        """
        names = (name for name in _PROMPT_CLASSES if name not in _ON_REQUEST or name in asked)
        prompt = (getattr(self, name) for name in names)
        return max(prompt), max(getattr(self, name) for name in _COMPLETION_CLASSES)


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """The price of one model.

    Attributes:
        rates: of the standard service tier, by the length of the prompt, shortest first.
        tiers: the rates of the other service tiers, by name.
        factors: multiply the whole price, by the region or mode that an answer names.
        region: of the provider's host; the rates include its uplift.
        fixed: the price is from YAML, and applies at any tier and in any region.
        certain: False if the price is lower at some hours.
        per_search: nano-USD per search unit of a rerank model; its tokens are then free.
    """

    rates: tuple[Rates, ...]
    tiers: Mapping[str, tuple[Rates, ...]] = field(default_factory=dict, hash=False)
    factors: Mapping[str, Decimal] = field(default_factory=dict, hash=False)
    region: str | None = None
    fixed: bool = False
    certain: bool = True
    per_search: Decimal = Decimal(0)

    def cost(
        self,
        usage: Usage,
        media_tokens: Mapping[str, int] = _NOTHING,
        *,
        tier: str = "",
        factor: Decimal = _ONE,
    ) -> int:
        """Return what the usage costs, rounded to the nearest nano-USD.

        Args:
            media_tokens: tokens of audio and images, by the name of their rate; the usage includes them.
            tier: the service tier, one of ``tiers``, or "" for the standard one.
            factor: multiplies the cost.
        """
        rates = _at(self.tiers[tier] if tier else self.rates, usage.prompt)
        fresh = max(0, usage.prompt - usage.cached - usage.cache_write)
        visible = max(0, usage.completion - usage.reasoning)
        total = rates.cached * usage.cached + rates.reasoning * usage.reasoning
        counts = {**media_tokens, "cache_write_hour": usage.cache_write_1h}
        for whole, rest, classes in (
            ("prompt", fresh, ("audio_prompt", "image_prompt")),
            ("cache_write", usage.cache_write, ("cache_write_hour",)),
            ("completion", visible, ("audio_completion", "image_completion")),
        ):
            for name in classes:
                if count := min(rest, counts.get(name, 0)):
                    rest -= count
                    total += getattr(rates, name) * count
            total += getattr(rates, whole) * rest
        return round(total * factor)

    def rates_for(self, prompt: int) -> Rates:
        """Return the standard service tier's rates for a prompt of so many tokens."""
        return _at(self.rates, prompt)

    def bound(self, prompt: int, completion: int, asked: Collection[str] = (), searches: int = 0) -> int:
        """Return the most that so many tokens can cost, in nano-USD, at the dearest rate of each side.

        Args:
            asked: the service tier and the class of tokens that the request asks for, if any.
            searches: the most search units of a request to rerank.
        """
        dearest_in, dearest_out = self._dearest(prompt, asked)
        exact = dearest_in * prompt + dearest_out * completion + self.per_search * searches
        return int(exact.to_integral_value(rounding=ROUND_CEILING))

    def affordable_completion(self, prompt: int, amount: int, asked: Collection[str] = ()) -> int:
        """Return the most completion tokens that, with the prompt, cost at most so many nano-USD."""
        left = amount - self.bound(prompt, 0, asked) - 1  # the bound of the two may round up once more
        _, dearest = self._dearest(prompt, asked)
        return int(left / dearest) if left > 0 and dearest else 0

    def _dearest(self, prompt: int, asked: Collection[str]) -> tuple[Decimal, Decimal]:
        """Return the dearest rates that can apply to a request with at most so many prompt tokens."""
        tiers = {*_ACCOUNT_TIERS, *asked}
        if any(name not in (*self.tiers, HOUR) for name in asked):
            tiers |= self.tiers.keys()  # a tier without a price of its own costs the most there is
        tables = (self.rates, *(self.tiers[name] for name in tiers if name in self.tiers))
        found = [r.dearest(asked) for rates in tables for r in rates if r.above < prompt or r.above == 0]
        factors = (factor for name, factor in self.factors.items() if name not in _ON_REQUEST)
        factor = max((_ONE, *factors))
        return max(rate for rate, _ in found) * factor, max(rate for _, rate in found) * factor


def _at(rates: tuple[Rates, ...], prompt: int) -> Rates:
    """Return the rates for a prompt of so many tokens."""
    return [r for r in rates if prompt > r.above or r.above == 0][-1]


def flat_price(prompt: Decimal, cached: Decimal, completion: Decimal) -> ModelPrice:
    """Return a fixed price of three rates, in nano-USD per token."""
    given = {"cached": cached}
    rates = {name: given.get(name, prompt) for name in _PROMPT_CLASSES} | dict.fromkeys(
        _COMPLETION_CLASSES, completion
    )
    return ModelPrice((Rates(0, **rates),), fixed=True)


def read_entry(entry: Mapping[str, Any], *, provider: str, region: str | None = None) -> ModelPrice | None:
    """Read an entry of LiteLLM's map; None if it has no price per token or per search.

    Args:
        region: of the provider's host, as the map names it; None if it has none.
    """
    # LiteLLM's Router fills missing fields of its models' entries with None.
    entry = {name: value for name, value in entry.items() if value is not None}
    per_search = Decimal(0)
    if entry.get("mode") in _WITHOUT_OUTPUT:
        entry = {"output_cost_per_token": 0} | entry
        per_search = _nano(entry.get("input_cost_per_query", 0))
    steps = entry.get("tiered_pricing")
    if isinstance(steps, list) and steps and "input_cost_per_token" in steps[0]:
        by_step = [(int(step["range"][0]), entry | step) for step in steps]
        by_step[0] = (0, by_step[0][1])
    else:
        by_step = [(0, entry)]
    if not all("input_cost_per_token" in one and "output_cost_per_token" in one for _, one in by_step):
        return None
    per_token = any(one["input_cost_per_token"] or one["output_cost_per_token"] for _, one in by_step)
    if per_token == bool(per_search):
        return None  # the map also has 0 for unknown prices, YAML says what is free; nothing costs both
    uplift = _uplift(entry, region)
    tiers = {
        tier: _rates_by_length(by_step, provider, uplift, f"_{tier}")
        for tier in SERVICE_TIERS
        if f"input_cost_per_token_{tier}" in entry and f"output_cost_per_token_{tier}" in entry
    }
    specific = entry.get("provider_specific_entry") if provider == "anthropic" else None
    factors = {name: Decimal(str(value)) for name, value in (specific or {}).items()}
    certain = "off_peak_pricing" not in entry
    return ModelPrice(
        _rates_by_length(by_step, provider, uplift, ""),
        tiers,
        factors,
        region,
        certain=certain,
        per_search=per_search,
    )


def _uplift(entry: Mapping[str, Any], region: str | None) -> Decimal:
    if region is None:
        return Decimal(1)
    # Vertex AI has one uplift for every region; OpenAI has one for each.
    names = (f"regional_processing_uplift_multiplier_{region}", "regional_endpoint_uplift_multiplier")
    return Decimal(str(next((entry[name] for name in names if name in entry), 1)))


def _rates_by_length(
    by_step: Iterable[tuple[int, Mapping[str, Any]]], provider: str, uplift: Decimal, tier: str
) -> tuple[Rates, ...]:
    return tuple(sorted(_unsorted_rates(by_step, provider, uplift, tier), key=lambda rates: rates.above))


def _unsorted_rates(
    by_step: Iterable[tuple[int, Mapping[str, Any]]], provider: str, uplift: Decimal, tier: str
) -> Iterator[Rates]:
    for above, entry in by_step:
        suffixes = {above: ""}
        for name in entry:
            if match := re.fullmatch(r"input_cost_per_token(_above_(\d+)k_tokens)", name):
                suffixes[int(match[2]) * 1000 - (provider in _FROM_THE_STEP)] = match[1]
        for start, suffix in suffixes.items():
            rates = _class_rates(entry, suffix, tier, _PROMPT_CLASSES) | _class_rates(
                entry, suffix, tier, _COMPLETION_CLASSES
            )
            yield Rates(start, **{name: rate * uplift for name, rate in rates.items()})


def _class_rates(
    entry: Mapping[str, Any], suffix: str, tier: str, classes: Mapping[str, tuple[str, str]]
) -> dict[str, Decimal]:
    """Return the rate of each class of one side, in nano-USD per token.

    Where the map prices a class only at the standard tier, another tier changes its rate in the same
    proportion as that of the side's first class.
    """
    base, _ = next(iter(classes.values()))
    factor = _nano(entry[base + tier]) / _nano(entry[base]) if tier and entry[base] else Decimal(1)
    rates: dict[str, Decimal] = {}
    for name, (key, otherwise) in classes.items():
        if (own := entry.get(key + suffix + tier)) is not None:
            rates[name] = _nano(own)
        elif (standard := entry.get(key + suffix, entry.get(key))) is not None:
            flat_tier = None if suffix and key + suffix in entry else entry.get(key + tier)
            rates[name] = _nano(standard) * factor if flat_tier is None else _nano(flat_tier)
        else:
            rates[name] = rates[otherwise]
    return rates


def _nano(usd: object) -> Decimal:
    return Decimal(str(usd)) * NANO
