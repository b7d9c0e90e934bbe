"""Event loops other than asyncio's: every call is refused with the reason, and nothing is sent."""

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
from tests.advisor.sample_advice import SAMPLE

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


def run_without_asyncio(work: Coroutine[Any, Any, object]) -> None:
    """Run the coroutine as trio would: without a loop of asyncio."""
    try:
        work.send(None)
    finally:
        work.close()


@pytest.mark.parametrize("opened", [False, True], ids=["unopened", "open"])
def test_another_loop_is_refused(opened: bool, nova: Supernova, stub: StubProvider) -> None:
    """Every method refuses trio's loop, also with the client open, and sends nothing."""
    if opened:
        asyncio.run(nova.warm_up())
    for name, call in CALLS.items():
        with pytest.raises(UnsupportedLoop, match="trio and curio are not supported"):
            run_without_asyncio(call(nova))
        assert stub.requests == [], name


def test_leaving_a_client_on_another_loop_keeps_the_refusal(nova: Supernova) -> None:
    """``async with`` on trio raises the refusal of the call, not an error of closing."""

    async def use() -> None:
        async with nova:
            await nova.chat("What now?")

    with pytest.raises(UnsupportedLoop):
        run_without_asyncio(use())


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
    """A call is refused if gevent or eventlet has patched threads, because it would hang."""
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**{asked: lambda module: module == patched}))
    library = name.partition(".")[0]
    with pytest.raises(UnsupportedLoop, match=f"{library} has patched"):
        await nova.chat("What now?")
    with pytest.raises(UnsupportedLoop, match=f"{library} has patched"):
        advise(SAMPLE, symbol="AAPL", client=nova)
    assert stub.requests == []
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**{asked: lambda module: False}))
    assert (await nova.chat("What now?")).content == "Diversify, always."


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


async def test_results_can_be_pickled_and_clients_cannot(nova: Supernova) -> None:
    """Configurations, replies and advice can be pickled and copied; clients and streams refuse it."""
    reply = await nova.chat("What now?")
    quote = await nova.quote("What now?")
    advice = await aadvise(SAMPLE, symbol="AAPL", client=nova)
    for copied in (pickled, copy.copy, copy.deepcopy):
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
