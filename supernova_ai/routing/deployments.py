"""Deployments: one model at one provider and address with one key slot, for LiteLLM's Router."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from supernova_ai.config import Config, Limits, Timeout, network
from supernova_ai.config.fields import nearest
from supernova_ai.errors import ConfigError
from supernova_ai.health import DeploymentIdentity
from supernova_ai.litellm_adapter import prices
from supernova_ai.litellm_adapter.price_terms import PriceTerms, cost_of_answer
from supernova_ai.litellm_adapter.rates import ModelPrice
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.log import get_logger
from supernova_ai.types import TIERS, CostBasis, Kind, Request, Tier, Usage

# HuggingFace's router speaks OpenAI's protocol; LiteLLM's own huggingface/ first asks the hub about a model,
# blocking the event loop. LiteLLM's ollama/ would flatten a conversation into one prompt.
_LITELLM_NAME = {"ollama": "ollama_chat", "huggingface": "openai"}
_KNOWN = frozenset(getattr(name, "value", name) for name in litellm.provider_list)
_API_BASE = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "ollama": "http://localhost:11434",
    "huggingface": "https://router.huggingface.co/v1",
}
"""Passed to LiteLLM where the configuration has no address: it would read one from the environment."""
_ADDRESS = re.compile(r"_(API_BASE|BASE_URL|API_URL|ENDPOINT)$")

log = get_logger(__name__)

PLACEHOLDER_KEY = "no-key"
"""Passed to LiteLLM where a provider takes no key: without one it would read the environment."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider and address with one key slot.

    ``slot`` is None where the provider takes no key, ``address`` None for the provider's usual address.
    ``shares``: the provider's slots take turns. ``rank``: its position in the configured order. ``takes``:
    the attachments it reads. ``hides_thoughts``: it charges for reasoning tokens that no stream shows.
    """

    id: str
    tier: Tier
    provider: str
    model: str
    slot: str | None
    price: ModelPrice | None
    timeout: Timeout
    limits: Limits
    shares: bool
    rank: int
    takes: frozenset[Kind] = frozenset()
    hides_thoughts: bool = False
    address: str | None = None

    @property
    def identity(self) -> DeploymentIdentity:
        """What identifies the deployment; ``id`` is the id of this."""
        return DeploymentIdentity(self.tier, self.provider, self.model, self.slot, self.address)

    @property
    def name(self) -> str:
        """Its provider, and the slot if it has one, for messages."""
        return self.provider if self.slot is None else f"{self.provider} ({self.slot})"

    def fits(self, request: Request) -> bool:
        """Return whether it has the model that the request names, if any, and can read its attachments."""
        pinned = request.model in (None, self.model, f"{self.provider}/{self.model}")
        return pinned and self.takes >= {one.kind for one in request.attachments}

    def price_of(self, usage: Usage, terms: PriceTerms, *, held: int) -> tuple[int, CostBasis]:
        """Return the cost of an answer in nano-USD, by its usage and price terms, and how exact that is."""
        return cost_of_answer(self.provider, self.model, self.price, usage, terms, held=held)


def check_providers(config: Config) -> None:
    """Refuse a provider that LiteLLM does not know, or whose address a variable would decide.

    Raises:
        ConfigError: it names the provider and the remedy.
    """
    if wrong := unknown_providers(config):
        raise ConfigError("\n".join(wrong))
    for provider in config.active_providers:
        address = api_base(config, provider)
        if address is None and (variable := _address_variable(provider)):
            if provider not in _API_BASE:
                raise ConfigError(
                    f"{variable} is set, and only the configuration decides where requests go: write the "
                    f"address under 'providers.{provider}.api_base', or unset the variable"
                )
            log.warning(
                "engine.address.ignored", variable=variable, remedy=f"set 'providers.{provider}.api_base'"
            )
        network.check_proxy(address or _API_BASE.get(provider) or f"https://{provider}")


def _address_variable(provider: str) -> str | None:
    """Return an environment variable from which LiteLLM would take the provider's address, if one is set."""
    stem = re.split("[_-]", provider)[0].upper()
    named = (name for name, value in sorted(os.environ.items()) if name.startswith(stem) and value.strip())
    return next(filter(_ADDRESS.search, named), None)


def unknown_providers(config: Config) -> list[str]:
    """Return a line for each enabled provider that LiteLLM does not know."""
    return [
        f"providers.{provider}: LiteLLM knows no provider of this name.{nearest(provider, sorted(_KNOWN))}"
        for provider in config.active_providers
        if provider not in _KNOWN
    ]


def models_without_price(config: Config) -> list[str]:
    """Return a line for each enabled model without a known price, with the nearest name that has one."""
    lines = []
    for d in _each(config):
        if d.price is None:
            known = sorted(name.rpartition("/")[2] for name in litellm.models_by_provider.get(d.provider, ()))
            lines.append(
                f"providers.{d.provider}.models.{d.tier} is {d.model!r}: no price is known, so it is not "
                f"asked where a budget applies: correct the name, or give 'providers.{d.provider}.prices'."
                f"{nearest(d.model, known)}"
            )
    return list(dict.fromkeys(lines))  # one for all key slots


def build(config: Config) -> dict[str, Deployment]:
    """Return every deployment of the enabled providers by id, ranked by provider priority, then by slot."""
    return {deployment.id: deployment for deployment in _each(config)}


def _each(config: Config) -> Iterator[Deployment]:
    asked = config.active_providers if config.routing.fallback else config.active_providers[:1]
    for rank, provider in enumerate(asked):
        settings = config.providers[provider]
        for tier in TIERS:
            model = settings.models.get(tier)
            if model is None:
                continue
            for place, slot in enumerate(settings.keys or (None,)):
                yield Deployment(
                    id=DeploymentIdentity(tier, provider, model, slot, settings.api_base).id,
                    tier=tier,
                    provider=provider,
                    model=model,
                    slot=slot,
                    price=prices.find(provider, model, settings),
                    timeout=settings.timeout,
                    limits=settings.limits,
                    shares=settings.slots == "share",
                    rank=10 * rank + place,
                    takes=prices.supported_attachments(provider, model),
                    hides_thoughts=prices.hides_reasoning(provider, model),
                    address=settings.api_base,
                )


def model_list(config: Config, deployments: dict[str, Deployment]) -> list[dict[str, Any]]:
    """Return the Router's model list: a group per tier, and no key anywhere in it."""
    return [
        {
            "model_name": d.tier,
            "litellm_params": _without_none(
                model=_litellm_name(d),
                api_base=api_base(config, d.provider) or _API_BASE.get(d.provider),
                drop_params=True,
            ),
            "model_info": {"id": d.id, "provider": d.provider},
        }
        for d in deployments.values()
    ]


def is_local(deployment: Deployment) -> bool:
    """Return whether it takes no key and is at its usual address on this machine."""
    usual = _API_BASE.get(deployment.provider)
    return deployment.slot is None and deployment.address in (None, usual) and "localhost" in (usual or "")


_HOTTEST = {"anthropic": 1.0, "cohere": 1.0, "cohere_chat": 1.0, "mistral": 1.5}
"""The highest temperature, by the provider's documentation, where it is below 2."""


def parameters(deployment: Deployment, request: Request) -> dict[str, Any]:
    """Return the request's parameters within the deployment's limits.

    LiteLLM drops those that a model does not support (``drop_params``), but does not know their limits.
    """
    if request.temperature is None:
        return {}
    return {"temperature": min(request.temperature, _HOTTEST.get(deployment.provider, request.temperature))}


def api_base(config: Config, provider: str) -> str | None:
    """Return the provider's address as configured, None for its usual one."""
    return config.providers[provider].api_base


def price_entries(deployments: dict[str, Deployment]) -> dict[str, dict[str, Any]]:
    """Return entries for LiteLLM's price map; without them it would ask an Ollama server about each model."""
    entry = {
        "litellm_provider": "ollama_chat",
        "mode": "chat",
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
    }
    return {_litellm_name(d): entry for d in deployments.values() if d.provider == "ollama"}


def _litellm_name(deployment: Deployment) -> str:
    return f"{_LITELLM_NAME.get(deployment.provider, deployment.provider)}/{deployment.model}"


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
