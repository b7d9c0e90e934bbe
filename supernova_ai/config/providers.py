"""The section ``providers`` of the YAML: models, keys, timeouts, limits and prices, and the defaults."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, JsonValue, field_validator

from supernova_ai.config.fields import (
    Count,
    HttpUrl,
    Identifier,
    ModelName,
    Name,
    Seconds,
    Section,
    Slot,
    UsdPerMillion,
)
from supernova_ai.types import ModelGroup


class Timeout(Section):
    """Timeouts of one attempt in seconds; ``total`` is for a call that does not stream.

    ``adaptive`` lowers ``first_token`` and ``total`` to the usual latency, but not below ``least``.
    """

    connect: Seconds = 5
    first_token: Seconds = 30
    between_tokens: Seconds = 30
    total: Seconds = 120
    adaptive: bool = True
    least: Seconds = 10


class Limits(Section):
    """Requests and tokens per minute, and parallel requests. None: no limit."""

    rpm: Count | None = None
    tpm: Count | None = None
    parallel: Count | None = None


class Price(Section):
    """USD per million tokens. The default price of cached input is that of input."""

    input: UsdPerMillion
    output: UsdPerMillion
    cached_input: UsdPerMillion | None = None


_GROUPS = get_args(ModelGroup)


class Provider(Section):
    """One provider, under LiteLLM's name, or under a name of one's own with LiteLLM's as ``type``.

    ``models`` has one for each tier, for ``embed`` and for ``rerank``; a model of null removes it. ``params``
    are passed to LiteLLM with each call.
    """

    enabled: bool = True
    type: Name | None = None
    api_base: HttpUrl | None = None
    api_version: Identifier | None = None
    region: Name | None = None
    project: Identifier | None = None
    params: dict[Name, JsonValue] = Field(default={})
    models: dict[ModelGroup, ModelName] = Field(default={})
    keys: tuple[Slot, ...] = ("primary", "backup")
    slots: Literal["standby", "share"] = "standby"
    timeout: Timeout = Timeout()
    limits: Limits = Limits()
    price: Literal["free"] | None = None
    prices: dict[ModelName, Price] = Field(default={})

    @field_validator("models", mode="before")
    @classmethod
    def _without_null(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {group: model for group, model in value.items() if model is not None or group not in _GROUPS}


def default_providers() -> dict[Name, Provider]:
    """Return the four providers of the defaults."""
    oss = {"economy": "openai/gpt-oss-20b:groq", "standard": "openai/gpt-oss-120b:groq"}
    written: dict[str, dict[str, Any]] = {
        "openai": {
            "models": {
                "economy": "gpt-6-luna",
                "standard": "gpt-6.1-sol",
                "premium": "gpt-6-astra",
                "embedding": "text-embedding-3-small",
            }
        },
        "anthropic": {
            "models": {
                "economy": "claude-haiku-5-5",
                "standard": "claude-sonnet-5-5",
                "premium": "claude-opus-5-5",
            }
        },
        "ollama": {
            "api_base": "http://localhost:11434",
            "models": {"economy": "gemma4:e4b", "standard": "gemma4:12b", "premium": "gemma4:31b"},
            "price": "free",
            "keys": (),
        },
        # The model's name contains HuggingFace's partner, because the price is the partner's.
        "huggingface": {
            "models": {**oss, "premium": oss["standard"]},
            "prices": {
                oss["economy"]: {"input": "0.075", "output": "0.30"},
                oss["standard"]: {"input": "0.15", "output": "0.60"},
            },
        },
    }
    return {name: Provider.model_validate(provider) for name, provider in written.items()}
