"""Which of OpenAI's parameters a model supports, by LiteLLM, which would drop the others without a word."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import litellm
from litellm.types.utils import is_litellm_owned_kwarg
from litellm.utils import get_optional_params, get_optional_params_embeddings

from supernova_ai.types import Message

_BY_NAME = ("response_format", "seed", "stop", "tool_choice", "tools")
"""Parameters that are supported or not, whatever their value: it must not be part of a cache's key."""

_MARKS = ("anthropic", "bedrock", "databricks", "openrouter", "vertex_ai")
"""LiteLLM's providers whose prompts have marks for the cache; others keep what they see twice."""

_SIGN = ("anthropic", "bedrock", "vertex_ai")
"""LiteLLM's providers of Claude by Anthropic's own protocol."""


def unsupported(model: str, parameters: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the parameters that LiteLLM would drop for the model.

    Args:
        model: LiteLLM's name of it, such as "openai/gpt-6-luna".
    """
    if not parameters:
        return frozenset()
    known = _supported(model)
    if known is None:  # LiteLLM says nothing about the provider, and sends everything
        return frozenset()
    missing = frozenset(name for name in _BY_NAME if name in parameters and name not in known)
    rest = {name: value for name, value in parameters.items() if name not in _BY_NAME}
    return missing | (_refused(model, json.dumps(rest, sort_keys=True)) if rest else frozenset())


@lru_cache(maxsize=256)
def takes_dimensions(model: str) -> bool:
    """Return whether the number of a vector's dimensions can be chosen; of unknown models it may be."""
    provider, _, name = model.partition("/")
    if provider == "openai" and name not in litellm.open_ai_embedding_models:
        return True
    try:
        get_optional_params_embeddings(model=name, custom_llm_provider=provider, dimensions=1)
    except litellm.UnsupportedParamsError:
        return False
    return True


def is_setting(name: str) -> bool:
    """Return whether LiteLLM takes the parameter for itself, and does not send it to the provider."""
    return bool(is_litellm_owned_kwarg(name))


def can_continue(model: str) -> bool:
    """Return whether the model may continue the beginning of an answer; unknown ones may."""
    entry = _entry(model)
    return not entry or bool(entry.get("supports_assistant_prefill"))


def marks_cache(model: str) -> bool:
    """Return whether a prompt for the model may have marks for the provider's cache."""
    provider, _, name = model.partition("/")
    return provider in _MARKS and litellm.utils.supports_prompt_caching(name, provider)


def signs_thoughts(model: str) -> bool:
    """Return whether the provider signs the model's reasoning, and wants it back with results of tools."""
    provider, _, name = model.partition("/")
    return provider in _SIGN and "claude" in name.lower()


def lacks_thoughts(messages: Iterable[Message]) -> bool:
    """Return whether the last call of a tool came without signed reasoning."""
    return bool(litellm.utils.last_assistant_with_tool_calls_has_no_thinking_blocks(list(messages)))


@lru_cache(maxsize=256)
def _supported(model: str) -> frozenset[str] | None:
    provider, _, name = model.partition("/")
    found = litellm.get_supported_openai_params(model=name, custom_llm_provider=provider)
    return None if found is None else frozenset(found)


@lru_cache(maxsize=1024)
def _refused(model: str, parameters: str) -> frozenset[str]:
    """Return those that LiteLLM refuses: some are supported only with some values, or without others."""
    given = json.loads(parameters)
    if _accepts(model, given):
        return frozenset()
    alone = frozenset(name for name, value in given.items() if not _accepts(model, {name: value}))
    rest = {name: value for name, value in given.items() if name not in alone}
    return alone if _accepts(model, rest) else frozenset(given)


def _accepts(model: str, parameters: Mapping[str, Any]) -> bool:
    provider, _, name = model.partition("/")
    try:
        get_optional_params(model=name, custom_llm_provider=provider, drop_params=False, **parameters)
    except litellm.UnsupportedParamsError:
        return False
    except Exception:
        return True
    return True


def _entry(model: str) -> Mapping[str, Any]:
    provider, _, name = model.partition("/")
    for key in (model, name):
        entry: Mapping[str, Any] | None = litellm.model_cost.get(key)
        if entry and entry.get("litellm_provider") in (provider, None):
            return entry
    return {}
