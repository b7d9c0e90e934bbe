"""Recorded requests, sent again as calls with their messages and parameters, and answered as recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from supernova_ai import Reply, Supernova
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Exchange, StubProvider
from tests.execution.test_exchanges import FINISH, READ, RECORDED, cost, documents, recorded, serve

__all__ = ["serve"]

pytestmark = pytest.mark.skipif(not RECORDED, reason="SUPERNOVA_WIRE_DIR names no recorded exchanges")

Serve = Callable[[Exchange], tuple[Supernova, StubProvider]]

OPTIONS = ("max_tokens", "reasoning_effort", "temperature", "thinking")


def without_none(value: Any) -> Any:
    """Return the value without what a client left empty, and without images.

    The one recorded image is for a model of which LiteLLM does not know that it reads images.
    """
    if isinstance(value, dict):
        return {name: without_none(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_none(one) for one in value if not (isinstance(one, dict) and one.get("image_url"))]
    return value


def messages_of(exchange: Exchange) -> list[dict[str, Any]]:
    """Return the recorded messages in OpenAI's form."""
    request = exchange.request
    messages: list[dict[str, Any]] = without_none(request["messages"])
    if exchange.provider == "anthropic" and (system := request.get("system")):
        messages.insert(0, {"role": "system", "content": system})
    for message in messages if exchange.provider == "ollama" else ():
        for call in message.get("tool_calls", ()):
            call["id"], call["type"] = "call_1", "function"
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
        if message["role"] == "tool":
            message["tool_call_id"] = "call_1"
    return messages


def options_of(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    options = {name: request[name] for name in OPTIONS if name in request}
    if "cache_control" in request:
        options["prompt_cache"] = True
    return options | {"messages": messages_of(exchange)}


def texts(value: Any) -> Iterator[str]:
    """Yield every text of a request's messages, in order."""
    if isinstance(value, Mapping):
        for name in ("text", "content", "arguments"):
            if name in value:
                yield from texts(value[name])
        for name in ("tool_calls", "function"):
            yield from texts(value.get(name))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str) and value.strip():
        yield value


@recorded(good=True)
async def test_request_and_answer(
    exchange: Exchange, serve: Serve, attempts: Callable[[], list[AttemptRow]]
) -> None:
    """The provider gets every recorded text in its own form; text, finish, usage and cost are as recorded."""
    text, finish, usage = READ[exchange.provider](exchange)
    nova, stub = serve(exchange)
    reply = await nova.chat(**options_of(exchange), streaming=exchange.streamed)
    assert (reply.content, reply.finish_reason) == (text, FINISH[finish])
    body = stub.chats[0].body
    wanted = [*texts(exchange.request.get("system")), *texts(exchange.request["messages"])]
    assert sorted([*texts(body.get("system")), *texts(body["messages"])]) == sorted(wanted)
    for name in OPTIONS:
        if name in exchange.request and name != "temperature" and exchange.provider != "ollama":
            assert body[name] == exchange.request[name]
    (row,) = attempts()
    assert row.state == "settled"
    if usage is not None:
        assert reply.cost_basis == "exact"
        assert (reply.usage.prompt, reply.usage.completion) == (usage.prompt, usage.completion)
        assert reply.cost == Decimal(round(cost(exchange, usage) * 10**9)) / 10**9
        assert row.held > 0 or reply.cost == 0


@pytest.mark.parametrize("exchange", [pytest.param(e, id=e.name) for e in RECORDED if e.streamed])
async def test_stream_gives_the_same(exchange: Exchange, serve: Serve) -> None:
    """``stream`` takes the same arguments, and its pieces are the text."""
    nova, _ = serve(exchange)
    async with nova.stream(**options_of(exchange)) as tokens:
        pieces = [token async for token in tokens]
    assert "".join(pieces) == tokens.reply.content == READ[exchange.provider](exchange)[0]


def thoughts(exchange: Exchange) -> tuple[str, str]:
    """Return the reasoning and its signature in an answer of Anthropic's."""
    thought, signature = "", ""
    for document in documents(exchange):
        for block in (*document.get("content", ()), document.get("delta", {})):
            thought += block.get("thinking", "")
            signature += block.get("signature", "")
    return thought, signature


@pytest.mark.parametrize(
    "exchange", [pytest.param(e, id=e.name) for e in RECORDED if "thinking" in e.request]
)
async def test_signed_reasoning(exchange: Exchange, serve: Serve) -> None:
    """Reasoning is beside the answer; with its signature it can be sent back, plain and streamed."""
    nova, _ = serve(exchange)
    reply = await nova.chat(**options_of(exchange), streaming=exchange.streamed)
    thought, signature = thoughts(exchange)
    assert reply.reasoning == thought.strip()
    (block,) = reply.signed_thoughts
    assert (block["thinking"], block["signature"]) == (thought, signature)


@pytest.mark.parametrize(
    "exchange",
    [pytest.param(e, id=e.name) for e in RECORDED if "JSON object" in str(e.request.get("system"))],
)
async def test_structured(exchange: Exchange, serve: Serve) -> None:
    """An answer in JSON is read into the object of a schema."""
    schema = {"type": "object", "properties": {"response": {"type": "integer"}}, "required": ["response"]}
    nova, stub = serve(exchange)
    reply: Reply[Any] = await nova.chat(**options_of(exchange), response_model=schema)
    assert reply.parsed == {"response": 6}
    assert len(stub.chats) == 1


def test_every_kind_is_recorded() -> None:
    """There are tool results, system prompts, several turns and structured answers among the exchanges."""
    good = [exchange for exchange in RECORDED if exchange.status == 200]
    roles = [[one["role"] for one in messages_of(exchange)] for exchange in good]
    assert sum("tool" in one for one in roles) == 2
    assert sum("system" in one for one in roles) == 11
    assert sum("assistant" in one for one in roles) == 4
