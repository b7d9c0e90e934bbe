"""Prices: what an attempt costs at most before it is sent, and what it did cost after.

Source: LiteLLM's bundled price map, or the prices a user wrote in YAML. A model neither knows has no price;
that is never the same as free.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from functools import lru_cache
from importlib import metadata
from typing import Any, Literal
from urllib.parse import urlsplit

from supernova_ai.config import Config, Provider
from supernova_ai.errors import InvalidRequest
from supernova_ai.litellm_adapter.rates import ModelPrice, flat, read
from supernova_ai.litellm_adapter.setup import BUNDLED
from supernova_ai.money import NANO
from supernova_ai.types import Kind, Request

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

_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")

PAGE_TOKENS = 3_000
"""Tokens of text on a page of a PDF, beside its image: Anthropic's documentation names 1,500 to 3,000."""


_BESIDE_TOKENS = ("input_cost_per_request", "citation_cost_per_token")
"""Names in the map of what a request costs beside its tokens."""

FREE = flat(Decimal(0), Decimal(0), Decimal(0))


@lru_cache(maxsize=65_536)
def _most_bytes(character: str) -> int:
    """Return the UTF-8 bytes of the longest form that a tokenizer may read in the character's place."""
    cases = {character, character.lower(), character.casefold()}
    forms = (unicodedata.normalize(form, case) for form in _FORMS for case in cases)
    return max(len(form.encode("utf-8", "surrogatepass")) for form in (*cases, *forms))


def text_bound(text: str) -> int:
    """Return a number of tokens the text cannot exceed, whatever normal form a tokenizer puts it into first.

    No tokenizer makes more tokens than bytes of what it reads. It may read a normal form, in lower case too:
    U+FDFA is 3 bytes as it is and 33 in NFKC. Each character counts as its longest form.
    """
    if text.isascii():
        return len(text)
    return sum(_most_bytes(character) * count for character, count in Counter(text).items())


def prompt_bound(messages: Iterable[Mapping[str, str]]) -> int:
    """Return a number of tokens the messages cannot exceed."""
    return sum(
        text_bound(message["content"]) + len(message["role"]) + MESSAGE_ALLOWANCE for message in messages
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


def find(provider: str, model: str, settings: Provider) -> ModelPrice | None:
    """Return the model's price: from YAML, else free if the provider is, else LiteLLM's; None if unknown."""
    own = settings.prices.get(model)
    if own is not None:
        cached = own.input if own.cached_input is None else own.cached_input
        return flat(*(usd * NANO / 1_000_000 for usd in (own.input, cached, own.output)))
    if settings.price == "free":
        return FREE
    return known(provider, model, _region(provider, settings.api_base))


def known(provider: str, model: str, region: str | None) -> ModelPrice | None:
    """Return the model's price in LiteLLM's map, for hosts of that region; None if it has none."""
    entry = _entry(provider, model)
    if not entry or _costs_beside_tokens(provider, model, entry):
        return None
    return read(entry, provider=provider, region=region)


def _region(provider: str, api_base: str | None) -> str | None:
    """Return the region of the provider's host that the map has an uplift for, None where there is none."""
    host = urlsplit(api_base or "").hostname or ""
    if provider.startswith("vertex_ai"):
        return None if host == "aiplatform.googleapis.com" else "regional"  # LiteLLM's default is a region
    label, _, domain = host.partition(".")
    return label if provider == "openai" and domain == "api.openai.com" else None


def _costs_beside_tokens(provider: str, model: str, entry: Mapping[str, Any]) -> bool:
    """Say whether a request has a price of its own, which no count of tokens tells."""
    searches = provider == "perplexity" or "-search-" in model  # others only where they are asked to
    return bool(
        any(entry.get(name) for name in _BESIDE_TOKENS)
        or (searches and entry.get("search_context_cost_per_query"))
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
    """Return a configured model's rates in USD per million tokens.

    There is a row per provider, service tier and prompt length; ``factors`` multiply a row where an answer
    names that region or mode.

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
        known_ones = ", ".join(sorted("/".join(pair) for pair in models))
        raise InvalidRequest(f"model {model!r} is not configured; choose one of: {known_ones}")
    rows: list[dict[str, Any]] = []
    for provider, name in asked:
        price = find(provider, name, config.providers[provider])
        if price is None:
            rows.append({"provider": provider, "model": name, "above": None})
            continue
        for tier, table in {"standard": price.rates, **price.tiers}.items():
            for rates in table:
                per_million = {f.name: getattr(rates, f.name) * 1_000_000 / NANO for f in fields(rates)[1:]}
                where = {"service_tier": tier, "above": rates.above, "factors": dict(price.factors)}
                rows.append({"provider": provider, "model": name, **where, **per_million})
    return rows


def version() -> str:
    """Return which price map this is: LiteLLM bundles one with each version."""
    return f"litellm-{metadata.version('litellm')}"
