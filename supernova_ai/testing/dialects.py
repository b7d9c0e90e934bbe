"""How each provider's API formats an answer, a stream and an error."""

# ruff: noqa: ARG002 - all dialects have the same methods, which do not need every argument

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from supernova_ai.testing.answers import Body, Completion, Reason, Token
from supernova_ai.testing.error_bodies import (
    DEFAULT_MESSAGE,
    anthropic_error,
    anthropic_refusal,
    ollama_refusal,
    openai_error,
    openai_refusal,
)
from supernova_ai.types import ToolCall

CREATED = 1_795_000_000
SIGNATURE = "c3R1Yg=="
"""Of every block of reasoning: Anthropic signs them."""

CREATED_AT = "2026-11-18T10:26:40Z"


class Dialect(Protocol):
    """The format of one API. A stream is ``opening``, ``token`` for each token, and ``closing``."""

    stream_type: str

    def streamed(self, request: Body) -> bool: ...
    def max_tokens(self, request: Body) -> int | None: ...
    def plain(self, completion: Completion, request: Body) -> Body: ...
    def opening(self, completion: Completion) -> str: ...
    def token(self, completion: Completion, number: int, request: Body) -> str: ...
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

    def plain(self, completion: Completion, request: Body) -> Body:
        calls = [_openai_call(call) for call in completion.tool_calls]
        text = completion.text or (None if calls else "")
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        message |= {"tool_calls": calls} if calls else {}
        message |= {"reasoning_content": completion.reasoning} if completion.reasoning else {}
        words = [token.text for token in completion.tokens if token.part == "text"]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(words, request),
            "finish_reason": _finish(completion, calls="tool_calls"),
        }
        return self._head(completion, "chat.completion") | {"choices": [choice]} | self._usage(completion)

    def opening(self, completion: Completion) -> str:
        return self._chunk(completion, {"role": "assistant", "content": "", "refusal": None})

    def token(self, completion: Completion, number: int, request: Body) -> str:
        text, part = completion.tokens[number]
        if part == "text":
            return self._chunk(completion, {"content": text}, logprobs=_logprobs([text], request))
        if part == "reasoning":
            return self._chunk(completion, {"reasoning_content": text})
        piece: Body = {"index": part, "function": {"arguments": text}}
        if not text:
            piece = {"index": part, **_openai_call(replace(completion.asked_calls[part], arguments=""))}
        return self._chunk(completion, {"tool_calls": [piece]})

    def closing(self, completion: Completion, request: Body) -> str:
        events = self._chunk(completion, {}, finish=_finish(completion, calls="tool_calls"))
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

    def _chunk(
        self, completion: Completion, delta: Body, finish: str | None = None, logprobs: Body | None = None
    ) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
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

    def plain(self, completion: Completion, request: Body) -> Body:
        blocks: list[Body] = []
        if completion.reasoning:
            blocks.append({"type": "thinking", "thinking": completion.reasoning, "signature": SIGNATURE})
        if completion.text or not completion.tool_calls:
            blocks.append({"type": "text", "text": completion.text})
        blocks += [_tool_use(call) | {"input": _object(call.arguments)} for call in completion.tool_calls]
        answer = {"content": blocks, "stop_reason": self._stop(completion)}
        return self._message(completion) | answer | self._usage(completion)

    def opening(self, completion: Completion) -> str:
        message = self._message(completion) | self._usage(completion, opening=True)
        return _event("message_start", message=message) + _event("ping")

    def token(self, completion: Completion, number: int, request: Body) -> str:
        """Return the token's event, after the events that end one block and begin the next."""
        parts = [token.part for token in completion.tokens[: number + 1]]
        place = len(dict.fromkeys(parts)) - 1
        token, begins = completion.tokens[number], number == 0 or parts[-2] != parts[-1]
        events = ""
        if begins and number:
            events += self._end_of_block(parts[-2], place - 1)
        if begins:
            events += _event("content_block_start", index=place, content_block=self._block(completion, token))
        if token.part == "text":
            delta = {"type": "text_delta", "text": token.text}
        elif token.part == "reasoning":
            delta = {"type": "thinking_delta", "thinking": token.text}
        else:
            delta = {"type": "input_json_delta", "partial_json": token.text}
        return events + _event("content_block_delta", index=place, delta=delta)

    def closing(self, completion: Completion, request: Body) -> str:
        parts = [token.part for token in completion.tokens]
        last = self._end_of_block(parts[-1], len(dict.fromkeys(parts)) - 1) if parts else ""
        delta = {"stop_reason": self._stop(completion), "stop_sequence": None}
        return last + _event("message_delta", delta=delta, **self._usage(completion)) + _event("message_stop")

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

    def _block(self, completion: Completion, token: Token) -> Body:
        if token.part == "text":
            return {"type": "text", "text": ""}
        if token.part == "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        return _tool_use(completion.asked_calls[token.part]) | {"input": {}}

    def _end_of_block(self, part: str | int, place: int) -> str:
        signature = {"type": "signature_delta", "signature": SIGNATURE}
        signed = _event("content_block_delta", index=place, delta=signature) if part == "reasoning" else ""
        return signed + _event("content_block_stop", index=place)

    def _stop(self, completion: Completion) -> str:
        if completion.truncated:
            return "max_tokens"
        return "tool_use" if completion.tool_calls else "end_turn"


class Ollama:
    """Ollama's ``/api/chat``, which streams lines of JSON unless the request says otherwise."""

    stream_type = "application/x-ndjson"

    def streamed(self, request: Body) -> bool:
        return bool(request.get("stream", True))

    def max_tokens(self, request: Body) -> int | None:
        return (request.get("options") or {}).get("num_predict")

    def plain(self, completion: Completion, request: Body) -> Body:
        message: dict[str, Any] = {"content": completion.text}
        message |= {"thinking": completion.reasoning} if completion.reasoning else {}
        calls = [_ollama_call(call) for call in completion.tool_calls]
        message |= {"tool_calls": calls} if calls else {}
        return self._message(completion, message) | self._end(completion)

    def opening(self, completion: Completion) -> str:
        return ""

    def token(self, completion: Completion, number: int, request: Body) -> str:
        """Return the token's line. A call comes whole with its first token, and the others are silent."""
        text, part = completion.tokens[number]
        if part == "text":
            message: Body = {"content": text}
        elif part == "reasoning":
            message = {"content": "", "thinking": text}
        elif text:
            return ""
        else:
            message = {"content": "", "tool_calls": [_ollama_call(completion.asked_calls[part])]}
        return json.dumps(self._message(completion, message)) + "\n"

    def closing(self, completion: Completion, request: Body) -> str:
        return json.dumps(self._message(completion, {"content": ""}) | self._end(completion)) + "\n"

    def error(self, status: int, message: str | None) -> Body:
        return {"error": message or DEFAULT_MESSAGE}

    def refusal(self, reason: Reason) -> tuple[int, Body]:
        return ollama_refusal(reason)

    def error_event(self, error: Body) -> str:
        return json.dumps(error) + "\n"

    def _message(self, completion: Completion, message: Body) -> dict[str, Any]:
        whole = {"role": "assistant", **message}
        return {"model": completion.model, "created_at": CREATED_AT, "message": whole, "done": False}

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


def _finish(completion: Completion, *, calls: str = "stop") -> str:
    """Return why the answer ended; ``calls`` is the word for an answer that calls tools."""
    if completion.truncated:
        return "length"
    return calls if completion.tool_calls else "stop"


def _openai_call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _ollama_call(call: ToolCall) -> Body:
    return {"function": {"name": call.name, "arguments": _object(call.arguments)}}


def _object(arguments: str) -> Any:
    """Return the arguments of a call as an object, empty where max_tokens cut them."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return {}


def _logprobs(words: Sequence[str], request: Body) -> Body | None:
    if not request.get("logprobs"):
        return None
    return {
        "content": [
            {"token": word, "logprob": -0.5, "bytes": list(word.encode()), "top_logprobs": []}
            for word in words
        ],
        "refusal": None,
    }


def _data(value: Body) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _event(name: str, **fields: Any) -> str:
    return f"event: {name}\n{_data({'type': name, **fields})}"


CHAT_DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": OpenAI(),
    "/v1/messages": Anthropic(),
    "/api/chat": Ollama(),
}
"""The dialect of each path."""
