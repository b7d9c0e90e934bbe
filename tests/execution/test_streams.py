"""Streams that break before their end, and what they are charged."""

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
    """Read the first token of a stream, close the provider, and return the error of the next read."""
    async with nova.stream("What now?", on_interrupt="raise") as stream:
        assert await anext(stream) == "Buy"
        await asyncio.to_thread(stub.close)
        with pytest.raises(StreamInterrupted) as raised:
            await anext(stream)
    return raised.value


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
async def test_broken_stream_is_charged_for_what_was_received(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A stream that breaks raises an error with the text received, and is settled at an estimate."""
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


async def test_prompt_tokens_reported_at_the_start_are_used(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A broken Anthropic stream is charged for the prompt tokens that it reported at its start."""
    stub = stub_provider(Raw(200, "text/event-stream", STARTED + SPOKEN + OVERLOADED))
    nova = open_nova({"anthropic": stub.url})
    with pytest.raises(StreamInterrupted, match="Overloaded"):
        await nova.chat("What now?", streaming=True, on_interrupt="raise")
    (row,) = attempts()
    assert (row.prompt, row.cached, row.basis) == (80, 20, "estimated")
    assert row.completion == 2


async def test_stream_without_a_finish_reason_is_broken(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A stream that stops without a finish reason is broken, and its first usage does not count as exact."""
    stub = stub_provider(Raw(200, "text/event-stream", STARTED + SPOKEN))
    with pytest.raises(StreamInterrupted, match="ended before its end") as raised:
        await open_nova({"anthropic": stub.url}).chat("What now?", streaming=True, on_interrupt="raise")
    assert raised.value.partial == "Buy low"
    assert [(row.state, row.basis) for row in attempts()] == [("settled", "estimated")]


async def test_stream_that_fails_before_its_first_token_fails_over(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """An error in a stream before any text is a failed attempt, and the tier's next provider answers."""
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
    """A plain answer without usage is settled at an estimate, and not as free."""
    body = '{"id":"1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,'
    body += '"finish_reason":"stop","message":{"role":"assistant","content":"Diversify."}}]}'
    reply = await open_nova({"openai": stub_provider(Raw(200, "application/json", body)).url}).chat("What?")
    assert reply.cost_basis == "estimated"
    assert reply.cost > 0


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.2-3B-Instruct", "command-r-plus"])
async def test_estimates_need_no_network(
    model: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Tokens are counted offline, even for models whose tokenizers LiteLLM would download."""
    price = {model: {"input": "1", "output": "1"}}
    stub = stub_provider(Answer("Buy low and sell high.", gate=Event()))
    nova = open_nova({"huggingface": {"url": stub.url, "models": {"standard": model}, "prices": price}})
    await read_until_it_breaks(nova, stub)
    (row,) = attempts()
    assert (row.basis, row.completion) == ("estimated", 1)
