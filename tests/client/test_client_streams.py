"""Streams, and calls that end early: what the caller gets, and what the ledger records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from supernova_ai import InvalidRequest, NoProvider, ProviderTimeout, StreamInterrupted, Supernova
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Hang, StubProvider
from supernova_ai.types import Usage
from tests import clients
from tests.waiting import SENT_S

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]


@pytest.fixture
def one_word(stub_provider: Stub) -> StubProvider:
    """A provider that sends one word and then hangs."""
    return stub_provider(Answer("Diversify, always.", gate=Event()))


@pytest.fixture
def slow(open_nova: Open, one_word: StubProvider) -> Supernova:
    return open_nova({"openai": one_word.url})


def the_row(path: Path, state: str, basis: str, *errors: str | None) -> AttemptRow:
    """Check the only attempt and its window; return the attempt."""
    (row,) = clients.attempts(path)
    assert (row.state, row.basis) == (state, basis)
    assert row.error in errors
    window = clients.window(path)
    assert window.held == 0
    assert (window.settled, window.lost) == ((row.cost, 0) if state == "settled" else (0, row.cost))
    assert 0 < row.cost <= row.held
    return row


async def test_stream_gives_its_text_and_then_ends(nova: Supernova, path: Path) -> None:
    """A stream gives the text token by token, ends once, and has its reply."""
    async with nova.stream("What now?", user_id=1) as stream:
        pieces = [piece async for piece in stream]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert pieces == ["Diversify,", " always."]
    assert stream.reply.content == "Diversify, always."
    assert (stream.reply.cost_basis, stream.reply.finish_reason) == ("exact", "stop")
    assert stream.reply.first_token_s is not None
    assert 0 < stream.reply.first_token_s <= stream.reply.latency_s
    the_row(path, "settled", "exact", None)


async def test_on_token_gets_every_token(nova: Supernova) -> None:
    """``on_token`` gets each token, and the reply has the whole text."""
    pieces: list[str] = []
    reply = await nova.chat("What now?", on_token=pieces.append)
    assert pieces == ["Diversify,", " always."]
    assert reply.content == "".join(pieces)


async def test_async_on_token_is_awaited(nova: Supernova) -> None:
    """An async ``on_token`` is awaited before the next token."""
    pieces: list[str] = []

    async def send(token: str) -> None:
        await asyncio.sleep(0)
        pieces.append(token)

    await nova.chat("What now?", on_token=send)
    assert pieces == ["Diversify,", " always."]


async def test_on_token_must_be_a_function(nova: Supernova, path: Path) -> None:
    """An ``on_token`` that cannot be called is refused, and nothing is sent or spent."""
    with pytest.raises(InvalidRequest, match="on_token must be a function of one text, not 'print'"):
        await nova.chat("What now?", on_token="print")  # type: ignore[arg-type]
    assert clients.attempts(path) == []


async def test_a_stream_is_opened_once(nova: Supernova) -> None:
    """Opening it again is refused, and the first answer stays."""
    stream = nova.stream("What now?")
    async with stream:
        with pytest.raises(InvalidRequest, match="a stream is opened once"):
            await stream.__aenter__()
        assert "".join([piece async for piece in stream]) == "Diversify, always."
    with pytest.raises(InvalidRequest, match="a stream is opened once"):
        await stream.__aenter__()
    assert stream.reply.content == "Diversify, always."


async def test_error_of_on_token_reaches_the_caller(slow: Supernova, path: Path) -> None:
    """An error of ``on_token`` reaches the caller, and the stream is settled for the tokens received."""

    def fail(token: str) -> None:
        raise LookupError(token)

    with pytest.raises(LookupError, match="Diversify"):
        await slow.chat("What now?", on_token=fail)
    the_row(path, "settled", "estimated", "Abandoned")


async def test_reply_before_the_end_is_refused(slow: Supernova) -> None:
    """A stream that was not opened, or not read to its end, refuses to be read or to give its reply."""
    stream = slow.stream("What now?")
    with pytest.raises(InvalidRequest, match="open the stream first"):
        await anext(stream)
    async with stream:
        await anext(stream)
        with pytest.raises(InvalidRequest, match="read it to the end first"):
            _ = stream.reply
    with pytest.raises(InvalidRequest, match="read it to the end first"):
        _ = stream.reply


async def test_leaving_early_is_settled_for_the_tokens_received(
    slow: Supernova, path: Path, one_word: StubProvider
) -> None:
    """Leaving the block ends the provider call; the tokens received are settled before the block is left."""
    async with slow.stream("What now?") as stream:
        assert await anext(stream) == "Diversify,"
    row = the_row(path, "settled", "estimated", "Abandoned")
    assert 1 <= row.completion <= 4
    assert row.prompt > 0
    assert len(one_word.requests) == 1


async def test_aclose_may_be_called_again(slow: Supernova, path: Path) -> None:
    """Closing a stream ends it as leaving the block does; closing it again changes nothing."""
    async with slow.stream("What now?") as stream:
        await anext(stream)
        await stream.aclose()
        the_row(path, "settled", "estimated", "Abandoned")
        await stream.aclose()
        with pytest.raises(InvalidRequest):
            await anext(stream)
    the_row(path, "settled", "estimated", "Abandoned")


async def test_closing_while_another_task_reads(slow: Supernova, path: Path) -> None:
    """The provider call ends without waiting for its next token, and the reader gets an error."""
    async with slow.stream("What now?") as stream:
        await anext(stream)
        reading = asyncio.create_task(anext(stream))
        await clients.let_work(slow)
        await stream.aclose()
        the_row(path, "settled", "estimated", "Abandoned")
        with pytest.raises(InvalidRequest, match=r"the stream is closed: call stream\(…\) for another"):
            await reading


async def test_several_tasks_may_read_a_stream(nova: Supernova) -> None:
    """Each gets some of the tokens, and all of them the end."""

    async def read() -> list[str]:
        return [token async for token in stream]

    async with nova.stream("What now?") as stream:
        parts = await asyncio.gather(*(read() for _ in range(3)))
    assert sorted(token for part in parts for token in part) == [" always.", "Diversify,"]
    assert stream.reply.content == "Diversify, always."


async def test_stream_never_read_is_never_sent(slow: Supernova, path: Path, one_word: StubProvider) -> None:
    """A stream that is opened and left without reading sends no request and costs nothing."""
    async with slow.stream("What now?"):
        pass
    assert one_word.requests == []
    assert clients.attempts(path) == []


async def test_cancelled_stream_is_settled_for_the_tokens_received(slow: Supernova, path: Path) -> None:
    """A task that is cancelled while it waits for a token leaves no hold."""
    begun = asyncio.Event()

    async def read() -> None:
        async with slow.stream("What now?") as stream:
            async for _ in stream:
                begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    the_row(path, "settled", "estimated", "Cancelled")


async def test_cancelled_call_is_lost(slow: Supernova, path: Path, one_word: StubProvider) -> None:
    """The provider may charge for a cancelled call without streaming: its hold is lost."""
    task = asyncio.create_task(slow.chat("What now?"))
    await asyncio.to_thread(one_word.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(slow.close)
    row = the_row(path, "lost", "bound", "Cancelled")
    assert row.cost == row.held


async def test_timeout_of_a_call(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """The timeout covers all attempts: no other provider is asked after it."""
    silent, good = stub_provider(Hang()), stub_provider("Diversify.")
    nova = open_nova({"openai": silent.url, "anthropic": good.url})
    await nova.warm_up()
    with pytest.raises(ProviderTimeout, match=r"no whole answer within 1 s"):
        await nova.chat("What now?", timeout=SENT_S)
    the_row(path, "lost", "bound", "ProviderTimeout")
    assert good.requests == []


async def test_timeout_within_a_stream(slow: Supernova, path: Path) -> None:
    """A stream that is not finished within the timeout is interrupted, and settled for its tokens."""
    await slow.warm_up()
    with pytest.raises(StreamInterrupted, match=r"no whole answer within 1 s"):
        await slow.chat("What now?", timeout=SENT_S, streaming=True)
    the_row(path, "settled", "estimated", "ProviderTimeout")


async def test_silence_within_a_stream(open_nova: Open, one_word: StubProvider, path: Path) -> None:
    """A provider that sends no token for its stream timeout is given up."""
    timeout = {"first_token": 30, "between_tokens": 0.5}
    nova = open_nova({"openai": {"url": one_word.url, "timeout": timeout}})
    with pytest.raises(StreamInterrupted) as raised:
        await nova.chat("What now?", streaming=True, on_interrupt="raise")
    assert raised.value.partial == "Diversify,"
    the_row(path, "settled", "estimated", "ProviderTimeout")


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_closing_ends_running_calls(
    streaming: bool, slow: Supernova, path: Path, one_word: StubProvider
) -> None:
    """Closing the client ends a running call with an error, and leaves no hold."""
    begun = asyncio.Event()
    on_token = (lambda _: begun.set()) if streaming else None
    task = asyncio.create_task(slow.chat("What now?", on_token=on_token))
    await (begun.wait() if streaming else asyncio.to_thread(one_word.wait_for_requests, 1))
    await asyncio.to_thread(slow.close)
    with pytest.raises(NoProvider, match="the client was closed"):
        await task
    if streaming:  # the caller waits for the next token, or is about to
        the_row(path, "settled", "estimated", "Cancelled", "Abandoned")
    else:
        the_row(path, "lost", "bound", "Cancelled")


async def test_stream_costs_the_same_as_a_call(open_nova: Open, stub_provider: Stub) -> None:
    """The same answer costs the same, plain and streamed."""
    usage = Usage(prompt=1000, completion=200, cached=400, reasoning=50)
    nova = open_nova({"openai": stub_provider(Answer("Diversify.", usage=usage)).url})
    plain = await nova.chat("What now?")
    streamed = await nova.chat("What now?", streaming=True)
    assert plain.usage == streamed.usage == usage
    assert plain.cost == streamed.cost > 0
