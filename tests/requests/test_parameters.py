"""Parameters of a call: each is checked, and an error names it and what would be right."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from supernova_ai import InvalidRequest, UnknownOption
from supernova_ai.config import Config
from supernova_ai.requests import arguments, parameters
from supernova_ai.requests.options import ChatOptions, RequestOptions, check_names
from supernova_ai.requests.structured import structured


def price(symbol: str) -> float:
    """Return a price."""
    return 1.0


def checked(**options: Any) -> dict[str, Any]:
    return parameters.checked(options, None)  # type: ignore[arg-type]


def test_parameters_are_taken_by_openais_names() -> None:
    """What was given is checked and kept; None is the same as not given."""
    given: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 1,
        "presence_penalty": -2,
        "frequency_penalty": 2,
        "seed": -1,
        "logprobs": True,
        "top_logprobs": 3,
        "stop": ["END", "\n\n"],
        "reasoning_effort": "low",
        "service_tier": "flex",
    }
    assert checked(**given) == given
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert checked(thinking=thinking) == {"thinking": thinking}
    assert checked(**dict.fromkeys(RequestOptions.__annotations__)) == {}


def test_short_forms() -> None:
    """One stop text is a list; top_logprobs asks for logprobs; no tools are no parameter."""
    assert checked(stop="END") == {"stop": ["END"]}
    assert checked(top_logprobs=0) == {"top_logprobs": 0, "logprobs": True}
    assert checked(tools=[]) == {}


def test_tools_and_schema_are_parameters() -> None:
    """Functions become definitions, a name becomes a choice, a schema becomes the response format."""
    given: Any = {"tools": [price], "tool_choice": "price", "parallel_tool_calls": False}
    found = parameters.checked(given, structured({"type": "object", "title": "T"}))
    assert found["tools"][0]["function"]["name"] == "price"
    assert found["tool_choice"] == {"type": "function", "function": {"name": "price"}}
    assert found["parallel_tool_calls"] is False
    assert found["response_format"]["json_schema"]["name"] == "T"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.5}, "temperature must be a number from 0 to 2, not 2.5"),
    ({"temperature": "hot"}, "temperature must be a number from 0 to 2, not 'hot'"),
    ({"temperature": True}, "temperature must be a number"),
    ({"top_p": float("nan")}, "top_p must be a number from 0 to 1, not nan"),
    ({"presence_penalty": -3}, "presence_penalty must be a number from -2 to 2"),
    ({"frequency_penalty": float("inf")}, "frequency_penalty must be a number from -2 to 2"),
    ({"seed": 1.5}, "seed must be a whole number"),
    ({"seed": 2**63}, "seed must be a whole number"),
    ({"top_logprobs": 21}, "top_logprobs must be a whole number from 0 to 20"),
    ({"logprobs": 1}, "logprobs must be True or False, not 1"),
    ({"top_logprobs": 2, "logprobs": False}, "top_logprobs needs logprobs"),
    ({"stop": []}, "stop must be a text or a list of 1 to 16 texts"),
    ({"stop": ""}, "stop must be a text or a list"),
    ({"stop": ["a", ""]}, "stop must be a text or a list"),
    ({"stop": ["a"] * 17}, "stop must be a text or a list"),
    ({"stop": [5]}, "stop must be a text, not 5"),
    ({"stop": 5}, "stop must be a text or a list"),
    ({"stop": "\ud800"}, "stop"),
    ({"reasoning_effort": "max"}, "reasoning_effort 'max' is not known; choose one of: none, minimal, low"),
    ({"reasoning_effort": ["low"]}, "reasoning_effort"),
    ({"service_tier": "fast"}, "service_tier 'fast' is not known; choose one of: auto, default, flex, prio"),
    ({"thinking": "enabled"}, "thinking must be {'type': 'enabled', 'budget_tokens': 2000}"),
    ({"thinking": {"type": "on"}}, "thinking must be"),
    ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking must be"),
    ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking must be"),
    ({"thinking": {"type": "enabled", "tokens": 5}}, "thinking must be"),
    ({"thinking": {"type": "enabled", "budget_tokens": float("nan")}}, "thinking must be"),
    (
        {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
        "thinking and reasoning_effort .*give one",
    ),
    ({"tool_choice": "auto"}, "tool_choice and parallel_tool_calls need tools"),
    ({"parallel_tool_calls": True, "tools": []}, "tool_choice and parallel_tool_calls need tools"),
    (
        {"tools": [price], "tool_choice": "prices"},
        "tool_choice must be auto, none, required or one of .*price",
    ),
    ({"tools": [price], "parallel_tool_calls": 0}, "parallel_tool_calls must be True or False"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_error_names_the_parameter(options: dict[str, Any], words: str) -> None:
    """Each wrong parameter is refused, with what would be right."""
    with pytest.raises(InvalidRequest, match=words):
        checked(**options)


def test_extra_is_by_provider() -> None:
    """Parameters of one provider are kept as they are."""
    given = {"anthropic": {"top_k": 40}, "openai": {"verbosity": "low", "logit_bias": {"1": -100}}}
    assert parameters.by_provider(given) == given
    assert parameters.by_provider(None) == {}


WRONG_EXTRA: list[tuple[Any, str]] = [
    ("top_k", "extra must have parameters by the provider's name"),
    ({"top_k": 40}, "extra must have parameters by the provider's name"),
    (
        {"openai": {"temperature": 1}},
        r"extra\['openai'\]\['temperature'\]: give it as the option temperature=",
    ),
    ({"openai": {"max_tokens": 1}}, "give it as the option max_tokens="),
    ({"openai": {"max_completion_tokens": 9_999}}, "give it as the option max_tokens="),
    ({"anthropic": {"max_output_tokens": 9_999}}, "max_output_tokens"),
    ({"ollama": {"num_predict": 9_999}}, "num_predict"),
    ({"openai": {"response_format": {}}}, "response_format"),
    ({"openai": {"functions": []}}, "functions"),
    ({"openai": {"system": "x"}}, "system"),
    ({"openai": {"input": "x"}}, "input"),
    ({"openai": {"prompt": "x"}}, "prompt"),
    ({"openai": {"api_key": "sk-1"}}, r"\['api_key'\]: this package sets it"),
    ({"openai": {"extra_body": {"n": 4}}}, "extra_body"),
    ({"openai": {"model": "gpt-5"}}, "model"),
    ({"openai": {"stream_options": {}}}, "stream_options"),
    ({"openai": {"fallbacks": ["gpt-5"]}}, "fallbacks"),
    ({"openai": {"num_retries": 9}}, "num_retries"),
    ({"openai": {"max_retries": 9}}, "max_retries"),
    ({"openai": {"drop_params": True}}, "drop_params"),
    ({"openai": {"allowed_openai_params": ["n"]}}, "allowed_openai_params"),
    ({"openai": {"organization": "x"}}, "organization"),
    ({"gemini": {"generationConfig": {"maxOutputTokens": 9_999}}}, "give it as the option max_tokens="),
    ({"openrouter": {"models": ["gpt-5"]}}, "another model has another price"),
    ({"openai": {"n": 2}}, r"\['n'\] is refused: it multiplies the answers"),
    ({"openai": {"web_search_options": {}}}, "searches have prices of their own"),
    ({"anthropic": {"mcp_servers": []}}, "mcp_servers"),
    ({"anthropic": {"container": {}}}, "container"),
    ({"openai": {"verbosity": {1}}}, "extra is not JSON"),
    ({"openai": {"verbosity": "\ud800"}}, "extra"),
    ({"openai": {5: 1}}, "extra"),
]


@pytest.mark.parametrize(("given", "words"), WRONG_EXTRA)
def test_extra_cannot_change_what_the_hold_or_the_key_covers(given: Any, words: str) -> None:
    """An option of the call, a setting of this package and what costs more are refused by name."""
    with pytest.raises(InvalidRequest, match=words):
        parameters.by_provider(given)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_completion_tokens", "Give max_tokens."),
        ("response_format", "Give response_model: a pydantic model or a JSON schema."),
        ("n", "A call has one answer"),
        ("top_k", r"extra=\{'anthropic': \{'top_k': 40\}\}"),
        ("max_token", "max_tokens"),
        ("response_modl", "response_model"),
    ],
)
def test_unknown_option_names_its_replacement(name: str, hint: str) -> None:
    """Names of other libraries lead to ours, and misspelt ones to the nearest."""
    with pytest.raises(UnknownOption, match=hint):
        check_names("chat", {name: 1}, ChatOptions, "response_model")


def test_numbers_that_python_does_not_write_are_named() -> None:
    """A number of 5,000 digits as any option of a call is the same clear error, wherever it stands."""
    routing = Config().routing
    for name in RequestOptions.__annotations__:
        for value in (10**5000, [10**5000], {"desk": 10**5000}):
            with contextlib.suppress(InvalidRequest):
                arguments.common(routing, {name: value})  # type: ignore[arg-type]
                parameters.checked({name: value}, None)  # type: ignore[misc]
    with pytest.raises(
        InvalidRequest, match="top_p must be a number from 0 to 1, not a whole number of thou"
    ):
        checked(top_p=10**5000)
    with pytest.raises(InvalidRequest, match=r"5\.00: a whole number of thousands of digits is not"):
        arguments.usd("max_cost", 10**5000)
