"""Deployments: one model at one provider and address with one key slot, for LiteLLM's Router."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from supernova_ai.config import Config, Limits, Provider, Timeout
from supernova_ai.config.provider_checks import OWN
from supernova_ai.health import DeploymentIdentity
from supernova_ai.litellm_adapter import parameters, token_bounds
from supernova_ai.litellm_adapter.price_terms import AnswerCost, PriceTerms, asked_terms, cost_of_answer
from supernova_ai.litellm_adapter.wire_messages import wire_messages
from supernova_ai.pricing import prices
from supernova_ai.pricing.rates import ModelPrice
from supernova_ai.types import EMBEDDING, MODEL_GROUPS, TIERS, Kind, ModelGroup, Request, Usage

# HuggingFace's router speaks OpenAI's protocol; LiteLLM's own huggingface/ first asks the hub about a model,
# blocking the event loop. LiteLLM's ollama/ would flatten a conversation into one prompt.
_LITELLM_NAME = {"ollama": "ollama_chat", "huggingface": "openai"}
# LiteLLM's embeddings of Ollama take no client of ours and no timeout; Ollama speaks OpenAI's protocol too.
_EMBEDDING_NAME = {**_LITELLM_NAME, "ollama": "openai"}
_API_BASE = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "ollama": "http://localhost:11434",
    "huggingface": "https://router.huggingface.co/v1",
}
"""Passed to LiteLLM where the configuration has no address: it would read one from the environment."""
_READS: dict[Kind, str] = {"image": "images", "pdf": "PDF documents", "audio": "audio"}

PLACEHOLDER_KEY = "no-key"
"""Passed to LiteLLM where a provider takes no key: without one it would read the environment."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider and address with one key slot.

    ``type`` is LiteLLM's name of the provider, and ``provider`` its name in the configuration. ``slot`` is
    None where the provider takes no key, ``address`` None for the provider's usual address.
    ``shares``: the provider's slots take turns. ``rank``: its position in the configured order. ``takes``:
    the attachments it reads. ``hides_thoughts``: it charges for reasoning tokens that no stream shows.
    ``strict``: it takes no request with a parameter that it does not support. ``continues``: the last message
    may be the beginning of its answer.
    """

    id: str
    tier: ModelGroup
    provider: str
    type: str
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
    strict: bool = False
    continues: bool = True

    @property
    def identity(self) -> DeploymentIdentity:
        """What identifies the deployment; ``id`` is the id of this."""
        return DeploymentIdentity(self.tier, self.provider, self.model, self.slot, self.address)

    @property
    def name(self) -> str:
        """Its provider, and the slot if it has one, for messages."""
        return self.provider if self.slot is None else f"{self.provider} ({self.slot})"

    @property
    def charges_searches(self) -> bool:
        """Whether it charges for searches and not for tokens, as some models do for ``rerank``."""
        return self.price is not None and self.price.per_search > 0

    @property
    def litellm_name(self) -> str:
        """LiteLLM's name of the model."""
        return _litellm_name(self.type, self.model, self.tier)

    def fits(self, request: Request) -> bool:
        """Return whether it has the model that the request names, if any, and all that the request needs."""
        pinned = request.model in (None, self.model, f"{self.provider}/{self.model}")
        return pinned and not self.lacks(request)

    def lacks(self, request: Request) -> list[str]:
        """Return what the request needs and the model does not support."""
        if request.texts:
            if "dimensions" in request.parameters and not parameters.takes_dimensions(self.litellm_name):
                return ["the parameter dimensions"]
            return []
        lacking = sorted(_READS[kind] for kind in {one.kind for one in request.attachments} - self.takes)
        missing = parameters.unsupported(self.litellm_name, request.parameters)
        needed = missing - {"response_format"} if self.strict else missing & {"tools"}
        if request.parameters.get("tool_choice") == "none":  # as the last round of run_tools has it
            needed -= {"tool_choice"}
        lacking += [f"the parameter {name}" for name in sorted(needed)]
        if request.messages and request.messages[-1]["role"] == "assistant" and not self.continues:
            lacking.append("the beginning of an answer as the last message")
        return lacking

    def bound(self, request: Request, completion: int) -> int:
        """Return the most that the request can cost with an answer of so many tokens, in nano-USD."""
        if self.price is None:
            return 0
        prompt = token_bounds.request_bound(request, self.model)
        searches = token_bounds.search_bound(request) if self.charges_searches else 0
        return self.price.bound(prompt, completion, asked_terms(request), searches)

    def affordable_tokens(self, request: Request, amount: int) -> int:
        """Return how long the answer may be for the request to cost at most so many nano-USD."""
        if self.price is None:
            return 0
        prompt = token_bounds.request_bound(request, self.model)
        return self.price.affordable_completion(prompt, amount, asked_terms(request))

    def price_of(self, usage: Usage, terms: PriceTerms, *, held: int) -> AnswerCost:
        """Return the cost of an answer, by its usage and price terms."""
        return cost_of_answer(self.type, self.model, self.price, usage, terms, held=held)


def build(config: Config) -> dict[str, Deployment]:
    """Return every deployment of the enabled providers by id, ranked by provider priority, then by slot."""
    return {deployment.id: deployment for deployment in _each(config)}


def _each(config: Config) -> Iterator[Deployment]:
    for rank, provider in enumerate(config.asked_providers):
        settings, kind = config.providers[provider], config.type_of(provider)
        for tier in MODEL_GROUPS:
            model = settings.models.get(tier)
            if model is None:
                continue
            for place, slot in enumerate(settings.keys or (None,)):
                yield Deployment(
                    id=DeploymentIdentity(tier, provider, model, slot, settings.api_base).id,
                    tier=tier,
                    provider=provider,
                    type=kind,
                    model=model,
                    slot=slot,
                    price=prices.find(kind, model, settings),
                    timeout=settings.timeout,
                    limits=settings.limits,
                    shares=settings.slots == "share",
                    rank=10 * rank + place,
                    takes=prices.supported_attachments(kind, model),
                    hides_thoughts=prices.hides_reasoning(kind, model),
                    address=settings.api_base,
                    strict=config.routing.unsupported == "refuse",
                    continues=parameters.can_continue(_litellm_name(kind, model, tier)),
                )


def model_list(config: Config, deployments: dict[str, Deployment]) -> list[dict[str, Any]]:
    """Return the Router's model list: a group per tier and for embeddings, and no key anywhere in it."""
    return [
        {
            "model_name": d.tier,
            "litellm_params": _without_none(
                **_fixed_parameters(config.providers[d.provider], d.type),
                model=d.litellm_name,
                api_base=_address(d),
                drop_params=True,
            ),
            "model_info": {"id": d.id, "provider": d.provider},
        }
        for d in deployments.values()
    ]


def is_local(deployment: Deployment) -> bool:
    """Return whether it takes no key and is at its usual address on this machine."""
    usual = usual_address(deployment.type)
    return deployment.slot is None and deployment.address in (None, usual) and "localhost" in (usual or "")


_HOTTEST = {"anthropic": 1.0, "cohere": 1.0, "cohere_chat": 1.0, "mistral": 1.5}
"""The highest temperature, by the provider's documentation, where it is below 2."""

_OPENAI_VECTORS = {"encoding_format": "float", "allowed_openai_params": ["dimensions"]}
"""LiteLLM's parameters for embeddings in OpenAI's protocol. The environment must not decide the format, and
a custom server may accept a number of dimensions."""

_IN_WORDS = "Answer with one JSON object of this JSON schema: no text around it, no fence.\n{schema}"
"""The instructions for a model whose provider has no parameter for a schema."""


class Prepared(NamedTuple):
    """A request as one deployment gets it: LiteLLM's parameters, the messages, and what was left out."""

    parameters: dict[str, Any]
    messages: list[dict[str, Any]]
    dropped: tuple[str, ...]


def prepare(deployment: Deployment, request: Request) -> Prepared:
    """Return the request's parameters and messages within what the deployment's model supports.

    A model without a parameter for schemas gets the schema in words.
    """
    name = deployment.litellm_name
    extra = request.extra.get(deployment.provider, {})
    if request.texts:
        own = _OPENAI_VECTORS if deployment.tier == EMBEDDING and name.startswith("openai/") else {}
        return Prepared({**own, **extra, **request.parameters}, [], ())
    missing = parameters.unsupported(name, request.parameters)
    signed = parameters.signs_thoughts(name)
    if signed and (reasoning := request.parameters.keys() & {"reasoning_effort", "thinking"}):
        # It refuses to reason on after a call of a tool that came without its own reasoning.
        signed = not parameters.lacks_thoughts(request.messages)
        missing |= frozenset() if signed else reasoning
    sent = {key: value for key, value in request.parameters.items() if key not in missing}
    if "temperature" in sent:
        hottest = _HOTTEST.get(deployment.type, sent["temperature"])
        sent["temperature"] = min(sent["temperature"], hottest)
    schema = None
    if "response_format" in missing:
        described = request.parameters["response_format"]["json_schema"]["schema"]
        schema = _IN_WORDS.format(schema=json.dumps(described))
    marked = bool(request.prompt_cache) and parameters.marks_cache(name)
    messages = wire_messages(request, marked=marked, signed=signed, schema=schema)
    dropped = tuple(sorted(missing - {"response_format"}))
    return Prepared({**extra, **sent}, messages, dropped)


def _address(deployment: Deployment) -> str | None:
    """Return the address for LiteLLM; None for its own usual one."""
    address = deployment.address or usual_address(deployment.type)
    if address and deployment.type == "ollama" and deployment.tier == EMBEDDING:
        return address.rstrip("/") + "/v1"  # where it speaks OpenAI's protocol
    return address


def api_base(config: Config, provider: str) -> str | None:
    """Return the provider's address as configured, None for its usual one."""
    return config.providers[provider].api_base


def usual_address(kind: str) -> str | None:
    """Return the usual address of providers of this type, None if only LiteLLM knows it."""
    return _API_BASE.get(kind)


def price_entries(deployments: dict[str, Deployment]) -> dict[str, dict[str, Any]]:
    """Return entries for LiteLLM's price map; without them it would ask an Ollama server about each model."""
    entry = {
        "litellm_provider": "ollama_chat",
        "mode": "chat",
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
        "supports_function_calling": True,  # else LiteLLM would write tools into the prompt
        "supports_assistant_prefill": True,
    }
    chats = (d for d in deployments.values() if d.type == "ollama" and d.tier in TIERS)
    return {d.litellm_name: entry for d in chats}


def _litellm_name(kind: str, model: str, group: ModelGroup) -> str:
    names = _EMBEDDING_NAME if group == EMBEDDING else _LITELLM_NAME
    return f"{names.get(kind, kind)}/{model}"


def _fixed_parameters(settings: Provider, kind: str) -> dict[str, Any]:
    """Return the provider's ``params``, and the settings that only its type has, by LiteLLM's names."""
    own = {theirs: getattr(settings, field) for field, theirs in OWN.get(kind, {}).items()}
    if kind == "bedrock" and settings.api_base:  # else a variable would win over ``api_base``
        own["aws_bedrock_runtime_endpoint"] = settings.api_base
    return {**settings.params, **own}


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
