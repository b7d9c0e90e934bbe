"""Streams and calls that end before their end: what the caller sees, and what the ledger says of it."""

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
from tests import desk
from tests.waiting import SENT_S

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]


@pytest.fixture
def held_back(stub_provider: Stub) -> StubProvider:
    """A provider that sends one word and keeps the rest."""
    return stub_provider(Answer("Diversify, always.", gate=Event()))


@pytest.fixture
def slow(open_nova: Open, held_back: StubProvider) -> Supernova:
    return open_nova({"openai": held_back.url})


def the_row(path: Path, state: str, basis: str, *errors: str | None) -> AttemptRow:
    """The one attempt there is, once it is as expected and the window agrees with it."""
    (row,) = desk.attempts(path)
    assert (row.state, row.basis) == (state, basis)
    assert row.error in errors
    window = desk.window(path)
    assert window.held == 0
    assert (window.settled, window.lost) == ((row.cost, 0) if state == "settled" else (0, row.cost))
    assert 0 < row.cost <= row.held
    return row


async def test_stream_to_its_end(nova: Supernova, path: Path) -> None:
    """A stream gives the text in pieces, then ends, for good, and has its reply."""
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


async def test_on_token_gets_every_piece(nova: Supernova) -> None:
    """With on_token the pieces are handed over as they come, and the reply is the whole."""
    pieces: list[str] = []
    reply = await nova.chat("What now?", on_token=pieces.append)
    assert pieces == ["Diversify,", " always."]
    assert reply.content == "".join(pieces)


async def test_async_on_token_is_awaited(nova: Supernova) -> None:
    """A function that is async has done its work before the next piece comes."""
    pieces: list[str] = []

    async def send(token: str) -> None:
        await asyncio.sleep(0)
        pieces.append(token)

    await nova.chat("What now?", on_token=send)
    assert pieces == ["Diversify,", " always."]


async def test_on_token_must_be_a_function(nova: Supernova, path: Path) -> None:
    """What cannot be called is refused before anything is sent or spent."""
    with pytest.raises(InvalidRequest, match="on_token must be a function of one text, not 'print'"):
        await nova.chat("What now?", on_token="print")  # type: ignore[arg-type]
    assert desk.attempts(path) == []


async def test_a_stream_is_opened_once(nova: Supernova) -> None:
    """A second time is refused, and the answer of the first is still there."""
    stream = nova.stream("What now?")
    async with stream:
        with pytest.raises(InvalidRequest, match="a stream is opened once"):
            await stream.__aenter__()
        assert "".join([piece async for piece in stream]) == "Diversify, always."
    with pytest.raises(InvalidRequest, match="a stream is opened once"):
        await stream.__aenter__()
    assert stream.reply.content == "Diversify, always."


async def test_error_of_on_token_is_the_callers(slow: Supernova, path: Path) -> None:
    """What on_token raises reaches the caller, and the stream is settled at what was received."""

    def fail(token: str) -> None:
        raise LookupError(token)

    with pytest.raises(LookupError, match="Diversify"):
        await slow.chat("What now?", on_token=fail)
    the_row(path, "settled", "estimated", "Abandoned")


async def test_reply_before_the_end_is_refused(slow: Supernova) -> None:
    """A stream that was not opened, or not read to its end, says so when asked for more."""
    stream = slow.stream("What now?")
    with pytest.raises(InvalidRequest, match="open the stream first"):
        await anext(stream)
    async with stream:
        await anext(stream)
        with pytest.raises(InvalidRequest, match="read it to the end first"):
            _ = stream.reply
    with pytest.raises(InvalidRequest, match="read it to the end first"):
        _ = stream.reply


async def test_leaving_early_is_charged_for_what_came(
    slow: Supernova, path: Path, held_back: StubProvider
) -> None:
    """Leaving the block ends the provider call; what was received is settled before the block is left."""
    async with slow.stream("What now?") as stream:
        assert await anext(stream) == "Diversify,"
    row = the_row(path, "settled", "estimated", "Abandoned")
    assert 1 <= row.completion <= 4
    assert row.prompt > 0
    assert len(held_back.requests) == 1


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


async def test_stream_never_read_is_never_sent(slow: Supernova, path: Path, held_back: StubProvider) -> None:
    """A stream that is opened and left without reading asks nobody and costs nothing."""
    async with slow.stream("What now?"):
        pass
    assert held_back.requests == []
    assert desk.attempts(path) == []


async def test_cancelled_stream_is_charged_for_what_came(slow: Supernova, path: Path) -> None:
    """A task that is cancelled while it waits for the next piece leaves nothing held."""
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


async def test_cancelled_call_is_lost(slow: Supernova, path: Path, held_back: StubProvider) -> None:
    """A plain call that is cancelled may be charged all the same: its hold stays counted as lost."""
    task = asyncio.create_task(slow.chat("What now?"))
    await asyncio.to_thread(held_back.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(slow.close)
    row = the_row(path, "lost", "bound", "Cancelled")
    assert row.cost == row.held


async def test_deadline_of_a_call(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A call's own timeout is over all its attempts: the next provider is not asked after it."""
    silent, good = stub_provider(Hang()), stub_provider("Diversify.")
    nova = open_nova({"openai": silent.url, "anthropic": good.url})
    await nova.warm_up()
    with pytest.raises(ProviderTimeout, match=r"no whole answer within 1 s"):
        await nova.chat("What now?", timeout=SENT_S)
    the_row(path, "lost", "bound", "ProviderTimeout")
    assert good.requests == []


async def test_deadline_within_a_stream(slow: Supernova, path: Path) -> None:
    """A stream that is not finished by its deadline ends with what it had, and is settled at that."""
    await slow.warm_up()
    with pytest.raises(StreamInterrupted, match=r"no whole answer within 1 s"):
        await slow.chat("What now?", timeout=SENT_S, streaming=True)
    the_row(path, "settled", "estimated", "ProviderTimeout")


async def test_silence_within_a_stream(open_nova: Open, held_back: StubProvider, path: Path) -> None:
    """A provider that falls silent within a stream is given up after its stream timeout."""
    timeout = {"first_token": 30, "between_tokens": 0.5}
    nova = open_nova({"openai": {"url": held_back.url, "timeout": timeout}})
    with pytest.raises(StreamInterrupted) as raised:
        await nova.chat("What now?", streaming=True, on_interrupt="raise")
    assert raised.value.partial == "Diversify,"
    the_row(path, "settled", "estimated", "ProviderTimeout")


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_closing_ends_calls_under_way(
    streaming: bool, slow: Supernova, path: Path, held_back: StubProvider
) -> None:
    """Closing the client ends a call in attempt: its caller is told, and no hold stays open."""
    begun = asyncio.Event()
    on_token = (lambda _: begun.set()) if streaming else None
    task = asyncio.create_task(slow.chat("What now?", on_token=on_token))
    await (begun.wait() if streaming else asyncio.to_thread(held_back.wait_for_requests, 1))
    await asyncio.to_thread(slow.close)
    with pytest.raises(NoProvider, match="the client was closed"):
        await task
    if streaming:  # the caller was waiting for the next piece, or just about to
        the_row(path, "settled", "estimated", "Cancelled", "Abandoned")
    else:
        the_row(path, "lost", "bound", "Cancelled")


async def test_stream_is_charged_the_same_as_a_call(open_nova: Open, stub_provider: Stub) -> None:
    """The same answer costs the same, plain and streamed."""
    usage = Usage(prompt=1000, completion=200, cached=400, reasoning=50)
    nova = open_nova({"openai": stub_provider(Answer("Diversify.", usage=usage)).url})
    plain = await nova.chat("What now?")
    streamed = await nova.chat("What now?", streaming=True)
    assert plain.usage == streamed.usage == usage
    assert plain.cost == streamed.cost > 0
