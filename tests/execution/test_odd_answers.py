"""Unusual answers: halves of characters, streams without an end, long errors, odd refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai import ConfigError, ProviderUnavailable, StreamInterrupted, Supernova
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Cut, Failure, Raw, StubProvider
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]


def event(delta: dict[str, str], finish: str | None = None, **fields: Any) -> str:
    """Return one stream event in OpenAI's dialect."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c\0\ud800", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps(body | {'choices': [choice]} | fields)}\n\n"


def stream(*events: str, silence: bool = False) -> Raw:
    """Return a stream of these events; with ``silence`` it never ends."""
    body = "".join(events)
    return Raw(200, "text/event-stream", body, {"content-length": str(len(body) + 99)} if silence else {})


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
END = event({}, "stop", usage=USAGE) + "data: [DONE]\n\n"


async def test_a_character_in_two_halves_is_one(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A character split over two chunks is joined; half of one alone becomes U+FFFD."""
    sent = [event({"content": text}) for text in ("Up \ud83d", "\ude00!", " \ude00", " low\ud83d")]
    stub = stub_provider(stream(*sent, END))
    nova = open_nova({"openai": {"url": stub.url, "limits": {"parallel": 1}}})
    pieces: list[str] = []
    reply = await nova.chat("What now?", on_token=pieces.append)
    assert reply.content == "".join(pieces) == "Up 😀! \ufffd low"
    assert reply.usage.completion == 4
    (row,) = attempts()
    assert (row.state, row.response) == ("settled", "c\ufffd\ufffd")
    assert balance() == (row.cost, 0, 0)
    await nova.chat("And then?", streaming=True)  # the place under the parallel limit is free


async def test_half_a_character_in_an_error_message(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """An error message with half a character fails over like any other, and its pattern is recorded."""
    bad, good = stub_provider(Failure(500, "bad \ud800 \0")), stub_provider("Diversify.")
    reply = await open_nova({"openai": bad.url, "anthropic": good.url}).chat("What now?")
    assert (reply.content, reply.attempts[0].error) == ("Diversify.", "ProviderUnavailable")
    assert [row.state for row in attempts()] == ["released", "settled"]
    assert attempts()[0].fingerprint


async def test_half_a_character_in_signed_reasoning(open_nova: Open, stub_provider: Stub) -> None:
    """Reasoning with half a character goes back to Anthropic with the results of tools, with U+FFFD."""

    def price(symbol: str) -> float:
        return 70.25

    thought = {"type": "thinking", "thinking": "KO \ud83d", "signature": "s"}
    call = {"type": "tool_use", "id": "call_1", "name": "price", "input": {"symbol": "KO"}}
    body = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [thought, call]}
    usage = {"input_tokens": 9, "output_tokens": 4}
    first = Raw(200, "application/json", json.dumps(body | {"stop_reason": "tool_use", "usage": usage}))
    stub = stub_provider("It is at 70.25.", script=[first])
    reply = await open_nova({"anthropic": stub.url}).run_tools("What is KO at?", tools=[price])
    assert reply.content == "It is at 70.25."
    sent = stub.chats[1].json["messages"][1]["content"]
    assert sent[0] == thought | {"thinking": "KO \ufffd"}


async def test_half_a_character_in_a_wrong_answer(open_nova: Open, stub_provider: Stub) -> None:
    """A structured answer with half a character in a wrong name is asked for once more."""
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    stub = stub_provider('{"KO": 70}', script=['{"\\ud83d": "dear"}'])
    reply = await open_nova({"openai": stub.url}).chat("What is KO at?", response_model=schema)
    assert reply.parsed == {"KO": 70}
    assert "\ufffd: 'dear' is not of type 'integer'" in stub.chats[1].json["messages"][-1]["content"]


@pytest.mark.parametrize("usage", [{}, {"usage": USAGE}], ids=["without usage", "with usage"])
async def test_silence_after_the_finish_reason_is_no_break(
    usage: dict[str, Any], open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A stream that goes silent after its finish reason is complete, and is not resumed."""
    said = [event({"content": "Hello"}), event({"content": " world."}), event({}, "stop", **usage)]
    stub, other = stub_provider(stream(*said, silence=True)), stub_provider("More words.")
    impatient = {"url": stub.url, "timeout": {"between_tokens": 0.2}}
    reply = await open_nova({"openai": impatient, "anthropic": other.url}).chat("Hi", streaming=True)
    assert (reply.content, reply.finish_reason, len(reply.attempts)) == ("Hello world.", "stop", 1)
    assert reply.cost_basis == ("exact" if usage else "estimated")
    assert other.requests == []


async def test_hidden_reasoning_is_charged_in_full(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A stream that the caller leaves early costs its whole hold if the model hides its reasoning."""
    nova = open_nova({"openai": {"url": stub_provider("A b c.").url, "models": {"standard": "gpt-5-nano"}}})
    async with nova.stream("What now?") as tokens:
        async for _ in tokens:
            break
    (row,) = attempts()
    assert (row.state, row.basis, row.cost) == ("settled", "bound", row.held)


async def test_long_error_is_not_read_to_its_end(open_nova: Open, stub_provider: Stub) -> None:
    """A long error is truncated: reading a megabyte would block all other calls for seconds."""
    bad, good = stub_provider(Failure(500, "sorry " * 200_000)), stub_provider("Diversify.")
    nova = open_nova({"openai": bad.url, "anthropic": good.url}, routing={"fallback": False})
    with pytest.raises(ProviderUnavailable) as raised:
        await nova.chat("What now?")
    assert len(str(raised.value)) < 100_000


@pytest.mark.parametrize(
    "words", ["API key not valid. Please pass a valid one.", "Incorrect API key provided"]
)
async def test_wrong_key_that_is_answered_with_400_fails_over(
    words: str, open_nova: Open, stub_provider: Stub
) -> None:
    """A wrong key that a provider reports as a bad request fails over to the next provider."""
    bad, good = stub_provider(Failure(400, words)), stub_provider("Diversify.")
    reply = await open_nova({"xai": of_xai(bad.url), "anthropic": good.url}).chat("What now?")
    assert [attempt.error for attempt in reply.attempts] == ["AuthenticationFailed", None]


def of_xai(url: str) -> dict[str, Any]:
    prices = {"grok": {"input": "1", "output": "1"}}
    return {"url": f"{url}/v1", "models": {"standard": "grok"}, "keys": ["primary"], "prices": prices}


async def test_text_sent_before_a_break_is_read(open_nova: Open, attempts: Rows) -> None:
    """A slow reader gets all text that was sent before the connection broke, and it is charged."""
    read, broken = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
        writer.write((head + event({"content": "Buy"})).encode())
        await read.wait()
        writer.write((event({"content": " low"}) + event({"content": " today"})).encode())
        writer.close()
        await writer.wait_closed()
        broken.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        nova = open_nova({"openai": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        async with nova.stream("What now?", on_interrupt="raise") as tokens:
            said = [await anext(tokens)]
            read.set()
            await broken.wait()
            await clients.let_work(nova)  # the client knows of the break now, and nothing more was read
            said += [await anext(tokens), await anext(tokens)]
            with pytest.raises(StreamInterrupted) as raised:
                await anext(tokens)
    assert raised.value.partial == "".join(said) == "Buy low today"
    assert [(row.state, row.completion) for row in attempts()] == [("settled", 3)]


async def test_text_held_back_at_a_break_is_not_resumed(open_nova: Open, stub_provider: Stub) -> None:
    """Text held back as a repetition when a resumed stream breaks is not sent to the next provider."""
    script = [Cut(3, text="the market is calm today"), Cut(1, text="the end"), "and so on."]
    stub = stub_provider(script=script)
    nova = open_nova({"openai": stub.url}, routing={"retries": 3, "breaker": {"failures": 9}})
    pieces: list[str] = []
    reply = await nova.chat("What now?", on_token=pieces.append)
    assert reply.content == "".join(pieces) == "the market is and so on."
    assert stub.chats[2].json["messages"][-2]["content"] == "the market is"


async def test_an_unknown_provider_is_named(open_nova: Open, stub_provider: Stub) -> None:
    """A provider that LiteLLM does not know is a ConfigError that suggests the nearest known name."""
    nova = open_nova({"opnai": of_xai(stub_provider().url)})
    with pytest.raises(ConfigError, match=r"providers\.opnai: LiteLLM knows no .* Did you mean 'openai'"):
        await nova.chat("What now?")
