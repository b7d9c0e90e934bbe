"""OpenAI's parameters of a call: each is checked, and goes to LiteLLM under its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from supernova_ai.characters import names_in, quoted
from supernova_ai.config.parameter_names import FOR_ALL_CALLS, LENGTHS, SET_HERE, UNBOUND
from supernova_ai.errors import InvalidRequest
from supernova_ai.requests import tools
from supernova_ai.requests.messages import check_json, text
from supernova_ai.requests.options import (
    ELSEWHERE,
    FOR_ONE,
    Effort,
    RequestOptions,
    ServiceTier,
    StreamOptions,
)
from supernova_ai.types import AnswerSchema

_NUMBERS = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_WHOLE = {"seed": (-(2**63), 2**63 - 1), "top_logprobs": (0, 20)}
_SWITCHES = ("logprobs", "parallel_tool_calls")
_WORDS: Mapping[str, Any] = {"reasoning_effort": Effort, "service_tier": ServiceTier}

MAX_STOPS = 16
"""Texts in ``stop``; most providers accept four."""


def checked(options: RequestOptions, answer: AnswerSchema | None) -> dict[str, Any]:
    """Return the parameters that the caller gave, by OpenAI's names.

    Args:
        answer: the schema of the answer, if it must have one.

    Raises:
        InvalidRequest: a parameter is wrong; the message names it.
    """
    given = {name: value for name, value in options.items() if value is not None}
    found: dict[str, Any] = {}
    for name, (low, high) in _NUMBERS.items():
        if name in given:
            found[name] = number(name, given[name], low, high)
    for name, (least, most) in _WHOLE.items():
        if name in given:
            found[name] = whole_number(name, given[name], least, most)
    for name in _SWITCHES:
        if name in given:
            found[name] = switch(name, given[name])
    for name, words in _WORDS.items():
        if name in given:
            if given[name] not in get_args(words):
                known = ", ".join(get_args(words))
                raise InvalidRequest(f"{name} {quoted(given[name])} is not known; choose one of: {known}")
            found[name] = given[name]
    if "stop" in given:
        found["stop"] = _stops(given["stop"])
    if "thinking" in given:
        found["thinking"] = _thinking(given["thinking"])
    if found.get("top_logprobs") is not None and not found.setdefault("logprobs", True):
        raise InvalidRequest("top_logprobs needs logprobs: leave logprobs=False out")
    if "thinking" in found and "reasoning_effort" in found:
        raise InvalidRequest("thinking and reasoning_effort are two names of one thing: give one")
    if "tools" in given and (defined := tools.definitions(given["tools"])):
        found["tools"] = list(defined)
        names = [tool["function"]["name"] for tool in defined]
        if "tool_choice" in given:
            found["tool_choice"] = tools.choice(given["tool_choice"], names)
    elif "tool_choice" in given or "parallel_tool_calls" in given:
        raise InvalidRequest("tool_choice and parallel_tool_calls need tools")
    if answer is not None:
        found["response_format"] = dict(answer.response_format)
    return found


def by_provider(given: object) -> dict[str, dict[str, Any]]:
    """Return the option ``extra``.

    Raises:
        InvalidRequest: they are not by provider, or one is for an option, or may cost more than the hold.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(one, Mapping) for one in given.values()):
        raise InvalidRequest(
            "extra must have parameters by the provider's name, such as {'anthropic': {'top_k': 40}}"
        )
    for provider, parameters in given.items():
        for name in names_in(parameters):
            _check_extra(f"extra[{quoted(provider)}][{quoted(name)}]", name, inside=name not in parameters)
    check_json("extra", given)
    return {str(provider): dict(parameters) for provider, parameters in given.items()}


def _check_extra(where: str, name: object, *, inside: bool) -> None:
    """Refuse a parameter that an option has, that this package sets, or that may cost more than the hold."""
    if not isinstance(name, str):
        raise InvalidRequest(f"{where}: the name of a parameter must be a text")
    if name in LENGTHS:
        raise InvalidRequest(f"{where}: give it as the option max_tokens= of the call")
    if name in UNBOUND:
        raise InvalidRequest(f"{where} is refused: {UNBOUND[name]}")
    if inside:
        return
    if name in StreamOptions.__annotations__:
        raise InvalidRequest(f"{where}: give it as the option {name}= of the call")
    if name in SET_HERE:
        raise InvalidRequest(f"{where}: this package sets it; see docs/configuration.md")
    if name in FOR_ALL_CALLS:
        raise InvalidRequest(f"{where}: the configuration has it: 'providers.<name>.params'")
    if (hint := ELSEWHERE.get(name)) and name not in ("user", "safety_identifier") and hint != FOR_ONE:
        raise InvalidRequest(f"{where} is refused. {hint}")


def number(name: str, value: object, low: float, high: float) -> float:
    """Return a number of that range.

    Raises:
        InvalidRequest: it is not one.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequest(f"{name} must be a number from {low:g} to {high:g}, not {quoted(value)}")
    return value


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number of that range.

    Raises:
        InvalidRequest: it is not one.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequest(f"{name} must be a whole number from {low} to {high}, not {quoted(value)}")
    return value


def switch(name: str, value: object) -> bool:
    """Return True or False.

    Raises:
        InvalidRequest: it is neither.
    """
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be True or False, not {quoted(value)}")
    return value


def _stops(value: object) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, Sequence) or not 1 <= len(stops) <= MAX_STOPS or not all(stops):
        raise InvalidRequest(f"stop must be a text or a list of 1 to {MAX_STOPS} texts, not {quoted(value)}")
    return [text("stop", one) for one in stops]


def _thinking(value: object) -> dict[str, Any]:
    allowed = ("enabled", "disabled", "adaptive")
    kind = value.get("type") if isinstance(value, Mapping) else None
    budget = value.get("budget_tokens", 1024) if isinstance(value, Mapping) else None
    whole = isinstance(budget, int | float) and math.isfinite(budget) and budget == int(budget) >= 1
    if (
        not isinstance(value, Mapping)
        or kind not in allowed
        or not whole
        or value.keys() - {"type", "budget_tokens"}
    ):
        raise InvalidRequest(
            f"thinking must be {{'type': 'enabled', 'budget_tokens': 2000}}, or of the type disabled or "
            f"adaptive, not {quoted(value)}"
        )
    return dict(value)
