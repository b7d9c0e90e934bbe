"""Streams without async, calls that Ctrl-C ends, and a fork meanwhile: the provider call and its hold end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from supernova_ai import (
    InvalidRequest,
    StreamInterrupted,
    SupernovaSync,
)
from supernova_ai.testing import Answer, Hang, Reset, StubProvider
from tests import clients
from tests.processes import run_in_child
from tests.waiting import comes_true

Open = Callable[..., SupernovaSync]
Stub = Callable[..., StubProvider]


@pytest.fixture
def nova(open_sync: Open, stub: StubProvider) -> SupernovaSync:
    return open_sync(stub)


@pytest.fixture
def slow(open_sync: Open, stub_provider: Stub) -> SupernovaSync:
    """A client whose provider sends one word of a stream and then hangs."""
    return open_sync(stub_provider(Answer("Diversify, always.", gate=Event())))


def state(path: Path) -> str:
    """The state of the only attempt."""
    (row,) = clients.attempts(path)
    return str(row.state)


def test_a_stream_ends_with_its_reply(nova: SupernovaSync) -> None:
    """A stream gives its text, then ends for good, and has its reply; before that, it has none."""
    stream = nova.stream("What now?")
    assert next(stream) == "Diversify,"
    with pytest.raises(InvalidRequest, match="before its end"):
        _ = stream.reply
    assert list(stream) == [" always."]
    assert list(stream) == []
    assert (stream.reply.content, stream.reply.cost_basis) == ("Diversify, always.", "exact")
    stream.close()


def test_a_structured_stream_has_a_partial_answer(open_sync: Open, stub_provider: Stub) -> None:
    """``partial`` is the object so far, and ``reply.parsed`` is the whole one."""
    stream = open_sync(stub_provider('{"score": [7, 8]}')).stream(
        "What now?", response_model=dict[str, list[int]]
    )
    partials = [stream.partial for _ in stream]
    assert partials[-1] == stream.reply.parsed == {"score": [7, 8]}
    assert partials[0] != partials[-1]


def test_leaving_a_stream_settles_its_hold(slow: SupernovaSync, path: Path) -> None:
    """Leaving the ``with`` block ends the provider call; the closed stream gives nothing more."""
    with slow.stream("What now?") as stream:
        assert next(stream) == "Diversify,"
        assert state(path) == "held"
    assert comes_true(lambda: state(path) == "settled")
    with pytest.raises(InvalidRequest, match="the stream is closed"):
        next(stream)


def test_dropping_a_stream_settles_its_hold(slow: SupernovaSync, path: Path) -> None:
    """A ``for`` loop that is left early ends the provider call without a ``with`` block."""
    for token in slow.stream("What now?"):
        assert token == "Diversify,"
        break
    gc.collect()
    assert comes_true(lambda: state(path) == "settled")


def test_a_dropped_stream_lets_its_session_go_on(slow: SupernovaSync, path: Path) -> None:
    """The next call of the session gets its turn, after a stream of the session was dropped half-read."""
    configuration = slow.config.model_copy(
        update={"sessions": slow.config.sessions.model_copy(update={"history": True})}
    )
    slow.reload(configuration)
    for _ in range(2):
        for token in slow.stream("What now?", session_id="s", timeout=60):
            assert token == "Diversify,"
            break
        gc.collect()
    assert comes_true(lambda: {row.state for row in clients.attempts(path)} == {"settled"})


def test_a_broken_stream_is_closed(open_sync: Open, stub_provider: Stub) -> None:
    """A stream that breaks raises what was received, and leaves nothing open."""
    nova = open_sync(stub_provider(Reset(after_tokens=2)))
    stream = nova.stream("What now?", on_interrupt="raise")
    with pytest.raises(StreamInterrupted) as raised:
        list(stream)
    assert raised.value.partial == "This answer"
    with pytest.raises(InvalidRequest, match="the stream is closed"):
        next(stream)


def test_a_stream_is_opened_once(nova: SupernovaSync) -> None:
    """A stream cannot be entered twice; the error says what to do."""
    with nova.stream("What now?") as stream, pytest.raises(InvalidRequest, match="opened once"):
        stream.__enter__()


def test_a_stream_may_change_threads(nova: SupernovaSync) -> None:
    """A stream that one thread opened is read and closed by others."""
    stream = nova.stream("What now?")
    pieces = []
    for _ in range(2):
        with ThreadPoolExecutor(1) as thread:
            pieces.append(thread.submit(next, stream).result())
    stream.close()
    assert pieces == ["Diversify,", " always."]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_calls_and_leaves_the_parent_s_stream_alone(nova: SupernovaSync) -> None:
    """A child uses the client, and drops its copy of a half-read stream; the parent reads the rest."""
    streams = [nova.stream("What now?")]
    assert next(streams[0]) == "Diversify,"

    def child() -> None:
        streams.clear()
        gc.collect()
        assert nova.chat("What now?").content == "Diversify, always."

    assert run_in_child(child) == 0
    assert list(streams[0]) == [" always."]


@pytest.fixture
def interrupt() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Press Ctrl-C once something is true."""
    # Where the tests run in the background of a shell, interrupts are ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def when(true: Callable[[], object]) -> None:
        def press() -> None:
            if comes_true(true):
                os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press, daemon=True).start()

    yield when
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("loop", ["no loop", "running loop"])
@pytest.mark.parametrize("streamed", [False, True], ids=["chat", "stream"])
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_cancels_the_call_and_ends_its_hold(
    streamed: bool,
    loop: str,
    open_sync: Open,
    stub_provider: Stub,
    path: Path,
    interrupt: Callable[[Callable[[], object]], None],
) -> None:
    """Ctrl-C during a call raises KeyboardInterrupt there, and the hold ends."""
    stub = stub_provider(Hang(after_tokens=1))
    nova = open_sync(stub)
    nova.warm_up()

    def call() -> None:
        if streamed:
            with nova.stream("What now?") as stream:
                next(stream)
                interrupt(lambda: True)
                next(stream)
        else:
            interrupt(lambda: stub.requests)
            nova.chat("What now?")

    async def inside() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's waits for its own loop
        call()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(inside()) if loop == "running loop" else call()
    assert comes_true(lambda: state(path) == ("settled" if streamed else "lost"))
    assert clients.window(path).held == 0
