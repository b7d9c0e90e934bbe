"""Prices: what an attempt costs at most before it is sent, and what it did cost after.

Source: LiteLLM's bundled price map, or the prices a user wrote in YAML. A model neither knows has no price;
that is never the same as free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal
from importlib import metadata
from typing import Any

from supernova_ai.config import Config, Provider
from supernova_ai.engine.lite import BUNDLED
from supernova_ai.errors import InvalidRequest
from supernova_ai.money import NANO
from supernova_ai.types import Kind, Request, Usage

MESSAGE_ALLOWANCE = 32
"""Tokens a provider may add to a message for its role and separators."""

TEMPLATE_ALLOWANCE = 256
"""Tokens a model's chat template may add to a request: Llama 3's has 35 of its own, gpt-oss 70."""

IMAGE_TOKENS = 5_000
"""Tokens an image can take, by the providers' documentation of November 2026: Anthropic scales it down to
4,784 at most, OpenAI (detail "high") to 2,500 patches, or to 1,536 patches at up to 2.46 tokens each, or to
8 tiles of 170 and 85."""

_DEAR_IMAGES = {"gpt-4o-mini": 2_833 + 8 * 5_667}
"""Models that count images otherwise, by the beginning of their names: OpenAI's tiles, at this one's rate."""

_HIDING = ("openai", "azure", "xai")
"""Providers of models that charge for what they think, and show nothing of it."""

PAGE_TOKENS = 3_000
"""Tokens of text on a page of a PDF, beside its image: Anthropic's documentation names 1,500 to 3,000."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-USD per token of each class, for prompts of more than ``above`` tokens."""

    above: int
    prompt: Decimal
    cached: Decimal
    cache_write: Decimal
    completion: Decimal
    reasoning: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """The rates of one model, by the length of the prompt, shortest first."""

    rates: tuple[Rates, ...]

    def cost(self, usage: Usage) -> int:
        """Return what the usage costs, in nano-USD, a fraction of one rounded to the nearest."""
        rates = [r for r in self.rates if usage.prompt > r.above or r.above == 0][-1]
        fresh = max(0, usage.prompt - usage.cached - usage.cache_write)
        spoken = max(0, usage.completion - usage.reasoning)
        return round(
            rates.prompt * fresh
            + rates.cached * usage.cached
            + rates.cache_write * usage.cache_write
            + rates.completion * spoken
            + rates.reasoning * usage.reasoning
        )

    def bound(self, prompt: int, completion: int) -> int:
        """Return the most such an attempt can cost, in nano-USD, at the dearest rate of each side."""
        dearest_in = max(max(r.prompt, r.cached, r.cache_write) for r in self.rates)
        dearest_out = max(max(r.completion, r.reasoning) for r in self.rates)
        exact = dearest_in * prompt + dearest_out * completion
        return int(exact.to_integral_value(rounding=ROUND_CEILING))

    def fit(self, prompt: int, room: int) -> int:
        """Return the most completion tokens whose bound, with the prompt, is within the room (nano-USD)."""
        left = room - self.bound(prompt, 0) - 1  # the bound of the two together may round up once more
        dearest = max(max(r.completion, r.reasoning) for r in self.rates)
        return int(left / dearest) if left > 0 and dearest else 0


FREE = Price((Rates(0, *(Decimal(0),) * 5),))


def prompt_bound(messages: Iterable[Mapping[str, str]]) -> int:
    """Return a number of tokens the prompt cannot exceed: no tokenizer makes more tokens than bytes."""
    return sum(
        len(message["content"].encode()) + len(message["role"]) + MESSAGE_ALLOWANCE for message in messages
    )


def bound(request: Request, model: str) -> int:
    """Return a number of tokens the prompt does not exceed: proven for text, documented for attachments."""
    return prompt_bound(request.messages) + TEMPLATE_ALLOWANCE + attached(request, model)


def attached(request: Request, model: str) -> int:
    """Return how many tokens the attachments can take, as far as the providers' documentation is true."""
    image = next((n for name, n in _DEAR_IMAGES.items() if model.startswith(name)), IMAGE_TOKENS)
    pages = (one.pages for one in request.attachments)
    return sum(image if many is None else many * (image + PAGE_TOKENS) for many in pages)


def expected_prompt(request: Request, model: str) -> int:
    """Return about how many tokens the prompt takes: a token is four bytes of English."""
    return prompt_bound(request.messages) // 4 + attached(request, model)


def find(provider: str, model: str, settings: Provider) -> Price | None:
    """Return the model's price: from YAML, else free if the provider is, else LiteLLM's; None if unknown."""
    own = settings.prices.get(model)
    if own is not None:
        cached = own.input if own.cached_input is None else own.cached_input
        per_token = [_per_million(usd) for usd in (own.input, cached, own.input, own.output, own.output)]
        return Price((Rates(0, *per_token),))
    if settings.price == "free":
        return FREE
    entry = _entry(provider, model)
    return _from_map(entry) if entry and not _costs_beside_tokens(provider, model, entry) else None


def _costs_beside_tokens(provider: str, model: str, entry: Mapping[str, Any]) -> bool:
    """Say whether a request has a price of its own, which no count of tokens tells."""
    searches = provider == "perplexity" or "-search-" in model  # others only where they are asked to
    return bool(
        entry.get("input_cost_per_request") or (searches and entry.get("search_context_cost_per_query"))
    )


def takes(provider: str, model: str) -> frozenset[Kind]:
    """Return which attachments the model can read, as far as LiteLLM's map knows."""
    entry = _entry(provider, model) or {}
    known: dict[Kind, str] = {"image": "supports_vision", "pdf": "supports_pdf_input"}
    return frozenset(kind for kind, name in known.items() if entry.get(name))


def hides_thoughts(provider: str, model: str) -> bool:
    """Say whether the model thinks at a price, and shows nothing of it in a stream."""
    return provider in _HIDING and bool((_entry(provider, model) or {}).get("supports_reasoning"))


def _entry(provider: str, model: str) -> Mapping[str, Any] | None:
    for name in (f"{provider}/{model}", model):
        entry: Mapping[str, Any] | None = BUNDLED.get(name)
        if entry and entry.get("litellm_provider") == provider:
            return entry
    return None


def listed(config: Config, model: str) -> list[dict[str, Any]]:
    """Return a configured model's rates in USD per million tokens: a row per provider and prompt length.

    Raises:
        InvalidRequest: no provider has that model; the message lists those there are.
    """
    models = {
        (provider, name)
        for provider, settings in config.providers.items()
        for name in settings.models.values()
    }
    asked = sorted(pair for pair in models if model in (pair[1], "/".join(pair)))
    if not asked:
        known = ", ".join(sorted("/".join(pair) for pair in models))
        raise InvalidRequest(f"model {model!r} is not configured; choose one of: {known}")
    rows = []
    for provider, name in asked:
        price = find(provider, name, config.providers[provider])
        for rates in price.rates if price else ():
            per_million = {f.name: getattr(rates, f.name) * 1_000_000 / NANO for f in fields(rates)[1:]}
            rows.append({"provider": provider, "model": name, "above": rates.above, **per_million})
        if price is None:
            rows.append({"provider": provider, "model": name, "above": None})
    return rows


def version() -> str:
    """Return which price map this is: LiteLLM bundles one with each version."""
    return f"litellm-{metadata.version('litellm')}"


def _per_million(usd: Decimal) -> Decimal:
    return usd * NANO / 1_000_000


def _from_map(entry: Mapping[str, Any]) -> Price | None:
    """Read an entry of LiteLLM's map: USD per token as floats, a suffix where the prompt is long."""
    # A Router fills the entries of its models up with None.
    entry = {name: value for name, value in entry.items() if value is not None}
    if "input_cost_per_token" not in entry or "output_cost_per_token" not in entry:
        return None
    if not entry["input_cost_per_token"] and not entry["output_cost_per_token"]:
        return None  # written for what nobody has looked up, too; what is free is said to be so in YAML
    suffixes = {0: ""}
    for name in entry:
        if match := re.fullmatch(r"input_cost_per_token(_above_(\d+)k_tokens)", name):
            suffixes[int(match[2]) * 1000] = match[1]

    def rates(above: int, suffix: str) -> Rates:
        def per_token(name: str, default: Decimal) -> Decimal:
            value = entry.get(name + suffix, entry.get(name))
            return default if value is None else Decimal(str(value)) * NANO

        prompt = per_token("input_cost_per_token", Decimal(0))
        completion = per_token("output_cost_per_token", Decimal(0))
        return Rates(
            above,
            prompt,
            per_token("cache_read_input_token_cost", prompt),
            per_token("cache_creation_input_token_cost", prompt),
            completion,
            per_token("output_cost_per_reasoning_token", completion),
        )

    return Price(tuple(rates(above, suffix) for above, suffix in sorted(suffixes.items())))
