"""OpenAI's request for a chat completion, as the options of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supernova_ai.characters import quoted
from supernova_ai.config.parameter_names import UNBOUND
from supernova_ai.errors import InvalidRequest
from supernova_ai.requests.parameters import switch
from supernova_ai.serve.request_bodies import UnknownField
from supernova_ai.types import TIERS

_SAME_NAME = (
    "frequency_penalty",
    "logprobs",
    "messages",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "service_tier",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
)
"""Fields that are options of the same name."""

_OTHER_NAMES = {
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "safety_identifier": "user_id",
    "user": "user_id",
}

_HANDLED_HERE = ("model", "response_format", "stream", "stream_options")

_WITHOUT_EFFECT = ("prompt_cache_key", "prompt_cache_retention", "store")
"""Fields that change neither the answer nor its bound; a reply names those that were given."""

_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "store": (False,),
}
"""Values that ask for what happens anyway."""

REFUSED = {
    **UNBOUND,
    "function_call": "give 'tool_choice'",
    "functions": "give 'tools'",
    "logit_bias": "not every provider has it: name a configured model, or leave it out",
    "verbosity": "not every provider has it: leave it out, or say it in the system prompt",
}
"""Why a field of OpenAI's is refused."""

FIELDS = (*_SAME_NAME, *_OTHER_NAMES, *_HANDLED_HERE, *_WITHOUT_EFFECT, *REFUSED)
"""Every field that is known, refused ones included."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for a chat completion.

    ``options`` are those of a call. ``with_usage``: a stream ends with its usage. ``ignored`` are the fields
    that have no effect here.
    """

    options: dict[str, Any]
    response_model: Mapping[str, Any] | None
    stream: bool
    with_usage: bool
    ignored: tuple[str, ...]

    @classmethod
    def of(cls, body: Mapping[str, Any], from_headers: Mapping[str, Any]) -> ChatRequest:
        """Return the request in a body; options from headers take precedence over its fields.

        Raises:
            InvalidRequest: a field is unknown, refused or wrong; the message begins with its name.
        """
        given = {
            name: value
            for name, value in body.items()
            if value is not None and not any(value == one for one in _NEUTRAL.get(name, ()))
        }
        for name in given:
            _check_name(name)
        for name in ("model", "messages"):
            if name not in given:
                raise InvalidRequest(f"{name} is missing")
        options = {name: given[name] for name in _SAME_NAME if name in given}
        for name, option in _OTHER_NAMES.items():
            if name in given:
                if options.get(option, given[name]) != given[name]:
                    raise InvalidRequest(f"{name} and another field for the same have different values")
                options[option] = given[name]
        metadata = options.get("metadata", {})
        if not isinstance(metadata, Mapping) or not all(isinstance(one, str) for one in metadata.values()):
            raise InvalidRequest("metadata must be an object of texts")
        chosen = _model(given["model"])
        if chosen.get("tier", from_headers.get("tier")) != from_headers.get("tier", chosen.get("tier")):
            raise InvalidRequest(f"model {given['model']!r} and x-supernova-tier are two tiers: give one")
        stream_options = given.get("stream_options", {})
        if not isinstance(stream_options, Mapping):
            raise InvalidRequest("stream_options must be an object, such as {'include_usage': true}")
        return cls(
            options={**options, **chosen, **from_headers},
            response_model=_schema(given.get("response_format")),
            stream=switch("stream", given.get("stream", False)),
            with_usage=switch("stream_options.include_usage", stream_options.get("include_usage") or False),
            ignored=tuple(name for name in _WITHOUT_EFFECT if name in given),
        )


def _check_name(name: str) -> None:
    if name in REFUSED:
        raise InvalidRequest(f"{name} is refused: {REFUSED[name]}")
    if name not in FIELDS:
        known = [one for one in FIELDS if one not in REFUSED]
        raise UnknownField(name, known, "chat completions")


def _model(given: object) -> dict[str, Any]:
    """Return the options that the model sets: a tier, or a configured model; "default" sets none."""
    if not isinstance(given, str):
        raise InvalidRequest(f"model must be a text, not {quoted(given)}")
    if given == "default":
        return {}
    return {"tier": given} if given in TIERS else {"model": given}


def _schema(given: object) -> Mapping[str, Any] | None:
    """Return the JSON schema that the answer must have, None for a text."""
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    described = given.get("json_schema") if isinstance(given, Mapping) else None
    if kind != "json_schema" or not isinstance(described, Mapping):
        raise InvalidRequest(
            "response_format must have the type 'text', 'json_object', or 'json_schema' with 'json_schema'"
        )
    schema = described.get("schema")
    if not isinstance(schema, Mapping):
        raise InvalidRequest("response_format: json_schema.schema must be a JSON schema")
    return {"title": described.get("name", "answer"), **schema}
