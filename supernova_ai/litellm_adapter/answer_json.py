"""Providers' JSON, put into the form that LiteLLM's converters expect, before they see it.

A converter fails on a field that is missing or has another type, and the paid answer is lost. What it drops
and we need (a refusal, an error within a choice) goes into fields that it passes on.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import httpx

from supernova_ai.litellm_adapter.usage import cleaned, count

_REPORTS = {"usage", "usageMetadata"}
"""Names of an answer's report of its tokens."""

_OLLAMA = ("prompt_eval_count", "eval_count")
"""Ollama's counts stand beside the answer, in no report."""

_OF_EVENTS = {"id": "", "created": 0, "model": ""}
_OF_ANSWERS = {"service_tier": None}

_TEXTS = ("thinking", "reasoning", "text", "summary")
"""Where parts of thoughts have their text."""

_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "ERROR", "TIMEOUT"})
"""Finish reasons that say that the provider failed; LiteLLM reports them as "stop"."""


_records: ContextVar[list[Any] | None] = ContextVar("_records", default=None)


def record_into(arrived: list[Any]) -> None:
    """Have the JSON of the answers that arrive in this context appended to the list."""
    _records.set(arrived)


async def read_answer(response: httpx.Response) -> None:
    """Have a response give its JSON in a form that LiteLLM can read: a hook of an HTTP client."""
    read = response.json

    def json(**kwargs: Any) -> Any:
        answer = readable(read(**kwargs))
        arrived = _records.get()
        if arrived is not None and response.is_success:
            arrived.append(answer)
        return answer

    response.json = json  # type: ignore[method-assign]


def readable(answer: Any, *, event: bool = False) -> Any:
    """Return a provider's JSON in a form that LiteLLM can read.

    Token counts become whole numbers. In OpenAI's dialect, missing fields get their defaults and content in
    parts becomes text. JSON that is no answer is returned as it is.

    Args:
        event: it is one of a stream, and no whole answer.
    """
    if not isinstance(answer, dict):
        return answer
    if answer.get("type") == "message":
        answer.setdefault("usage", {})  # LiteLLM reads no answer of Anthropic's without one
    if answer.get("done") is True:
        answer.update({name: count(answer.get(name)) for name in _OLLAMA})  # LiteLLM would make some up
    for name in _REPORTS & answer.keys():
        answer[name] = cleaned(answer[name])
    readable(answer.get("message"))  # Anthropic's stream begins with one
    if isinstance(choices := answer.get("choices"), list):
        answer["choices"] = [choice for choice in choices if isinstance(choice, dict)]
        for place, choice in enumerate(answer["choices"]):
            _read_choice(choice, place, event=event)
        # LiteLLM reads no event of OpenRouter's without these, and no answer of Groq's.
        for name, value in (_OF_EVENTS if event else _OF_ANSWERS).items():
            answer.setdefault(name, value)
    return answer


def failure(reason: object, error: object = None) -> object:
    """Return the error that a finish reason tells of, or that stands beside it; None if there is none."""
    return error or ({"message": f"finish reason {reason!r}"} if reason in _FAILED else None)


def _read_choice(choice: dict[str, Any], place: int, *, event: bool) -> None:
    """Give a choice the fields that LiteLLM reads."""
    if choice.get("index") is None:
        choice["index"] = place
    if not choice.get("finish_reason"):
        details = choice.get("finish_details")  # of OpenAI's vision models, on Azure too
        choice["finish_reason"] = details.get("type") if isinstance(details, dict) else None
    name = "delta" if event else "message"
    message = choice.get(name)
    if not isinstance(message, dict):  # Azure's content filter leaves it out; Snowflake has plain text
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
            message[field] = _text_of(message[field], *_TEXTS) or None
    if event and message.get("reasoning_content"):
        message.setdefault("reasoning", message["reasoning_content"])  # LiteLLM's OpenRouter reads only this
    passed_on: dict[str, Any] = {}
    if refusal := message.get("refusal"):
        passed_on["refusal"] = refusal
    if error := failure(choice["finish_reason"], choice.get("error")):
        passed_on["error"] = error
        choice["finish_reason"] = "stop"  # LiteLLM breaks a stream off at "error", without its usage
    if passed_on:
        fields = message.get("provider_specific_fields")
        message["provider_specific_fields"] = {**(fields if isinstance(fields, dict) else {}), **passed_on}


def _join_parts(message: dict[str, Any]) -> None:
    """Put a message's parts where LiteLLM reads them: texts, thoughts and refusals each as one string."""
    texts, thoughts, refusals = [], [], []
    for part in message["content"]:
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind in ("thinking", "reasoning"):
            thoughts.append(_text_of(part, *_TEXTS))
        elif kind == "refusal":
            refusals.append(_text_of(part, "refusal"))
        else:
            texts.append(_text_of(part, "text", "content"))
    message["content"] = "".join(texts) or None
    if thoughts and not message.get("reasoning_content"):
        message["reasoning_content"] = "".join(thoughts)
    if refusals and not message.get("refusal"):
        message["refusal"] = "".join(refusals)


def _text_of(part: Any, *names: str) -> str:
    """Return the text of a part under the first of these names that it has; parts may be nested."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(_text_of(one, *names) for one in part)
    if not isinstance(part, dict):
        return ""
    return next((_text_of(part[name], *names) for name in names if part.get(name)), "")
