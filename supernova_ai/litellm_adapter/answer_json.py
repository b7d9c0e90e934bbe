"""Providers' JSON, normalized to the form that LiteLLM's converters expect, before they read it.

A converter fails on a field that is missing or has another type, and the paid answer is lost. It also drops
fields that we need (a refusal, an error within a choice): these are moved to fields that it passes on.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import httpx

from supernova_ai.litellm_adapter.usage import clean_report, token_count

_REPORTS = {"usage", "usageMetadata"}
"""Names of the report of tokens in an answer."""

_OLLAMA = ("prompt_eval_count", "eval_count")
"""Ollama's counts, which are in the answer itself and not in a report."""

_EVENT_DEFAULTS = {"id": "", "created": 0, "model": ""}
_ANSWER_DEFAULTS = {"service_tier": None}

_REASONING_TEXTS = ("thinking", "reasoning", "text", "summary")
"""Names under which parts with reasoning have their text."""

_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "ERROR", "TIMEOUT"})
"""Finish reasons of a provider that failed; LiteLLM reports them as "stop"."""

_records: ContextVar[list[Any] | None] = ContextVar("_records", default=None)


def record_answers(arrived: list[Any]) -> None:
    """Append the JSON of each answer that arrives in this context to the list."""
    _records.set(arrived)


async def normalize_response(response: httpx.Response) -> None:
    """Have a response return its JSON normalized: an event hook of an HTTP client."""
    read = response.json

    def json(**kwargs: Any) -> Any:
        answer = normalize(read(**kwargs))
        arrived = _records.get()
        if arrived is not None and response.is_success:
            arrived.append(answer)
        return answer

    response.json = json  # type: ignore[method-assign]


def normalize(answer: Any, *, event: bool = False) -> Any:
    """Change a provider's JSON, in place, to a form that LiteLLM can read, and return it.

    Token counts become whole numbers. In OpenAI's dialect, missing fields get their defaults and content in
    parts becomes text. JSON that is no answer stays as it is.

    Args:
        event: it is an event of a stream, not a whole answer.
    """
    if not isinstance(answer, dict):
        return answer
    if answer.get("type") == "message":
        answer.setdefault("usage", {})  # LiteLLM fails on an answer of Anthropic's without it
    if answer.get("done") is True:
        answer.update({name: token_count(answer.get(name)) for name in _OLLAMA})  # LiteLLM would invent them
    for name in _REPORTS & answer.keys():
        answer[name] = clean_report(answer[name])
    normalize(answer.get("message"))  # Anthropic's stream begins with one
    if isinstance(choices := answer.get("choices"), list):
        answer["choices"] = [choice for choice in choices if isinstance(choice, dict)]
        for index, choice in enumerate(answer["choices"]):
            _normalize_choice(choice, index, event=event)
        # LiteLLM fails without them on events of OpenRouter and on answers of Groq.
        for name, value in (_EVENT_DEFAULTS if event else _ANSWER_DEFAULTS).items():
            answer.setdefault(name, value)
    return answer


def reported_failure(reason: object, error: object = None) -> object:
    """Return the error of a choice: its own, or one for its finish reason; None if it did not fail."""
    return error or ({"message": f"finish reason {reason!r}"} if reason in _FAILED else None)


def _normalize_choice(choice: dict[str, Any], index: int, *, event: bool) -> None:
    """Set the fields of a choice that LiteLLM reads."""
    if choice.get("index") is None:
        choice["index"] = index
    if not choice.get("finish_reason"):
        details = choice.get("finish_details")  # in answers of OpenAI's vision models, on Azure too
        choice["finish_reason"] = details.get("type") if isinstance(details, dict) else None
    name = "delta" if event else "message"
    message = choice.get(name)
    if not isinstance(message, dict):  # Azure's content filter omits it; Snowflake sends plain text
        text = message or choice.get("messages") or choice.get("text")
        message = choice[name] = {"content": text if isinstance(text, str) else None}
    message.setdefault("content", None)
    if not event and not message.get("role"):
        message["role"] = "assistant"
    if isinstance(message["content"], list):
        _join_parts(message)
    elif not isinstance(message["content"], str | None):
        message["content"] = None
    for field in ("reasoning_content", "reasoning", "refusal"):
        if not isinstance(message.get(field), str | None):
            message[field] = _text_of(message[field], *_REASONING_TEXTS) or None
    if event and message.get("reasoning_content"):
        message.setdefault(
            "reasoning", message["reasoning_content"]
        )  # LiteLLM reads only this for OpenRouter
    passed_on: dict[str, Any] = {}
    if refusal := message.get("refusal"):
        passed_on["refusal"] = refusal
    if error := reported_failure(choice["finish_reason"], choice.get("error")):
        passed_on["error"] = error
        choice["finish_reason"] = "stop"  # at "error" LiteLLM ends a stream without its usage
    if passed_on:
        fields = message.get("provider_specific_fields")
        message["provider_specific_fields"] = {**(fields if isinstance(fields, dict) else {}), **passed_on}


def _join_parts(message: dict[str, Any]) -> None:
    """Join a message's texts, reasoning and refusals to one string each, under the names LiteLLM reads."""
    texts, reasoning, refusals = [], [], []
    for part in message["content"]:
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind in ("thinking", "reasoning"):
            reasoning.append(_text_of(part, *_REASONING_TEXTS))
        elif kind == "refusal":
            refusals.append(_text_of(part, "refusal"))
        else:
            texts.append(_text_of(part, "text", "content"))
    message["content"] = "".join(texts) or None
    if reasoning and not message.get("reasoning_content"):
        message["reasoning_content"] = "".join(reasoning)
    if refusals and not message.get("refusal"):
        message["refusal"] = "".join(refusals)


def _text_of(part: Any, *names: str) -> str:
    """Return the text of a part, under the first of these names that it has; parts may be nested."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(_text_of(one, *names) for one in part)
    if not isinstance(part, dict):
        return ""
    return next((_text_of(part[name], *names) for name in names if part.get(name)), "")
