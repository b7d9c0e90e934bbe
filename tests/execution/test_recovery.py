"""The circuit breaker as callers see it: which deployments are in cooldown, and how they return."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from supernova_ai import NoProvider, ProviderUnavailable, StreamInterrupted, Supernova, health
from supernova_ai.routing.circuit_breaker import Circuit
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Cut, Failure, Hang, Received, Step, StubProvider, closed_port
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

BREAKER = {"breaker": {"failures": 1, "cooldown": 30}}

each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


class Clock:
    """A fake clock, in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def on_clock(nova: Supernova) -> Clock:
    """Open the client, and put its circuit breaker on a fake clock."""
    await nova.warm_up()
    clock = nova._runtime.engine.monitor.breaker._clock = Clock()
    return clock


def circuit(nova: Supernova, provider: str = "openai", slot: str | None = "primary") -> Circuit:
    found: Circuit = nova._runtime.engine.monitor.breaker.circuit(clients.deployment(nova, provider, slot))
    return found


@each_way
async def test_refused_key_is_tried_once(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A refused key is tried once; later requests use the backup key directly."""
    dead = clients.key_of("openai", "primary")

    def answer(request: Received) -> str | Step:
        return Failure(401) if request.key == dead else "Diversify."

    stub = stub_provider(answer)
    nova = open_nova({"openai": {"url": stub.url, "keys": ["primary", "backup"]}})
    for _ in range(4):
        assert (await nova.chat("What now?", streaming=streaming)).content == "Diversify."
    assert [row.slot for row in attempts()] == ["primary", *["backup"] * 4]
    assert len(stub.requests) == 5


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
async def test_retry_after_is_honoured(
    provider: str, date: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """``Retry-After``, in seconds or as a date, sets the provider's cooldown."""
    value = formatdate(time.time() + 90, usegmt=True) if date else "90"
    limited, good = stub_provider(Failure(429, headers={"retry-after": value})), stub_provider("Diversify.")
    follower = "anthropic" if provider == "openai" else "openai"
    nova = open_nova({provider: limited.url, follower: good.url})
    clock = await on_clock(nova)
    for _ in range(3):
        assert (await nova.chat("What now?")).provider == follower
    assert len(limited.requests) == 1
    left = circuit(nova, provider, None if provider == "ollama" else "primary").left_s
    assert 60 < left <= 90 if date else left == 90
    clock.now += 91
    limited.reply = "Diversify."
    assert (await nova.chat("What now?")).provider == provider


async def test_short_retry_after_is_waited_for(open_nova: Open, stub_provider: Stub) -> None:
    """If no other provider is left and ``Retry-After`` is short, the request waits and is sent again."""
    stub = stub_provider("Diversify.", script=[Failure(429, headers={"retry-after": "0.05"})])
    nova = open_nova({"openai": stub.url}, routing={"retries": 1})
    assert (await nova.chat("What now?")).content == "Diversify."
    assert len(stub.requests) == 2


@each_way
async def test_half_open_circuit_admits_one_of_many(
    streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """After the cooldown one of twenty requests is the trial; its result closes or reopens the circuit."""
    gate = Event()
    back, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    nova = open_nova({"openai": back.url, "anthropic": good.url}, routing=BREAKER)
    clock = await on_clock(nova)
    await nova.chat("What now?", streaming=streaming)
    clock.now += 29
    await nova.chat("What now?", streaming=streaming)
    assert len(back.requests) == 1
    back.reply = Answer("Back.", gate=gate) if not streaming else Hang(0)
    clock.now += 1
    asking = [asyncio.create_task(nova.chat("What now?", streaming=streaming)) for _ in range(20)]
    await asyncio.to_thread(good.wait_for_requests, 21)
    await asyncio.to_thread(back.wait_for_requests, 2)
    assert circuit(nova).state == "half-open"
    if streaming:  # a stream's first token would close the circuit
        back.close()
    gate.set()
    answered = Counter([reply.provider for reply in await asyncio.gather(*asking)])
    assert len(back.requests) == 2
    assert answered == ({"anthropic": 20} if streaming else {"openai": 1, "anthropic": 19})
    assert circuit(nova).state == ("open" if streaming else "closed")


async def test_failing_provider_gets_one_request_per_cooldown(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A provider that stays down gets one request per cooldown, and no caller gets its error."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    nova = open_nova({"openai": bad.url, "anthropic": good.url}, routing=BREAKER)
    clock = await on_clock(nova)
    for _ in range(3):
        replies = await asyncio.gather(*(nova.chat("What now?") for _ in range(5)))
        assert {reply.provider for reply in replies} == {"anthropic"}
        clock.now += 31
    failed = [row for row in attempts() if row.state == "released" and row.error == "ProviderUnavailable"]
    assert len(failed) == len(bad.requests)
    assert 3 <= len(bad.requests) <= 7  # of the first five each may have begun before the first failure


async def test_requests_wait_for_the_only_providers_trial(open_nova: Open, stub_provider: Stub) -> None:
    """With one provider, requests wait for the result of the trial, and are answered if it succeeds."""
    gate = Event()
    stub = stub_provider("Diversify.", script=[Failure(500), Answer("Back.", gate=gate)])
    nova = open_nova({"openai": stub.url}, routing={**BREAKER, "wait": 60.0})
    clock = await on_clock(nova)
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    clock.now += 30
    asking = [asyncio.create_task(nova.chat("What now?")) for _ in range(10)]
    await asyncio.to_thread(stub.wait_for_requests, 2)
    gate.set()
    contents = Counter([reply.content for reply in await asyncio.gather(*asking)])
    assert contents == {"Back.": 1, "Diversify.": 9}


async def test_cancelled_trial_admits_the_next(open_nova: Open, stub_provider: Stub) -> None:
    """If the trial is cancelled, the half-open circuit admits the next request."""
    stub = stub_provider("Diversify.", script=[Failure(500), Hang()])
    nova = open_nova({"openai": stub.url}, routing=BREAKER)
    clock = await on_clock(nova)
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    clock.now += 30
    leaving = asyncio.create_task(nova.chat("What now?"))
    await asyncio.to_thread(stub.wait_for_requests, 2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_streams_that_always_break_open_the_circuit(open_nova: Open, stub_provider: Stub) -> None:
    """Streams that always break after their first token open the circuit."""
    broken, good = stub_provider(Cut(1)), stub_provider("Diversify.")
    routing = {"breaker": {"failures": 3, "cooldown": 600}}
    nova = open_nova({"openai": broken.url, "anthropic": good.url}, routing=routing)
    for _ in range(3):
        with pytest.raises(StreamInterrupted):
            await nova.chat("What now?", streaming=True, on_interrupt="raise")
    assert (await nova.chat("What now?", streaming=True)).provider == "anthropic"
    assert len(broken.requests) == 3


async def test_refused_connections_open_the_circuit(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Refused connections open the circuit after the configured number of failures."""
    good = stub_provider("Diversify.")
    with closed_port() as port:
        nova = open_nova({"openai": f"http://127.0.0.1:{port}", "anthropic": good.url}, routing=BREAKER)
        for _ in range(3):
            await nova.chat("What now?")
    assert [row.provider for row in attempts()] == ["openai", *["anthropic"] * 3]


@each_way
async def test_hanging_provider_does_not_block_another(
    streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """While sixty calls hang at one provider, sixty calls to another are all answered."""
    silent, good = stub_provider(Hang()), stub_provider("Diversify.")
    nova = open_nova({"openai": silent.url, "anthropic": good.url})
    stuck = [asyncio.create_task(nova.chat("What?", model="gpt-4o-mini")) for _ in range(60)]
    await asyncio.to_thread(silent.wait_for_requests, 60)
    asking = (nova.chat("What?", model="claude-haiku-4-5", streaming=streaming) for _ in range(60))
    replies = await asyncio.gather(*asking)
    assert {reply.content for reply in replies} == {"Diversify."}
    assert not any(task.done() for task in stuck)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_open_circuit_is_stored(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """An open circuit is stored with its error; a new client restores it and asks another provider."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    routing = {"breaker": {"failures": 1, "cooldown": 600}}
    nova = open_nova({"openai": bad.url, "anthropic": good.url}, routing=routing)
    await nova.chat("What now?")
    await asyncio.to_thread(nova.close)
    with Store(path) as store:
        states = {state.identity.provider: state for state in store.read(health.states)}
    kept = states["openai"]
    assert (kept.state, kept.failures, kept.error) == ("open", 1, "ProviderUnavailable")
    assert kept.until_ms == kept.since_ms + 600_000
    async with Supernova(nova.config, master=clients.MASTER) as another:
        assert (await another.chat("What now?")).provider == "anthropic"
        assert 500 < circuit(another).left_s <= 600
    assert len(bad.requests) == 1


async def test_closed_circuit_is_stored(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A circuit that closed again is stored as closed."""
    stub = stub_provider("Diversify.", script=[Failure(500)])
    nova = open_nova({"openai": stub.url}, routing=BREAKER)
    clock = await on_clock(nova)
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    with pytest.raises(NoProvider):
        await nova.chat("What now?")
    clock.now += 30
    await nova.chat("What now?")
    await asyncio.to_thread(nova.close)
    with Store(path) as store:
        assert [state.state for state in store.read(health.states)] == ["closed"]


@pytest.mark.parametrize("changed", ["model", "address"])
async def test_changed_deployment_starts_fresh(
    changed: str, open_nova: Open, stub_provider: Stub, path: Path
) -> None:
    """Another model or address starts with a closed circuit, unused limits and no samples."""
    bad, good = stub_provider(script=["Quick."] * 30, reply=Failure(500)), stub_provider("Diversify.")
    model: dict[str, Any] = {"models": {"standard": "gpt-4o-mini"}, "limits": {"rpm": 31}}
    routing = {"wait": 0.0, "breaker": {"failures": 1, "cooldown": 600}}
    nova = open_nova({"openai": model | {"url": bad.url}}, routing=routing)
    for _ in range(30):
        await nova.chat("What now?")
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    assert circuit(nova).state == "open"
    bad.reply = "Diversify."
    now = {"models": {"standard": "gpt-4o"}, "url": bad.url} if changed == "model" else {"url": good.url}
    after = clients.configure(path, {"openai": model | now}, routing=routing)
    await nova.reload(after)
    assert circuit(nova).state == "closed"
    assert (await nova.chat("What now?")).content == "Diversify."
    another = Supernova(after, master=clients.MASTER)
    await another.warm_up()
    for client, asked in ((nova, 1), (another, 1)):  # the second restores its samples from the ledger
        samples = client._runtime.engine.monitor.stats.of(clients.deployment(client, "openai"))
        assert len(samples.answers) == asked
    another.close()
