"""The configured limits of a deployment: kept exactly, skipped or waited for, and shared through Redis."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from litellm.caching import DualCache

from supernova_ai import NoProvider, ProviderUnavailable, RateLimited, Supernova
from supernova_ai.config.providers import Limits
from supernova_ai.routing.rate_limits import RateLimits
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Failure, Hang, StubProvider, closed_port
from supernova_ai.types import Usage
from tests import clients
from tests.waiting import SENT_S, until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]

_SERVER = urlsplit(os.environ.get("SUPERNOVA_TEST_REDIS", "redis://127.0.0.1:6379"))
REDIS = _SERVER._replace(path=f"/{1 + secrets.randbelow(15)}").geturl()
"""A random database of the server, which other test runs may use too."""


class Minute:
    """A fake clock: Unix seconds at a random minute, which no other test uses."""

    def __init__(self) -> None:
        self.now = 60.0 * secrets.randbelow(2**32)
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


@pytest.fixture
def minute() -> Minute:
    return Minute()


async def ready(nova: Supernova, minute: Minute) -> Supernova:
    """Open the client, and put its rate limits on the fake clock."""
    await nova.warm_up()
    nova._runtime.engine._limits._clock = minute
    return nova


async def ask(nova: Supernova, times: int) -> Counter[str]:
    """Send this many concurrent requests; count the providers that answered."""
    replies = await asyncio.gather(*(nova.chat("What now?") for _ in range(times)))
    return Counter(reply.provider for reply in replies)


@pytest.mark.parametrize("strategy", ["priority", "round_robin"])
async def test_requests_per_minute_are_never_exceeded(
    strategy: str, open_nova: Open, stub_provider: Stub, minute: Minute, attempts: Rows, balance: Balance
) -> None:
    """Of fifty concurrent requests a provider gets exactly its ``rpm``, and the next provider the others."""
    tight, free = stub_provider("Diversify."), stub_provider("Diversify.")
    limited = {"url": tight.url, "limits": {"rpm": 7}}
    nova = open_nova({"openai": limited, "anthropic": free.url}, routing={"strategy": strategy})
    assert await ask(await ready(nova, minute), 50) == {"openai": 7, "anthropic": 43}
    assert (len(tight.requests), len(free.requests)) == (7, 43)
    assert [row.state for row in attempts()] == ["settled"] * 50
    assert balance()[1:] == (0, 0)
    minute.now += 60
    assert (await nova.chat("What now?")).provider == "openai"


async def test_parallel_requests_are_never_exceeded(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Of fifty concurrent requests a provider runs no more than its ``parallel`` limit."""
    gate = Event()
    tight, free = stub_provider(Answer("Diversify.", gate=gate)), stub_provider("Diversify.")
    nova = open_nova({"openai": {"url": tight.url, "limits": {"parallel": 3}}, "anthropic": free.url})
    asking = asyncio.create_task(ask(nova, 50))
    await asyncio.to_thread(free.wait_for_requests, 47)
    await asyncio.to_thread(tight.wait_for_requests, 3)
    gate.set()
    assert await asking == {"openai": 3, "anthropic": 47}
    assert (len(tight.requests), len(free.requests), len(attempts())) == (3, 47, 50)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_waiting_requests_follow_finished_ones(
    streaming: bool, open_nova: Open, attempts: Rows
) -> None:
    """With ``parallel: 2`` twenty requests are all answered, and no more than two run at a time."""
    under_way, most = 0, 0
    together = asyncio.Barrier(2)  # each is answered beside another
    said = '"content":"Diversify."}'
    choice = f'"index":0,"finish_reason":"stop","message":{{"role":"assistant",{said},"delta":{{{said}'
    body = f'{{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{{{choice}}}]}}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        await reader.readuntil(b"\r\n\r\n")
        under_way += 1
        most = max(most, under_way)
        await together.wait()
        under_way -= 1
        kind = "text/event-stream" if streaming else "application/json"
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode())
        writer.write((f"data: {body}\n\ndata: [DONE]\n\n" if streaming else body).encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        nova = open_nova({"openai": {"url": url, "limits": {"parallel": 2}}}, routing={"wait": 60.0})
        replies = await asyncio.gather(*(nova.chat("What now?", streaming=streaming) for _ in range(20)))
        nova.close()
    assert {reply.content for reply in replies} == {"Diversify."}
    assert most == 2
    assert {row.state for row in attempts()} == {"settled"}


async def test_only_sent_requests_are_counted(minute: Minute) -> None:
    """Refused requests leave no trace in the count, and a cancelled one is taken from its own minute's."""
    limits = RateLimits(DualCache(), clock=minute)
    asked: Any = SimpleNamespace(id="one", limits=Limits(rpm=2))

    async def admitted(times: int) -> list[str]:
        keys = [key for _ in range(times) if (key := await limits.acquire(asked))]
        await asyncio.sleep(0)  # what was refused is taken back
        return keys

    first, _ = await admitted(7)
    limits.cancel(asked, first)
    await asyncio.sleep(0)
    assert await limits.has_room(asked)
    (last,) = await admitted(3)
    minute.now += 60
    limits.cancel(asked, last)
    await asyncio.sleep(0)
    assert len(await admitted(3)) == 2


async def test_tokens_per_minute(open_nova: Open, stub_provider: Stub, minute: Minute) -> None:
    """When the tokens of a minute are used up, the next provider is asked until the next minute."""
    stub = stub_provider(Answer("Diversify.", usage=Usage(prompt=50, completion=10)))
    nova = open_nova({"openai": {"url": stub.url, "limits": {"tpm": 100}}, "anthropic": stub.url})
    await ready(nova, minute)
    asked = [(await nova.chat("What now?")).provider for _ in range(4)]
    assert asked == ["openai", "openai", "anthropic", "anthropic"]
    minute.now += 60
    assert (await nova.chat("What now?")).provider == "openai"


async def test_all_limits_reached_is_an_error_after_a_wait(
    open_nova: Open, stub_provider: Stub, minute: Minute, attempts: Rows, balance: Balance
) -> None:
    """If all limits stay reached, the error names them; no request is sent and no attempt is recorded."""
    stub = stub_provider("Diversify.")
    limited = {"url": stub.url, "limits": {"rpm": 1}}
    nova = open_nova({"openai": limited, "anthropic": limited}, routing={"wait": 0.1, "retries": 5})
    await ready(nova, minute)
    await ask(nova, 2)
    settled = balance()
    for streaming in (False, True):
        with pytest.raises(RateLimited, match="limits of anthropic, openai are reached") as raised:
            await nova.chat("What now?", streaming=streaming)
        assert raised.value.status is None
    assert len(stub.requests) == len(attempts()) == 2
    assert balance() == settled


async def test_waiting_request_is_sent_in_the_next_minute(
    open_nova: Open, stub_provider: Stub, minute: Minute
) -> None:
    """A waiting request is sent as soon as the minute is over."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": {"url": stub.url, "limits": {"rpm": 1}}}, routing={"wait": 60.0})
    await ready(nova, minute)
    await nova.chat("What now?")
    looks = minute.looks
    waiting = asyncio.create_task(nova.chat("What now?"))
    await until(lambda: minute.looks >= looks + 3)  # it found no room, and looks again and again
    assert not waiting.done()
    minute.now += 60
    assert (await waiting).content == "Diversify."


async def test_a_request_that_comes_too_late_for_a_limit_is_withdrawn(
    open_nova: Open, stub_provider: Stub, attempts: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another request takes the last place while the hold is written, the attempt ends as withdrawn."""
    stub = stub_provider("Diversify.")
    full = [{"name": "full", "provider": "openai", "limit": "0.0000001", "per": "day"}]
    nova = open_nova({"openai": stub.url, "anthropic": stub.url}, budgets=full)
    await nova.warm_up()
    limits = nova._runtime.engine._limits
    acquire, late = limits.acquire, ["anthropic"]

    async def after_another(deployment: Any) -> str | None:
        if deployment.provider in late:
            late.remove(deployment.provider)
            return None
        return await acquire(deployment)

    monkeypatch.setattr(limits, "acquire", after_another)
    assert (await nova.chat("What now?")).provider == "anthropic"
    rows = {(row.provider, row.state, row.error, row.cost) for row in attempts() if row.error}
    assert rows == {("anthropic", "released", "Withdrawn", 0)}
    assert len(stub.requests) == 1


async def test_cheaper_tier_has_limits_of_its_own(
    open_nova: Open, stub_provider: Stub, minute: Minute, attempts: Rows
) -> None:
    """If the limit of the requested tier is reached, a cheaper tier answers without a wait."""
    stub = stub_provider("Diversify.")
    models = {"standard": "gpt-4o", "economy": "gpt-4o-mini"}
    limited = {"url": stub.url, "models": models, "limits": {"rpm": 1}}
    nova = await ready(open_nova({"openai": limited}, routing={"wait": 60.0}), minute)
    assert [(await nova.chat("What now?")).tier for _ in range(2)] == ["standard", "economy"]
    assert len(attempts()) == 2


@pytest.mark.parametrize(
    "step", [Failure(500), Failure(401), Hang()], ids=["server error", "refused key", "timeout"]
)
async def test_failed_attempts_free_the_parallel_limit(
    step: Any, open_nova: Open, stub_provider: Stub
) -> None:
    """However an attempt fails, it no longer counts towards the ``parallel`` limit."""
    stub = stub_provider("Diversify.", script=[step] * 2)
    openai = {"url": stub.url, "limits": {"parallel": 1}, "timeout": {"total": SENT_S, "first_token": SENT_S}}
    nova = open_nova({"openai": openai}, routing={"wait": 0.0, "breaker": {"failures": 9, "cooldown": 1}})
    for streaming in (False, True):
        with pytest.raises(Exception, match="openai failed"):
            await nova.chat("What now?", streaming=streaming)
        nova._runtime.engine.monitor.breaker.half_open(clients.deployment(nova, "openai"))
    assert (await nova.chat("What now?")).content == "Diversify."
    assert nova._runtime.engine._limits._running == {clients.deployment(nova, "openai"): 0}


async def test_cancelled_requests_free_the_parallel_limit(open_nova: Open, stub_provider: Stub) -> None:
    """A cancelled request no longer counts towards the ``parallel`` limit, and the next one is sent."""
    stub = stub_provider("Diversify.", script=[Hang()])
    nova = open_nova({"openai": {"url": stub.url, "limits": {"parallel": 1}}}, routing={"wait": 60.0})
    leaving = asyncio.create_task(nova.chat("What now?"))
    await asyncio.to_thread(stub.wait_for_requests, 1)
    waiting = asyncio.create_task(nova.chat("What now?"))
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    assert (await waiting).content == "Diversify."


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    """Connect to the Redis at SUPERNOVA_TEST_REDIS, else on this machine; the tests' entries expire."""
    connection = redis.Redis.from_url(REDIS, socket_timeout=5)
    try:
        connection.ping()
    except redis.RedisError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Redis: {error}")
    yield connection
    connection.close()


def cooldown_key(nova: Supernova, provider: str) -> str:
    """Return the key under which LiteLLM keeps a deployment's cooldown in Redis."""
    return f"deployment:{clients.deployment(nova, provider)}:cooldown"


def pair(open_nova: Open, bad: StubProvider, good: StubProvider, **settings: Any) -> list[Supernova]:
    """Return two clients that share a Redis, as if on two machines."""
    own = {"models": {"standard": "m"}, "keys": ["primary"], "prices": {"m": {"input": "1", "output": "1"}}}
    first = open_nova(
        {
            "mistral": own | {"url": f"{bad.url}/v1", **settings},
            "xai": own | {"url": f"{good.url}/v1"},
        },
        redis=REDIS,
        routing={"breaker": {"failures": 1, "cooldown": 600}},
        health={"probes": "off"},
    )
    return [first, Supernova(first.config, master=clients.MASTER)]


@pytest.mark.xdist_group("redis")
async def test_machines_share_requests_per_minute(
    open_nova: Open, stub_provider: Stub, minute: Minute, server: redis.Redis
) -> None:
    """Two clients with one Redis send a provider no more requests in a minute than its ``rpm``."""
    tight, free = stub_provider("Diversify."), stub_provider("Diversify.")
    both = pair(open_nova, tight, free, limits={"rpm": 7})
    async with both[1]:
        for nova in both:
            await ready(nova, minute)
        counts = await asyncio.gather(*(ask(nova, 10) for nova in both))
    assert sum(counts, Counter()) == {"mistral": 7, "xai": 13}
    assert len(tight.requests) == 7


@pytest.mark.xdist_group("redis")
async def test_machines_share_open_circuits(
    open_nova: Open, stub_provider: Stub, server: redis.Redis
) -> None:
    """A circuit that one client opens stops the other's requests too, until it closes."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    both = pair(open_nova, bad, good)
    first, second = both
    async with second:
        await second.warm_up()  # first: a client reads the store when it opens
        assert (await first.chat("What now?")).provider == "xai"
        told = cooldown_key(first, "mistral")
        await until(lambda: server.exists(told))
        kept = server.get(told)
        assert clients.key_of("mistral") not in str(kept)
        assert (await second.chat("What now?")).provider == "xai"
        assert len(bad.requests) == 1
        bad.reply = "Diversify."
        first._runtime.engine.monitor.breaker.half_open(clients.deployment(first, "mistral"))
        assert (await first.chat("What now?")).provider == "mistral"
        await until(lambda: not server.exists(told))


@pytest.mark.xdist_group("redis")
async def test_circuits_opened_elsewhere_are_reported(
    open_nova: Open, stub_provider: Stub, server: redis.Redis
) -> None:
    """If other machines opened all circuits, the error names the cooldown."""
    bad = stub_provider(Failure(500))
    first, second = pair(open_nova, bad, bad)
    async with second:
        await second.warm_up()
        with pytest.raises(ProviderUnavailable):
            await first.chat("What now?")
        both = [cooldown_key(first, name) for name in ("mistral", "xai")]
        await until(lambda: server.exists(*both) == 2)
        with pytest.raises(NoProvider, match=r"breaker\.cooldown"):
            await second.chat("What now?")
    assert len(bad.requests) == 2


async def test_unreachable_redis_stops_no_request(open_nova: Open, stub_provider: Stub) -> None:
    """If Redis is unreachable, each client uses its own counts and its own circuits."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    with closed_port() as port:
        nova = open_nova(
            {"openai": bad.url, "anthropic": {"url": good.url, "limits": {"rpm": 3}}},
            redis=f"redis://127.0.0.1:{port}/0",
            routing={"wait": 0.0, "breaker": {"failures": 1, "cooldown": 600}},
        )
        await ready(nova, Minute())
        for _ in range(3):
            assert (await nova.chat("What now?")).provider == "anthropic"
        with pytest.raises(RateLimited):
            await nova.chat("What now?")
        bad.reply = "Back."
        nova._runtime.engine.monitor.breaker.half_open(clients.deployment(nova, "openai"))
        assert (await nova.chat("What now?")).provider == "openai"
        nova.close()
    assert (len(bad.requests), len(good.requests)) == (2, 3)
