"""The client without async: the same answers, from any thread, and also where an event loop is running."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from inspect import isfunction
from pathlib import Path
from types import SimpleNamespace

import pytest

import supernova_ai
from supernova_ai import (
    InvalidRequest,
    Supernova,
    SupernovaSync,
    UnknownOption,
    UnsupportedLoop,
    advise,
    default_client,
)
from supernova_ai.testing import StubProvider
from tests import clients
from tests.advisor.sample_advice import SAMPLE
from tests.processes import leaving_nothing

Open = Callable[..., SupernovaSync]
Stub = Callable[..., StubProvider]


@pytest.fixture
def nova(open_sync: Open, stub: StubProvider) -> SupernovaSync:
    return open_sync(stub)


PUBLIC = sorted(name for name in dir(Supernova) if not name.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_method_has_a_twin(name: str) -> None:
    """``SupernovaSync`` has each method of ``Supernova`` with the same parameters, and none is async."""
    method, twin = getattr(Supernova, name), getattr(SupernovaSync, name)
    if isinstance(method, property):
        assert isinstance(twin, property)
    else:
        assert inspect.signature(twin).parameters == inspect.signature(method).parameters
        assert not inspect.iscoroutinefunction(twin)


def test_twins_are_created_alike() -> None:
    """Both clients take the same arguments."""
    assert inspect.signature(SupernovaSync).parameters == inspect.signature(Supernova).parameters


FUNCTIONS = [
    name for name, thing in vars(default_client).items() if name in supernova_ai.__all__ and isfunction(thing)
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_a_twin(name: str) -> None:
    """Each function of the default client has a twin that ends in _sync, with the same parameters."""
    function, twin = getattr(default_client, name), getattr(supernova_ai, f"{name}_sync")
    assert inspect.signature(twin).parameters == inspect.signature(function).parameters
    assert pickle.loads(pickle.dumps(twin)) is twin
    assert (twin.__name__, bool(twin.__doc__)) == (f"{name}_sync", True)


def price(symbol: str) -> float:
    """Return the price of a share."""
    return 1.0


def test_every_method_works(nova: SupernovaSync, stub: StubProvider) -> None:
    """Each method returns what the method of the async client gives when it is awaited."""
    with nova:
        nova.warm_up()
        reply = nova.chat("What now?", user_id=1, session_id="s")
        assert (reply.content, reply.provider) == ("Diversify, always.", "openai")
        assert nova.analyze("Profit rose.").quality_score is not None
        assert nova.ask("chat", {"message": "What now?"}).content == "Diversify, always."
        assert nova.run_tools("What now?", tools=[price]).tool_runs == ()
        nova.feedback(reply.request_id, "up")
        assert nova.quote("What now?").tier == "standard"
        assert [probe.provider for probe in nova.probe()] == ["openai"]
        assert nova.forget("s", user_id=1) == 0
        assert nova.template("chat").name == "chat"
        nova.reload()
        assert nova.config.providers["openai"].api_base == f"{stub.url}/v1"
        assert nova.config_version == nova.nova.config_version
        assert advise(SAMPLE, symbol="AAPL", client=nova).details.record_id
    assert nova.store().closed is False  # it opens again when it is used again


def test_errors_are_those_of_the_async_client(nova: SupernovaSync) -> None:
    """A misspelled option and an empty message raise what the async client raises."""
    with pytest.raises(UnknownOption, match="max_tokens"):
        nova.chat("What now?", max_token=9)  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest):
        nova.chat("")


def test_the_functions_use_the_default_client(nova: SupernovaSync, monkeypatch: pytest.MonkeyPatch) -> None:
    """``chat_sync``, ``analyze_sync`` and ``stream_sync`` use the same client as ``chat``."""
    monkeypatch.setattr(default_client, "_default", nova.nova)
    assert supernova_ai.chat_sync("What now?").content == "Diversify, always."
    assert supernova_ai.analyze_sync("Profit rose.", analysis_type="risk").content == "Diversify, always."
    assert list(supernova_ai.stream_sync("What now?")) == ["Diversify,", " always."]


def test_calls_work_in_a_running_loop(nova: SupernovaSync) -> None:
    """Within a running event loop, calls and streams block that loop and return; in several loops in turn."""

    async def inside() -> None:
        assert nova.chat("What now?").content == "Diversify, always."
        with nova.stream("What now?") as stream:
            assert list(stream) == ["Diversify,", " always."]

    asyncio.run(inside())
    asyncio.run(inside())


def test_calls_work_from_many_threads(nova: SupernovaSync, path: Path) -> None:
    """Sixteen threads share one client, and every attempt is settled."""
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda _: nova.chat("What now?"), range(32)))
    assert {reply.content for reply in replies} == {"Diversify, always."}
    assert {row.state for row in clients.attempts(path)} == {"settled"}


def test_calls_leave_nothing_behind(nova: SupernovaSync) -> None:
    """Calls, streams and dropped streams leave no thread, file or socket, nor do those in a running loop."""

    def call() -> None:
        nova.chat("What now?")
        list(nova.stream("What now?"))
        next(nova.stream("What now?"))

    async def inside() -> None:
        call()

    call()
    with leaving_nothing():
        call()
        asyncio.run(inside())


def test_on_token_is_called_on_the_caller_s_thread_and_may_call_again(nova: SupernovaSync) -> None:
    """``on_token`` runs on the caller's thread; a call within it returns, and an async one is awaited."""
    heard: list[tuple[str, str, threading.Thread]] = []

    def on_token(token: str) -> None:
        heard.append((token, nova.chat("And then?").content, threading.current_thread()))

    async def later(token: str) -> None:
        await asyncio.sleep(0)
        heard.append((token, "", threading.current_thread()))

    here = threading.current_thread()
    nova.chat("What now?", on_token=on_token)
    assert heard == [("Diversify,", "Diversify, always.", here), (" always.", "Diversify, always.", here)]
    nova.chat("What now?", on_token=later)
    assert [token for token, *_ in heard[2:]] == ["Diversify,", " always."]


def test_context_variables_carry_over(nova: SupernovaSync) -> None:
    """A call sees the context variables of its caller, in a running loop too."""
    desk: ContextVar[str] = ContextVar("desk", default="none")
    seen: list[str] = []

    def call() -> None:
        nova.chat("What now?", on_token=lambda _: seen.append(desk.get()))

    async def inside() -> None:
        call()

    desk.set("fx")
    call()
    asyncio.run(inside())
    assert set(seen) == {"fx"}


def test_the_engine_s_thread_is_never_blocked(nova: SupernovaSync) -> None:
    """A call on the thread of the engine, as from a callback of LiteLLM, is refused instead of hanging."""
    nova.warm_up()

    async def callback() -> None:
        nova.chat("What now?")

    with pytest.raises(UnsupportedLoop, match="callback of LiteLLM"):
        asyncio.run(nova.nova._runtime.engine.run(callback()))


def test_patched_threads_are_refused(
    nova: SupernovaSync, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that gevent has patched a call is refused, because it would hang."""
    gevent = SimpleNamespace(is_module_patched=lambda module: module == "threading")
    monkeypatch.setitem(sys.modules, "gevent.monkey", gevent)
    with pytest.raises(UnsupportedLoop, match="gevent has patched"):
        nova.chat("What now?")
    with pytest.raises(UnsupportedLoop, match="gevent has patched"):
        next(nova.stream("What now?"))
    monkeypatch.undo()
    assert stub.requests == []


def test_clients_and_streams_cannot_be_copied(nova: SupernovaSync) -> None:
    """Copying a client or a stream is refused with what to do instead."""
    with pytest.raises(TypeError, match="pass its configuration to the other process"):
        copy.copy(nova)
    with pytest.raises(TypeError, match="copy its reply instead"):
        pickle.dumps(nova.stream("What now?"))
