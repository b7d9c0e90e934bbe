"""How each provider writes an answer, a stream and an error: the shapes on the wire."""

# ruff: noqa: ARG002 - every dialect takes the same arguments, whether it needs them or not

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from supernova_ai.testing.answers import Body, Completion
from supernova_ai.types import Usage

_CREATED = 1_795_000_000
_CREATED_AT = "2026-11-18T10:26:40Z"


class Dialect(Protocol):
    """One provider's way of writing. A stream is ``opening``, ``token`` for each token, ``closing``."""

    stream_type: str

    def streamed(self, request: Body) -> bool: ...
    def max_tokens(self, request: Body) -> int | None: ...
    def plain(self, completion: Completion) -> Body: ...
    def opening(self, completion: Completion) -> str: ...
    def token(self, completion: Completion, text: str) -> str: ...
    def closing(self, completion: Completion, request: Body) -> str: ...
    def error(self, status: int, message: str | None) -> Body: ...


class OpenAI:
    """Chat Completions; HuggingFace's router speaks it too."""

    stream_type = "text/event-stream; charset=utf-8"

    def streamed(self, request: Body) -> bool:
        return bool(request.get("stream"))

    def max_tokens(self, request: Body) -> int | None:
        return request.get("max_completion_tokens") or request.get("max_tokens")

    def plain(self, completion: Completion) -> Body:
        message: Body = {"role": "assistant", "content": completion.text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(completion)}
        usage = self._usage(completion.usage)
        return self._head(completion, "chat.completion") | {"choices": [choice], "usage": usage}

    def opening(self, completion: Completion) -> str:
        return self._chunk(completion, {"role": "assistant", "content": "", "refusal": None})

    def token(self, completion: Completion, text: str) -> str:
        return self._chunk(completion, {"content": text})

    def closing(self, completion: Completion, request: Body) -> str:
        events = self._chunk(completion, {}, finish=_finish(completion))
        if (request.get("stream_options") or {}).get("include_usage"):
            usage = {"choices": [], "usage": self._usage(completion.usage)}
            events += _data(self._head(completion, "chat.completion.chunk") | usage)
        return events + "data: [DONE]\n\n"

    def error(self, status: int, message: str | None) -> Body:
        kind, code, said = _OPENAI_ERRORS.get(status, (_kind(status, "server_error"), None, _SAID))
        return {"error": {"message": message or said, "type": kind, "param": None, "code": code}}

    def _chunk(self, completion: Completion, delta: Body, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data(self._head(completion, "chat.completion.chunk") | {"choices": [choice]})

    def _head(self, completion: Completion, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-stub", "object": kind, "created": _CREATED, "model": completion.model}

    def _usage(self, usage: Usage) -> Body:
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
        }


class Anthropic:
    """Messages. What was read from or written to the cache is not part of its input_tokens."""

    stream_type = "text/event-stream; charset=utf-8"

    def streamed(self, request: Body) -> bool:
        return bool(request.get("stream"))

    def max_tokens(self, request: Body) -> int | None:
        return request.get("max_tokens")

    def plain(self, completion: Completion) -> Body:
        return self._message(completion) | {
            "content": [{"type": "text", "text": completion.text}],
            "stop_reason": self._stop(completion),
            "usage": self._final_usage(completion.usage),
        }

    def opening(self, completion: Completion) -> str:
        # The first count is of what is there when the stream opens: one token.
        message = self._message(completion) | {"usage": self._usage(completion.usage, 1)}
        block = {"type": "text", "text": ""}
        return (
            _event("message_start", message=message)
            + _event("content_block_start", index=0, content_block=block)
            + _event("ping")
        )

    def token(self, completion: Completion, text: str) -> str:
        return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def closing(self, completion: Completion, request: Body) -> str:
        delta = {"stop_reason": self._stop(completion), "stop_sequence": None}
        return (
            _event("content_block_stop", index=0)
            + _event("message_delta", delta=delta, usage=self._final_usage(completion.usage))
            + _event("message_stop")
        )

    def error(self, status: int, message: str | None) -> Body:
        kind = _ANTHROPIC_ERRORS.get(status, _kind(status, "api_error"))
        error = {"type": kind, "message": message or _SAID}
        return {"type": "error", "error": error, "request_id": "req_stub"}

    def _message(self, completion: Completion) -> dict[str, Any]:
        return {
            "id": "msg_stub",
            "type": "message",
            "role": "assistant",
            "model": completion.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }

    def _usage(self, usage: Usage, output: int) -> dict[str, Any]:
        return {
            "input_tokens": usage.prompt - usage.cached - usage.cache_write,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cached,
            "output_tokens": output,
        }

    def _final_usage(self, usage: Usage) -> Body:
        details = {"thinking_tokens": usage.reasoning}
        return self._usage(usage, usage.completion) | {"output_tokens_details": details}

    def _stop(self, completion: Completion) -> str:
        return "max_tokens" if completion.cut else "end_turn"


class Ollama:
    """``/api/chat``: streams lines of JSON, and does so unless told not to."""

    stream_type = "application/x-ndjson"

    def streamed(self, request: Body) -> bool:
        return bool(request.get("stream", True))

    def max_tokens(self, request: Body) -> int | None:
        return (request.get("options") or {}).get("num_predict")

    def plain(self, completion: Completion) -> Body:
        return self._message(completion, completion.text) | self._end(completion)

    def opening(self, completion: Completion) -> str:
        return ""

    def token(self, completion: Completion, text: str) -> str:
        return json.dumps(self._message(completion, text)) + "\n"

    def closing(self, completion: Completion, request: Body) -> str:
        return json.dumps(self._message(completion, "") | self._end(completion)) + "\n"

    def error(self, status: int, message: str | None) -> Body:
        return {"error": message or _SAID}

    def _message(self, completion: Completion, text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {"model": completion.model, "created_at": _CREATED_AT, "message": message, "done": False}

    def _end(self, completion: Completion) -> dict[str, Any]:
        return {
            "done": True,
            "done_reason": _finish(completion),
            "total_duration": 1_000_000,  # nanoseconds, as all durations here
            "load_duration": 0,
            "prompt_eval_count": completion.usage.prompt,
            "prompt_eval_duration": 500_000,
            "eval_count": completion.usage.completion,
            "eval_duration": 500_000,
        }


def _finish(completion: Completion) -> str:
    return "length" if completion.cut else "stop"


def _data(value: Body) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _event(name: str, **fields: Any) -> str:
    return f"event: {name}\n{_data({'type': name, **fields})}"


def _kind(status: int, trouble: str) -> str:
    return trouble if status >= 500 else _INVALID


_SAID = "The stub was told to fail."
_INVALID = "invalid_request_error"
_OPENAI_ERRORS = {
    401: (_INVALID, "invalid_api_key", "Incorrect API key provided."),
    404: (_INVALID, "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
}
_ANTHROPIC_ERRORS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}

DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": OpenAI(),
    "/v1/messages": Anthropic(),
    "/api/chat": Ollama(),
}
"""Every dialect by the path that is asked."""
