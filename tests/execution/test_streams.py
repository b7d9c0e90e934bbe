"""Streams that do not come to their end, and what they are charged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event

import pytest

from supernova_ai import StreamInterrupted, Supernova
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Raw, StubProvider
from supernova_ai.types import Usage

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]


async def read_until_it_breaks(nova: Supernova, stub: StubProvider) -> StreamInterrupted:
    """Read the first word of a stream, end the provider there, and return what reading on raises."""
    async with nova.stream("What now?", on_interrupt="raise") as stream:
        assert await anext(stream) == "Buy"
        await asyncio.to_thread(stub.close)
        with pytest.raises(StreamInterrupted) as raised:
            await anext(stream)
    return raised.value


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
async def test_broken_stream_is_charged_for_what_came(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A stream that breaks after its first word raises with that word, and is settled at an estimate."""
    stub = stub_provider(Answer("Buy low and sell high.", gate=Event()))
    error = await read_until_it_breaks(open_nova({provider: stub.url}), stub)
    assert (error.partial, error.provider, error.status) == ("Buy", provider, None)
    assert "after 3 characters" in str(error)
    (row,) = attempts()
    assert (row.state, row.basis, row.error) == ("settled", "estimated", "ProviderUnavailable")
    assert (row.prompt > 0, row.completion) == (True, 1)
    assert balance() == (row.cost, 0, 0)
    assert 0 <= row.cost <= row.held
    assert len(stub.requests) == 1


STARTED = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    '"role":"assistant","model":"claude-haiku-4-5","content":[],"stop_reason":null,"stop_sequence":null,'
    '"usage":{"input_tokens":60,"cache_creation_input_tokens":0,"cache_read_input_tokens":20,'
    '"output_tokens":1}}}\n\n'
)
SPOKEN = (
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    '"content_block":{"type":"text","text":""}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Buy low"}}\n\n'
)
OVERLOADED = (
    'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)


async def test_prompt_said_at_the_start_is_used(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Anthropic says what the prompt takes as the stream opens: a broken one is charged for exactly that."""
    stub = stub_provider(Raw(200, "text/event-stream", STARTED + SPOKEN + OVERLOADED))
    nova = open_nova({"anthropic": stub.url})
    with pytest.raises(StreamInterrupted, match="Overloaded"):
        await nova.chat("What now?", streaming=True, on_interrupt="raise")
    (row,) = attempts()
    assert (row.prompt, row.cached, row.basis) == (80, 20, "estimated")
    assert row.completion == 2


async def test_stream_that_just_ends_is_not_passed_off_as_finished(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A stream that stops without a finish reason is broken, and its first usage does not count as exact."""
    stub = stub_provider(Raw(200, "text/event-stream", STARTED + SPOKEN))
    with pytest.raises(StreamInterrupted, match="ended before its end") as raised:
        await open_nova({"anthropic": stub.url}).chat("What now?", streaming=True, on_interrupt="raise")
    assert raised.value.partial == "Buy low"
    assert [(row.state, row.basis) for row in attempts()] == [("settled", "estimated")]


async def test_stream_that_fails_before_its_first_word_goes_to_the_next_provider(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """An error inside a stream, before any text, is a failed attempt: the tier's next provider answers."""
    overloaded = stub_provider(Raw(200, "text/event-stream", STARTED + OVERLOADED))
    stub = stub_provider(Answer("Diversify.", usage=Usage(prompt=5, completion=2)))
    nova = open_nova({"anthropic": overloaded.url, "openai": stub.url})
    reply = await nova.chat("What now?", streaming=True)
    first, second = attempts()
    assert (reply.content, reply.provider, reply.usage) == (
        "Diversify.",
        "openai",
        Usage(5, 2),
    )
    assert (first.state, first.provider) == ("lost", "anthropic")
    assert (second.state, second.prompt, second.completion) == ("settled", 5, 2)
    assert balance() == (second.cost, 0, first.held)
    assert reply.cost_basis == "bound"


async def test_answer_without_usage_is_estimated(open_nova: Open, stub_provider: Stub) -> None:
    """A plain answer whose provider counted nothing is estimated, and not taken for free."""
    body = '{"id":"1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,'
    body += '"finish_reason":"stop","message":{"role":"assistant","content":"Diversify."}}]}'
    reply = await open_nova({"openai": stub_provider(Raw(200, "application/json", body)).url}).chat("What?")
    assert reply.cost_basis == "estimated"
    assert reply.cost > 0


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.2-3B-Instruct", "command-r-plus"])
async def test_estimates_need_no_network(
    model: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Tokens are counted with what is here, also for models whose tokenizers LiteLLM would fetch."""
    price = {model: {"input": "1", "output": "1"}}
    stub = stub_provider(Answer("Buy low and sell high.", gate=Event()))
    nova = open_nova({"huggingface": {"url": stub.url, "models": {"standard": model}, "prices": price}})
    await read_until_it_breaks(nova, stub)
    (row,) = attempts()
    assert (row.basis, row.completion) == ("estimated", 1)
