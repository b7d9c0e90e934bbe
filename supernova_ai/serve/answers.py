"""A reply as OpenAI's chat completion: whole, or as the events of a stream."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from supernova_ai.characters import well_formed
from supernova_ai.client import Supernova
from supernova_ai.serve import failures
from supernova_ai.serve.chat_requests import ChatRequest
from supernova_ai.types import Embeddings, Reply

Events = AsyncGenerator[bytes, None]
"""Server-sent events."""

_END = b"data: [DONE]\n\n"


def headers(reply: Reply | Embeddings) -> dict[str, str]:
    """Return the headers of a whole answer."""
    return {
        "x-request-id": reply.request_id,  # where OpenAI's clients look for it
        "x-supernova-request-id": reply.request_id,
        "x-supernova-cost-usd": f"{reply.cost:f}",
    }


def completion(reply: Reply, ignored: Sequence[str] = ()) -> dict[str, Any]:
    """Return the reply as a ``chat.completion``.

    Args:
        ignored: fields of the request that had no effect.
    """
    message = {**reply.message, "content": _content(reply), "refusal": reply.refusal}
    choice = {"index": 0, "message": message, **_end(reply)}
    return {
        **_frame("chat.completion", reply.request_id, f"{reply.provider}/{reply.model}"),
        "choices": [choice],
        "usage": _usage(reply),
        "supernova": _more(reply, ignored),
    }


async def events(nova: Supernova, asked: ChatRequest) -> Events:
    """Yield the events of a streamed answer.

    An answer with a schema comes in one piece, because it may be asked for once more. So do calls of tools.

    Raises:
        SupernovaError: before the first event; after it, an error is the last event.
    """
    began = False
    try:
        if asked.response_model is None:
            async with nova.stream(**asked.options) as stream:
                chunks = _Chunks(stream.request_id, asked.options.get("model") or asked.options.get("tier"))
                async for piece in stream:
                    if not began:
                        began = True
                        yield chunks.event({"role": "assistant", "content": ""})
                    if piece:
                        yield chunks.event({"content": piece})
                reply = stream.reply
        else:
            reply = await nova.chat(response_model=asked.response_model, **asked.options)
            chunks = _Chunks(reply.request_id, None)
        chunks.model = f"{reply.provider}/{reply.model}"
        if not began:
            began = True
            yield chunks.event({"role": "assistant", "content": ""})
        if asked.response_model is not None and (content := _content(reply)):
            yield chunks.event({"content": content})
        if reply.refusal:
            yield chunks.event({"refusal": reply.refusal})
        if reply.tool_calls:
            calls = [{"index": n, **call} for n, call in enumerate(reply.message["tool_calls"])]
            yield chunks.event({"tool_calls": calls})
        yield chunks.event({}, _end(reply), supernova=_more(reply, asked.ignored))
        if asked.with_usage:
            yield chunks.event(None, usage=_usage(reply))
    except Exception as error:
        if not began:
            raise
        yield b"event: error\n" + _event(failures.body(error))
        return
    yield _END


class _Chunks:
    """Makes the ``chat.completion.chunk`` events of one answer."""

    def __init__(self, request_id: str, model: str | None) -> None:
        self._frame = _frame("chat.completion.chunk", request_id, "")
        self.model = model or "default"

    def event(
        self, delta: Mapping[str, Any] | None, end: Mapping[str, Any] | None = None, **more: Any
    ) -> bytes:
        """Return an event with this delta; None: without a choice."""
        choice = {"index": 0, "delta": delta, **(end or {"finish_reason": None, "logprobs": None})}
        choices = [] if delta is None else [choice]
        return _event({**self._frame, "model": self.model, "choices": choices, **more})


def _event(value: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _frame(kind: str, request_id: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{request_id}", "object": kind, "created": int(time.time()), "model": model}


def _content(reply: Reply) -> str | None:
    """Return the text; that of a structured answer is its JSON, without a fence around it."""
    if reply.parsed is not None:
        return well_formed(json.dumps(reply.parsed, ensure_ascii=False))
    return reply.content or None


def _end(reply: Reply) -> dict[str, Any]:
    logprobs = None if reply.logprobs is None else {"content": list(reply.logprobs), "refusal": None}
    return {"finish_reason": reply.finish_reason or "stop", "logprobs": logprobs}


def _usage(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _more(reply: Reply, ignored: Sequence[str]) -> dict[str, Any]:
    """Return what OpenAI's form has no place for."""
    return {
        "request_id": reply.request_id,
        "cost_usd": f"{reply.cost:f}",
        "cost_basis": reply.cost_basis,
        "provider": reply.provider,
        "tier": reply.tier,
        "tier_reason": reply.tier_reason,
        "cached": reply.cached,
        "dropped": [*reply.dropped, *ignored],
        "reasoning": reply.reasoning,
    }
