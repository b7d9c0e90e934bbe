"""The error bodies of each provider: its statuses, kinds and messages."""

from __future__ import annotations

import json
from collections.abc import Mapping

from supernova_ai.testing.answers import Body, Reason

DEFAULT_MESSAGE = "The stub was told to fail."
"""The message of an error for which the provider's own is not known."""

_INVALID = "invalid_request_error"

_OPENAI_ERRORS = {
    401: (_INVALID, "invalid_api_key", "Incorrect API key provided."),
    404: (_INVALID, "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
}
_ANTHROPIC_ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}

# Status, kind, code and message.
_OPENAI_REFUSALS: Mapping[Reason, tuple[int, str, str, str]] = {
    "length": (
        400,
        _INVALID,
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130512 "
        "tokens. Please reduce the length of the messages.",
    ),
    "content": (
        400,
        _INVALID,
        "invalid_prompt",
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again "
        "with a different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting",
    ),
    "credit": (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
}
_ANTHROPIC_REFUSALS: Mapping[Reason, str] = {
    "length": "prompt is too long: 213462 tokens > 200000 maximum",
    "content": "Output blocked by content filtering policy",
    "credit": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to "
    "upgrade or purchase credits.",
}


def openai_error(status: int, message: str | None) -> Body:
    """Return OpenAI's error body for a status."""
    kind, code, default = _OPENAI_ERRORS.get(status, (_kind(status, "server_error"), None, DEFAULT_MESSAGE))
    return _openai(kind, code, message or default)


def openai_refusal(reason: Reason) -> tuple[int, Body]:
    """Return the status and body with which OpenAI refuses."""
    status, kind, code, message = _OPENAI_REFUSALS[reason]
    return status, _openai(kind, code, message, "messages" if reason == "length" else None)


def anthropic_error(status: int, message: str | None) -> Body:
    """Return Anthropic's error body for a status."""
    kind = _ANTHROPIC_ERRORS.get(status, _kind(status, "api_error"))
    return {
        "type": "error",
        "error": {"type": kind, "message": message or DEFAULT_MESSAGE},
        "request_id": "req_stub",
    }


def anthropic_refusal(reason: Reason) -> tuple[int, Body]:
    """Return the status and body with which Anthropic refuses."""
    return 400, anthropic_error(400, _ANTHROPIC_REFUSALS[reason])


def ollama_refusal(reason: Reason) -> tuple[int, Body]:
    """Return the status and body with which Ollama refuses. It checks only the length of prompts."""
    if reason != "length":
        return 400, {"error": DEFAULT_MESSAGE}
    # Its message is the JSON error of its inner server.
    message = "request (8193 tokens) exceeds the available context size (4096 tokens), try increasing it"
    inner = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return 400, {"error": json.dumps({"error": inner})}


def _openai(kind: str, code: str | None, message: str, param: str | None = None) -> Body:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _kind(status: int, server_error: str) -> str:
    return server_error if status >= 500 else _INVALID
