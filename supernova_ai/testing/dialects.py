"""How each provider's API formats an answer, a stream and an error."""

# ruff: noqa: ARG002 - all dialects have the same methods, which do not need every argument

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from supernova_ai.testing.answers import Body, Completion, Reason
from supernova_ai.testing.error_bodies import (
    DEFAULT_MESSAGE,
    anthropic_error,
    anthropic_refusal,
    ollama_refusal,
    openai_error,
    openai_refusal,
)

CREATED = 1_795_000_000
CREATED_AT = "2026-11-18T10:26:40Z"


class Dialect(Protocol):
    """The format of one API. A stream is ``opening``, ``token`` for each token, and ``closing``."""

    stream_type: str

    def streamed(self, request: Body) -> bool: ...
    def max_tokens(self, request: Body) -> int | None: ...
    def plain(self, completion: Completion) -> Body: ...
    def opening(self, completion: Completion) -> str: ...
    def token(self, completion: Completion, text: str) -> str: ...
    def closing(self, completion: Completion, request: Body) -> str: ...
    def error(self, status: int, message: str | None) -> Body: ...
    def refusal(self, reason: Reason) -> tuple[int, Body]: ...
    def error_event(self, error: Body) -> str: ...


class OpenAI:
    """OpenAI's Chat Completions, which HuggingFace's router uses too."""

    stream_type = "text/event-stream; charset=utf-8"

    def streamed(self, request: Body) -> bool:
        return bool(request.get("stream"))

    def max_tokens(self, request: Body) -> int | None:
        return request.get("max_completion_tokens") or request.get("max_tokens")

    def plain(self, completion: Completion) -> Body:
        message: Body = {"role": "assistant", "content": completion.text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(completion)}
        return self._head(completion, "chat.completion") | {"choices": [choice]} | self._usage(completion)

    def opening(self, completion: Completion) -> str:
        return self._chunk(completion, {"role": "assistant", "content": "", "refusal": None})

    def token(self, completion: Completion, text: str) -> str:
        return self._chunk(completion, {"content": text})

    def closing(self, completion: Completion, request: Body) -> str:
        events = self._chunk(completion, {}, finish=_finish(completion))
        usage = self._usage(completion)
        if usage and (request.get("stream_options") or {}).get("include_usage"):
            events += _data(self._head(completion, "chat.completion.chunk") | {"choices": []} | usage)
        return events + "data: [DONE]\n\n"

    def error(self, status: int, message: str | None) -> Body:
        return openai_error(status, message)

    def refusal(self, reason: Reason) -> tuple[int, Body]:
        return openai_refusal(reason)

    def error_event(self, error: Body) -> str:
        return _data(error)

    def _chunk(self, completion: Completion, delta: Body, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data(self._head(completion, "chat.completion.chunk") | {"choices": [choice]})

    def _head(self, completion: Completion, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-stub", "object": kind, "created": CREATED, "model": completion.model}

    def _usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        if usage is None:
            return {}
        counts = {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
        }
        return {"usage": counts}


class Anthropic:
    """Anthropic's Messages. Its input_tokens exclude tokens read from or written to the cache."""

    stream_type = "text/event-stream; charset=utf-8"

    def streamed(self, request: Body) -> bool:
        return bool(request.get("stream"))

    def max_tokens(self, request: Body) -> int | None:
        return request.get("max_tokens")

    def plain(self, completion: Completion) -> Body:
        answer = {
            "content": [{"type": "text", "text": completion.text}],
            "stop_reason": self._stop(completion),
        }
        return self._message(completion) | answer | self._usage(completion)

    def opening(self, completion: Completion) -> str:
        message = self._message(completion) | self._usage(completion, opening=True)
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
            + _event("message_delta", delta=delta, **self._usage(completion))
            + _event("message_stop")
        )

    def error(self, status: int, message: str | None) -> Body:
        return anthropic_error(status, message)

    def refusal(self, reason: Reason) -> tuple[int, Body]:
        return anthropic_refusal(reason)

    def error_event(self, error: Body) -> str:
        return f"event: error\n{_data(error)}"

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

    def _usage(self, completion: Completion, opening: bool = False) -> dict[str, Any]:
        usage = completion.usage
        if usage is None:
            return {}
        counts: dict[str, Any] = {
            "input_tokens": usage.prompt - usage.cached - usage.cache_write,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cached,
            # The opening event counts the one token that exists by then.
            "output_tokens": min(1, usage.completion) if opening else usage.completion,
        }
        if not opening:
            counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
        return {"usage": counts}

    def _stop(self, completion: Completion) -> str:
        return "max_tokens" if completion.truncated else "end_turn"


class Ollama:
    """Ollama's ``/api/chat``, which streams lines of JSON unless the request says otherwise."""

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
        return {"error": message or DEFAULT_MESSAGE}

    def refusal(self, reason: Reason) -> tuple[int, Body]:
        return ollama_refusal(reason)

    def error_event(self, error: Body) -> str:
        return json.dumps(error) + "\n"

    def _message(self, completion: Completion, text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {"model": completion.model, "created_at": CREATED_AT, "message": message, "done": False}

    def _end(self, completion: Completion) -> dict[str, Any]:
        end = {
            "done": True,
            "done_reason": _finish(completion),
            "total_duration": 1_000_000,  # nanoseconds, like all durations here
            "load_duration": 0,
            "prompt_eval_duration": 500_000,
            "eval_duration": 500_000,
        }
        usage = completion.usage
        return end | ({"prompt_eval_count": usage.prompt, "eval_count": usage.completion} if usage else {})


def _finish(completion: Completion) -> str:
    return "length" if completion.truncated else "stop"


def _data(value: Body) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _event(name: str, **fields: Any) -> str:
    return f"event: {name}\n{_data({'type': name, **fields})}"


DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": OpenAI(),
    "/v1/messages": Anthropic(),
    "/api/chat": Ollama(),
}
"""The dialect of each path."""
