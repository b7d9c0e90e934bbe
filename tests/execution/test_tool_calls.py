"""Calls of tools in answers: read in every dialect, plain and streamed, and never half of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from supernova_ai import Reply, StreamInterrupted, Supernova, ToolCall
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Cut, Failure, Hang, Raw, Reset, Step, StubProvider
from supernova_ai.types import Usage

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

PROVIDERS = ["openai", "anthropic", "ollama", "huggingface"]
PRICE = ToolCall("call_a1", "price", '{"symbol": "AAPL", "days": [1, 2]}')
NEWS = ToolCall("call_b2", "news", "{}")


def price(symbol: str, days: list[int]) -> float:
    """Return a price."""
    raise AssertionError("chat runs nothing")


def news() -> str:
    """Return the news."""
    raise AssertionError("chat runs nothing")


async def ask(nova: Supernova, streaming: bool, **options: Any) -> Reply:
    return await nova.chat("Did AAPL rise?", tools=[price, news], streaming=streaming, **options)


def named(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.parsed()) for call in reply.tool_calls]


each_dialect = pytest.mark.parametrize(("provider", "streaming"), list(product(PROVIDERS, (False, True))))


@each_dialect
async def test_calls_are_in_the_reply(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Each call has an id of its own, its name and its arguments; usage and cost are as for a text."""
    answer = Answer(tool_calls=[PRICE, NEWS], usage=Usage(prompt=60, completion=20))
    stub = stub_provider(answer)
    reply = await ask(open_nova({provider: stub.url}), streaming)
    assert named(reply) == [("price", {"symbol": "AAPL", "days": [1, 2]}), ("news", {})]
    assert len({call.id for call in reply.tool_calls}) == 2
    if provider != "ollama":  # it gives calls no ids
        assert [call.id for call in reply.tool_calls] == [PRICE.id, NEWS.id]
    assert (reply.content, reply.finish_reason, reply.parsed) == ("", "tool_calls", None)
    (row,) = attempts()
    assert (row.state, row.basis, row.prompt, row.completion) == ("settled", "exact", 60, 20)
    (request,) = stub.chats
    sent = [one.get("function", one)["name"] for one in request.body["tools"]]
    assert sent == ["price", "news"]


@each_dialect
async def test_reply_goes_back_as_a_message(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """``reply.message`` with the results is taken by each provider in its own form."""
    stub = stub_provider("It did.", script=[Answer("Let me look.", tool_calls=[PRICE, NEWS])])
    nova = open_nova({provider: stub.url})
    asked = {"role": "user", "content": "Did AAPL rise?"}
    reply = await nova.chat(messages=[asked], tools=[price, news], streaming=streaming)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.name}"}
        for call in reply.tool_calls
    ]
    said = await nova.chat(
        messages=[asked, reply.message, *results], tools=[price, news], streaming=streaming
    )
    assert said.content == "It did."
    sent = json.dumps(stub.chats[-1].body["messages"])
    for words in ("Let me look.", "result of price", "result of news", "AAPL"):
        assert words in sent


@pytest.mark.parametrize("streaming", [False, True])
async def test_text_beside_calls_is_the_content(
    streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """A model may say something before it calls a tool."""
    nova = open_nova({"anthropic": stub_provider(Answer("Let me look.", tool_calls=[NEWS])).url})
    reply = await ask(nova, streaming)
    assert (reply.content, named(reply)) == ("Let me look.", [("news", {})])


def stream_of(*deltas: dict[str, Any]) -> Raw:
    """Return a stream of OpenAI's with these pieces of tool calls."""
    choices = [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}]
    choices += [{"index": 0, "delta": {"tool_calls": [one]}, "finish_reason": None} for one in deltas]
    choices += [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    events = [f"data: {json.dumps(head | {'choices': [choice]})}\n\n" for choice in choices]
    return Raw(200, "text/event-stream", "".join(events) + "data: [DONE]\n\n")


def piece(arguments: str, call_id: str | None = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    given = {"id": call_id, "type": "function"} if call_id is not None else {}
    return {**given, "function": {"arguments": arguments} | ({"name": name} if name else {}), **more}


ODD_STREAMS = {
    "the usual": (
        piece("", "a", "price", index=0),
        piece('{"n":', index=0),
        piece("1}", index=0),
        piece("", "b", "news", index=1),
        piece('{"n":2}', index=1),
    ),
    "pieces by turns": (
        piece("", "a", "price", index=0),
        piece("", "b", "news", index=1),
        piece('{"n":', index=0),
        piece('{"n":2}', index=1),
        piece("1}", index=0),
    ),
    "one index for all": (
        piece("", "a", "price", index=0),
        piece('{"n":1}', index=0),
        piece("", "b", "news", index=0),
        piece('{"n":', index=0),
        piece("2}", index=0),
    ),
    "no index": (piece('{"n":1}', "a", "price"), piece('{"n":', "b", "news"), piece("2}")),
    "no ids, one index": (
        piece('{"n":1}', None, "price", index=0),
        piece('{"n":', None, "news", index=0),
        piece("2}", index=0),
    ),
    "indexes from one": (
        piece('{"n":1}', "a", "price", index=1),
        piece('{"n":2}', "b", "news", index=2),
    ),
    "the name again with each piece": (
        piece('{"n":', "a", "price", index=0),
        piece("1}", "a", "price", index=0),
        piece('{"n":2}', "b", "news", index=1),
    ),
    "an empty id with each piece": (
        piece('{"n":', "a", "price", index=0),
        piece("1}", "", None, index=0),
        piece('{"n":2}', "b", "news", index=1),
    ),
    "one id for all": (
        piece('{"n":1}', "a", "price", index=0),
        piece('{"n":2}', "a", "news", index=1),
    ),
}


@pytest.mark.parametrize("case", ODD_STREAMS)
async def test_pieces_are_joined(case: str, open_nova: Open, stub_provider: Stub) -> None:
    """However a provider numbers the pieces of calls, each call gets its own, and an id of its own."""
    nova = open_nova({"openai": stub_provider(stream_of(*ODD_STREAMS[case])).url})
    reply = await ask(nova, streaming=True)
    assert named(reply) == [("price", {"n": 1}), ("news", {"n": 2})]
    assert len({call.id for call in reply.tool_calls}) == 2
    assert all(call.id for call in reply.tool_calls)


HALF: dict[str, Step] = {
    "reset": Reset(3, Answer(tool_calls=[PRICE, NEWS])),
    "closed": Cut(3, text=Answer(tool_calls=[PRICE, NEWS])),
    "without its end": Cut(3, complete=True, text=Answer(tool_calls=[PRICE, NEWS])),
    "error event": Failure(529, after_tokens=3, text=Answer(tool_calls=[PRICE, NEWS])),
    "silence": Hang(3, Answer(tool_calls=[PRICE, NEWS])),
}


@pytest.mark.parametrize("how", HALF)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface"])
async def test_no_half_call_of_a_broken_stream(
    how: str, provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If a stream breaks in the middle of a call, another provider's whole calls are in the reply."""
    broken, good = stub_provider(HALF[how]), stub_provider(Answer(tool_calls=[NEWS]))
    other = "anthropic" if provider == "openai" else "openai"
    timeout = {"first_token": 30, "between_tokens": 0.5}
    nova = open_nova({provider: {"url": broken.url, "timeout": timeout}, other: good.url})
    reply = await ask(nova, streaming=True)
    assert (reply.provider, named(reply), reply.content) == (other, [("news", {})], "")
    first, second = attempts()
    assert (first.state, first.basis) == ("settled", "estimated")  # what arrived of the call is charged
    assert first.completion > 0
    assert second.state == "settled"
    assert "resum" not in json.dumps(good.chats[0].body)
    assert [one["role"] for one in good.chats[0].body["messages"]][-1] == "user"


async def test_call_after_a_text_that_was_shown(open_nova: Open, stub_provider: Stub) -> None:
    """After a text and half a call, the next provider continues the text, and its calls count."""
    broken = stub_provider(Cut(6, complete=True, text=Answer("Let me look.", tool_calls=[PRICE, NEWS])))
    good = stub_provider(Answer(" One moment.", tool_calls=[NEWS]))
    reply = await ask(open_nova({"openai": broken.url, "anthropic": good.url}), streaming=True)
    assert (reply.content, named(reply)) == ("Let me look. One moment.", [("news", {})])


async def test_broken_call_raises_where_nothing_may_resume(open_nova: Open, stub_provider: Stub) -> None:
    """With ``on_interrupt="raise"`` half a call is an error, and the text shown is in it."""
    stub = stub_provider(Cut(6, complete=True, text=Answer("Let me look.", tool_calls=[PRICE])))
    with pytest.raises(StreamInterrupted) as raised:
        await ask(open_nova({"openai": stub.url}), streaming=True, on_interrupt="raise")
    assert raised.value.partial == "Let me look."


@pytest.mark.parametrize("streaming", [False, True])
async def test_call_that_was_cut_off(streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """A call that max_tokens cut has the finish reason "length", and its arguments are not a whole object."""
    nova = open_nova({"openai": stub_provider(Answer(tool_calls=[PRICE])).url})
    reply = await ask(nova, streaming, max_tokens=2)
    assert reply.finish_reason == "length"
    assert [call.arguments for call in reply.tool_calls] == ['{"symbol":']
    with pytest.raises(ValueError, match="Expecting value"):
        reply.tool_calls[0].parsed()


async def test_arguments_must_be_an_object(open_nova: Open, stub_provider: Stub) -> None:
    """``parsed`` says whose arguments are not an object."""
    nova = open_nova({"openai": stub_provider(Answer(tool_calls=[ToolCall("c", "news", "[1]")])).url})
    (call,) = (await ask(nova, streaming=False)).tool_calls
    with pytest.raises(ValueError, match=r"the arguments of news are not a JSON object: \[1\]"):
        call.parsed()


@pytest.mark.parametrize(
    ("provider", "given", "sent"),
    [
        ("openai", "required", "required"),
        ("openai", "none", "none"),
        ("openai", "news", {"type": "function", "function": {"name": "news"}}),
        ("anthropic", "required", {"type": "any"}),
        ("anthropic", "auto", {"type": "auto"}),
        ("anthropic", "news", {"type": "tool", "name": "news"}),
    ],
)
async def test_choice_of_tools_is_sent(
    provider: str, given: str, sent: Any, open_nova: Open, stub_provider: Stub
) -> None:
    """``tool_choice`` reaches each provider in its own words."""
    stub = stub_provider(Answer(tool_calls=[NEWS]))
    await ask(open_nova({provider: stub.url}), streaming=False, tool_choice=given)
    assert stub.chats[0].body["tool_choice"] == sent


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_parallel_calls_are_switched_off(provider: str, open_nova: Open, stub_provider: Stub) -> None:
    """``parallel_tool_calls=False`` reaches each provider in its own words."""
    stub = stub_provider(Answer(tool_calls=[NEWS]))
    await ask(open_nova({provider: stub.url}), streaming=False, parallel_tool_calls=False)
    body = stub.chats[0].body
    choice = body.get("tool_choice") or {}
    assert body.get("parallel_tool_calls") is False or choice["disable_parallel_tool_use"] is True


async def test_models_without_tools_are_not_asked(open_nova: Open, stub_provider: Stub) -> None:
    """A model that has no tools, as LiteLLM knows, is skipped; if there is no other, the error says so."""
    without, good = stub_provider("No."), stub_provider(Answer(tool_calls=[NEWS]))
    settings = {"url": without.url, "models": {"standard": "o1-mini"}}
    reply = await ask(open_nova({"openai": settings, "anthropic": good.url}), streaming=False)
    assert reply.provider == "anthropic"
    assert without.chats == []


async def test_tools_and_calls_are_in_the_hold(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Definitions, calls and results make the hold larger."""
    nova = open_nova({"openai": stub_provider("Yes.").url})
    asked = {"role": "user", "content": "Did AAPL rise?"}
    calling = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "price", "arguments": '{"symbol": "AAPL"}'}}
        ],
    }
    result = {"role": "tool", "tool_call_id": "a", "content": "241.50 USD"}
    await nova.chat(messages=[asked])
    await nova.chat(messages=[asked], tools=[price])
    await nova.chat(messages=[asked, calling, result], tools=[price])
    plain, defined, called = (row.held for row in attempts())
    assert plain < defined < called
