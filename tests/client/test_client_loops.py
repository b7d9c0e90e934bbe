"""Loops that are not asyncio's: a call is refused by name before anything is sent, and nothing is charged."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai import Config, Reply, Supernova, UnsupportedLoop, aadvise, advise
from supernova_ai.testing import StubProvider
from tests.advisor.sample import SAMPLE

CALLS: dict[str, Callable[[Supernova], Coroutine[Any, Any, object]]] = {
    "chat": lambda nova: nova.chat("What now?"),
    "streamed chat": lambda nova: nova.chat("What now?", streaming=True),
    "analyze": lambda nova: nova.analyze("Profit rose."),
    "ask": lambda nova: nova.ask("chat", {"message": "What now?"}),
    "stream": lambda nova: nova.stream("What now?").__aenter__(),
    "attachment": lambda nova: nova.chat("What now?", attachments=[b"%PDF-"]),
    "quote": lambda nova: nova.quote("What now?"),
    "forget": lambda nova: nova.forget("1"),
    "warm_up": lambda nova: nova.warm_up(),
    "probe": lambda nova: nova.probe(),
    "reload": lambda nova: nova.reload(),
    "aadvise": lambda nova: aadvise(SAMPLE, symbol="AAPL", client=nova),
}


def by_hand(work: Coroutine[Any, Any, object]) -> None:
    """Run the coroutine as trio would: its own loop, and none of asyncio's."""
    try:
        work.send(None)
    finally:
        work.close()


@pytest.mark.parametrize("opened", [False, True], ids=["unopened", "open"])
def test_another_loop_is_refused(opened: bool, nova: Supernova, stub: StubProvider) -> None:
    """Every method refuses trio's loop, also with the client open: no request, no hold."""
    if opened:
        asyncio.run(nova.warm_up())
    for name, call in CALLS.items():
        with pytest.raises(UnsupportedLoop, match="trio and curio are not supported"):
            by_hand(call(nova))
        assert stub.requests == [], name


def test_leaving_a_client_on_another_loop_keeps_the_refusal(nova: Supernova) -> None:
    """``async with`` on trio shows why the call was refused, and not a failure of closing."""

    async def use() -> None:
        async with nova:
            await nova.chat("What now?")

    with pytest.raises(UnsupportedLoop):
        by_hand(use())


@pytest.mark.parametrize(
    ("name", "asked", "patched"),
    [
        ("gevent.monkey", "is_module_patched", "threading"),
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ],
)
async def test_patched_threads_are_refused(
    name: str, asked: str, patched: str, nova: Supernova, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under gevent's or eventlet's patches a call would hang: it is refused, and works without them."""
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**{asked: lambda module: module == patched}))
    library = name.partition(".")[0]
    with pytest.raises(UnsupportedLoop, match=f"{library} has patched"):
        await nova.chat("What now?")
    with pytest.raises(UnsupportedLoop, match=f"{library} has patched"):
        advise(SAMPLE, symbol="AAPL", client=nova)
    assert stub.requests == []
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**{asked: lambda module: False}))
    assert (await nova.chat("What now?")).content == "Diversify, always."


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


async def test_what_can_go_to_another_process(nova: Supernova) -> None:
    """Configurations, answers and advice can be pickled and copied; a client and a stream say what to do."""
    reply = await nova.chat("What now?")
    quote = await nova.quote("What now?")
    advice = await aadvise(SAMPLE, symbol="AAPL", client=nova)
    for copied in (again, copy.copy, copy.deepcopy):
        assert copied(reply) == reply
        assert isinstance(copied(reply), Reply)
        assert copied(quote) == quote
        assert copied(nova.config) == nova.config
        assert isinstance(copied(nova.config), Config)
        assert copied(advice) == advice
        with pytest.raises(TypeError, match="pass its configuration to the other process"):
            copied(nova)
        with pytest.raises(TypeError, match="a Stream cannot be pickled"):
            copied(nova.stream("What now?"))
