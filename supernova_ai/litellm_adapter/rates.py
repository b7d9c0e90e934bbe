"""Rates: what each class of tokens costs, by the length of the prompt and by the provider's service tier.

They are read from an entry of LiteLLM's price map: USD per token as floats, by names with suffixes for long
prompts (``_above_200k_tokens``) and for service tiers (``_priority``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType
from typing import Any

from supernova_ai.money import NANO
from supernova_ai.types import Usage

_IN = {
    "prompt": ("input_cost_per_token", ""),
    "cached": ("cache_read_input_token_cost", "prompt"),
    "cache_write": ("cache_creation_input_token_cost", "prompt"),
    "cache_write_hour": ("cache_creation_input_token_cost_above_1hr", "cache_write"),
    "audio_prompt": ("input_cost_per_audio_token", "prompt"),
    "image_prompt": ("input_cost_per_image_token", "prompt"),
}
_OUT = {
    "completion": ("output_cost_per_token", ""),
    "reasoning": ("output_cost_per_reasoning_token", "completion"),
    "audio_completion": ("output_cost_per_audio_token", "completion"),
    "image_completion": ("output_cost_per_image_token", "completion"),
}
"""Each class of tokens: its name in the map, and the class whose rate it has where the map lacks it."""

SERVICE_TIERS = ("priority", "flex", "batches", "balanced", "ultrafast")
"""The tiers that the map has prices for, as they end the names there."""

_UNASKED = ("priority",)
"""Those that a setting of the account can turn on for requests that ask for none."""

_ASKED = ("fast", "cache_write_hour")
"""The factor and the class that apply only where the request asks for them, which ours never do."""

_INCLUSIVE = ("xai",)
"""Providers whose long prompts begin at the step, and not above it."""

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

    @property
    def dearest(self) -> tuple[Decimal, Decimal]:
        """The highest rate of the prompt's classes, and of the completion's, that can apply unasked."""
        prompt = (getattr(self, name) for name in _IN if name not in _ASKED)
        return max(prompt), max(getattr(self, name) for name in _OUT)


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """The price of one model.

    ``rates`` are those of the standard service tier, by the length of the prompt, shortest first; ``tiers``
    those of the others, by name; ``factors`` multiply the whole price, by the region or mode that an answer
    names. ``region`` is that of the host, and already in the rates. A ``fixed`` price is the user's: it is
    the same at any tier and in any region. One that is not ``certain`` is sometimes lower, by the hour.
    """

    rates: tuple[Rates, ...]
    tiers: Mapping[str, tuple[Rates, ...]] = field(default_factory=dict, hash=False)
    factors: Mapping[str, Decimal] = field(default_factory=dict, hash=False)
    region: str | None = None
    fixed: bool = False
    certain: bool = True

    def cost(
        self,
        usage: Usage,
        apart: Mapping[str, int] = _NOTHING,
        *,
        tier: str = "",
        factor: Decimal = _ONE,
    ) -> int:
        """Return what the usage costs, in nano-USD, a fraction of one rounded to the nearest.

        Args:
            apart: tokens of classes that the usage does not tell apart; they are part of its classes.
            tier: the service tier, one of ``tiers``, or "" for the standard one.
            factor: multiplies it all.
        """
        rates = _at(self.tiers[tier] if tier else self.rates, usage.prompt)
        fresh = max(0, usage.prompt - usage.cached - usage.cache_write)
        spoken = max(0, usage.completion - usage.reasoning)
        total = rates.cached * usage.cached + rates.reasoning * usage.reasoning
        counts = {**apart, "cache_write_hour": usage.cache_write_1h}
        for whole, rest, classes in (
            ("prompt", fresh, ("audio_prompt", "image_prompt")),
            ("cache_write", usage.cache_write, ("cache_write_hour",)),
            ("completion", spoken, ("audio_completion", "image_completion")),
        ):
            for name in classes:
                if count := min(rest, counts.get(name, 0)):
                    rest -= count
                    total += getattr(rates, name) * count
            total += getattr(rates, whole) * rest
        return round(total * factor)

    def bound(self, prompt: int, completion: int) -> int:
        """Return the most such an attempt can cost, in nano-USD, at the dearest rate of each side."""
        dearest_in, dearest_out = self._dearest(prompt)
        exact = dearest_in * prompt + dearest_out * completion
        return int(exact.to_integral_value(rounding=ROUND_CEILING))

    def fit(self, prompt: int, room: int) -> int:
        """Return the most completion tokens whose bound, with the prompt, is within the room (nano-USD)."""
        left = room - self.bound(prompt, 0) - 1  # the bound of the two together may round up once more
        _, dearest = self._dearest(prompt)
        return int(left / dearest) if left > 0 and dearest else 0

    def _dearest(self, prompt: int) -> tuple[Decimal, Decimal]:
        """Return the dearest rates that a prompt of at most so many tokens can meet unasked."""
        tables = (self.rates, *(self.tiers[name] for name in _UNASKED if name in self.tiers))
        found = [r.dearest for rates in tables for r in rates if r.above < prompt or r.above == 0]
        unasked = (factor for name, factor in self.factors.items() if name not in _ASKED)
        factor = max((_ONE, *unasked))
        return max(rate for rate, _ in found) * factor, max(rate for _, rate in found) * factor


def _at(rates: tuple[Rates, ...], prompt: int) -> Rates:
    """Return the rates of a prompt of so many tokens."""
    return [r for r in rates if prompt > r.above or r.above == 0][-1]


def flat(prompt: Decimal, cached: Decimal, completion: Decimal) -> ModelPrice:
    """Return a price of three rates that holds in all circumstances, in nano-USD per token."""
    given = {"cached": cached}
    rates = {name: given.get(name, prompt) for name in _IN} | dict.fromkeys(_OUT, completion)
    return ModelPrice((Rates(0, **rates),), fixed=True)


def read(entry: Mapping[str, Any], *, provider: str, region: str | None = None) -> ModelPrice | None:
    """Read an entry of LiteLLM's map; None where it has no price by the token.

    Args:
        region: that of the provider's host; "global" where it has none.
    """
    # A Router fills the entries of its models up with None.
    entry = {name: value for name, value in entry.items() if value is not None}
    steps = entry.get("tiered_pricing")
    if isinstance(steps, list) and steps and "input_cost_per_token" in steps[0]:
        by_step = [(int(step["range"][0]), entry | step) for step in steps]
        by_step[0] = (0, by_step[0][1])
    else:
        by_step = [(0, entry)]
    if not all("input_cost_per_token" in one and "output_cost_per_token" in one for _, one in by_step):
        return None
    if not any(one["input_cost_per_token"] or one["output_cost_per_token"] for _, one in by_step):
        return None  # written for what nobody has looked up, too; what is free is said to be so in YAML
    uplift = _uplift(entry, region)
    tiers = {
        tier: _tables(by_step, provider, uplift, f"_{tier}")
        for tier in SERVICE_TIERS
        if f"input_cost_per_token_{tier}" in entry and f"output_cost_per_token_{tier}" in entry
    }
    specific = entry.get("provider_specific_entry") if provider == "anthropic" else None
    factors = {name: Decimal(str(value)) for name, value in (specific or {}).items()}
    certain = "off_peak_pricing" not in entry
    return ModelPrice(_tables(by_step, provider, uplift, ""), tiers, factors, region, certain=certain)


def _uplift(entry: Mapping[str, Any], region: str | None) -> Decimal:
    if region is None:
        return Decimal(1)
    # Vertex AI has one uplift for every region; OpenAI has one for each.
    names = (f"regional_processing_uplift_multiplier_{region}", "regional_endpoint_uplift_multiplier")
    return Decimal(str(next((entry[name] for name in names if name in entry), 1)))


def _tables(
    by_step: Iterable[tuple[int, Mapping[str, Any]]], provider: str, uplift: Decimal, tier: str
) -> tuple[Rates, ...]:
    return tuple(sorted(_each(by_step, provider, uplift, tier), key=lambda rates: rates.above))


def _each(
    by_step: Iterable[tuple[int, Mapping[str, Any]]], provider: str, uplift: Decimal, tier: str
) -> Iterator[Rates]:
    for above, entry in by_step:
        suffixes = {above: ""}
        for name in entry:
            if match := re.fullmatch(r"input_cost_per_token(_above_(\d+)k_tokens)", name):
                suffixes[int(match[2]) * 1000 - (provider in _INCLUSIVE)] = match[1]
        for start, suffix in suffixes.items():
            rates = _classes(entry, suffix, tier, _IN) | _classes(entry, suffix, tier, _OUT)
            yield Rates(start, **{name: rate * uplift for name, rate in rates.items()})


def _classes(
    entry: Mapping[str, Any], suffix: str, tier: str, classes: Mapping[str, tuple[str, str]]
) -> dict[str, Decimal]:
    """Return the rate of each class of one side, in nano-USD per token.

    Where the map prices a class at the standard tier alone, another tier changes it by as much as it changes
    the side's first class.
    """
    base, _ = next(iter(classes.values()))
    factor = _number(entry[base + tier]) / _number(entry[base]) if tier and entry[base] else Decimal(1)
    rates: dict[str, Decimal] = {}
    for name, (key, otherwise) in classes.items():
        if (own := entry.get(key + suffix + tier)) is not None:
            rates[name] = _number(own)
        elif (standard := entry.get(key + suffix, entry.get(key))) is not None:
            flat_tier = None if suffix and key + suffix in entry else entry.get(key + tier)
            rates[name] = _number(standard) * factor if flat_tier is None else _number(flat_tier)
        else:
            rates[name] = rates[otherwise]
    return rates


def _number(usd: object) -> Decimal:
    return Decimal(str(usd)) * NANO
