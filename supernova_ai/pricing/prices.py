"""Prices of models: from YAML, or from LiteLLM's bundled price map.

A model that is in neither has no price, which is never the same as free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from supernova_ai.config import Config, Provider
from supernova_ai.errors import InvalidRequest
from supernova_ai.money import NANO
from supernova_ai.pricing.price_map import bundled
from supernova_ai.pricing.rates import ModelPrice, flat_price, read_entry
from supernova_ai.types import Kind

_HIDE_REASONING = ("openai", "azure", "xai")
"""Providers whose models charge for reasoning and stream none of it."""

_FAMILIES = {"bedrock": ("bedrock_converse",), "vertex_ai": ("vertex_ai-",)}
"""How the map's other names of a provider begin."""

_REQUEST_PRICES = ("input_cost_per_request", "citation_cost_per_token")
"""Names in the map of prices that no count of tokens tells."""

FREE = flat_price(Decimal(0), Decimal(0), Decimal(0))


def find(provider: str, model: str, settings: Provider) -> ModelPrice | None:
    """Return the model's price: from YAML, else free if the provider is, else LiteLLM's; None if unknown.

    Args:
        provider: LiteLLM's name of it, here and in all functions of this module.
    """
    own = settings.prices.get(model)
    if own is not None:
        cached = own.input if own.cached_input is None else own.cached_input
        return flat_price(*(usd * NANO / 1_000_000 for usd in (own.input, cached, own.output)))
    if settings.price == "free":
        return FREE
    return map_price(provider, model, _region(provider, settings))


def map_price(provider: str, model: str, region: str | None) -> ModelPrice | None:
    """Return the model's price in LiteLLM's map, for hosts of that region; None if it has none."""
    entry = _entry(provider, model, region)
    if not entry or _has_request_price(provider, model, entry):
        return None
    return read_entry(entry, provider=provider, region=region)


def _region(provider: str, settings: Provider) -> str | None:
    """Return the region for which the map may have an uplift or a price; None if there is none."""
    host = urlsplit(settings.api_base or "").hostname or ""
    if provider == "bedrock":
        return settings.region
    if provider.startswith("vertex_ai"):
        is_global = settings.region == "global" or host == "aiplatform.googleapis.com"
        return None if is_global else "regional"  # LiteLLM's default is a region
    label, _, domain = host.partition(".")
    return label if provider == "openai" and domain == "api.openai.com" else None


def _has_request_price(provider: str, model: str, entry: Mapping[str, Any]) -> bool:
    """Say whether requests have a price besides that of their tokens."""
    searches = provider == "perplexity" or "-search-" in model  # other models search only on request
    return bool(
        any(entry.get(name) for name in _REQUEST_PRICES)
        or (searches and entry.get("search_context_cost_per_query"))
    )


def supported_attachments(provider: str, model: str) -> frozenset[Kind]:
    """Return the kinds of attachments that the model can read according to LiteLLM's map."""
    entry = _entry(provider, model) or {}
    names: dict[Kind, str] = {
        "image": "supports_vision",
        "pdf": "supports_pdf_input",
        "audio": "supports_audio_input",
    }
    return frozenset(kind for kind, name in names.items() if entry.get(name))


def hides_reasoning(provider: str, model: str) -> bool:
    """Say whether the model charges for reasoning and streams none of it."""
    return provider in _HIDE_REASONING and bool((_entry(provider, model) or {}).get("supports_reasoning"))


def is_of(provider: str, entry: Mapping[str, Any]) -> bool:
    """Say whether an entry of the map is a model of this provider."""
    theirs: str = entry.get("litellm_provider", "")
    return theirs == provider or theirs.startswith(_FAMILIES.get(provider, "no family"))


def _entry(provider: str, model: str, region: str | None = None) -> Mapping[str, Any] | None:
    for name in (f"{provider}/{region}/{model}", f"{provider}/{model}", model):
        entry = bundled().get(name)
        if entry and is_of(provider, entry):
            return entry
    return None


def price_table(config: Config, model: str) -> list[dict[str, Any]]:
    """Return a configured model's rates in USD per million tokens.

    There is a row per provider, service tier and prompt length; ``factors`` multiply a row where an answer
    names that region or mode. ``per_search`` is the USD of a search unit, where those are charged.

    Raises:
        InvalidRequest: no provider has that model; the message lists the models that are configured.
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
        price = find(config.type_of(provider), name, config.providers[provider])
        if price is None:
            rows.append({"provider": provider, "model": name, "above": None})
            continue
        for tier, table in {"standard": price.rates, **price.tiers}.items():
            for rates in table:
                per_million = {f.name: getattr(rates, f.name) * 1_000_000 / NANO for f in fields(rates)[1:]}
                where = {"service_tier": tier, "above": rates.above, "factors": dict(price.factors)}
                where |= {"per_search": price.per_search / NANO} if price.per_search else {}
                rows.append({"provider": provider, "model": name, **where, **per_million})
    return rows
