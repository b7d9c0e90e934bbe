"""Chaos: providers that fail by turns, a configuration that changes every second, and right answers."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import BaseModel

from supernova_ai import Config, Reply, Supernova, SupernovaError, ToolCall
from supernova_ai.store import Store
from supernova_ai.testing import TOXINS, Answer, Received, Step, StubProvider
from tests import clients
from tests.processes import leaving_nothing, resident_bytes
from tests.recount import attempts, check_store
from tests.servers import rest_of, said_before, telling
from tests.waiting import until

pytestmark = pytest.mark.proof

# Read here: the test itself does not see the environment's SUPERNOVA_*.
SECONDS = float(os.environ.get("SUPERNOVA_CHAOS_SECONDS") or (120 if os.environ.get("CI") else 15))
CALLERS = 32
FAULT_RATE = 0.7  # of the answers of an unhealthy provider
PROVIDERS = ("openai", "anthropic", "ollama")
TIMEOUT = {"first_token": 3, "between_tokens": 3, "total": 5, "adaptive": False}
# Providers change within a second: this takes more retries, and waits for trials that hang.
PATIENCE = {"breaker": {"failures": 3, "cooldown": 0.3}, "retries": 8, "wait": 6}
STRATEGIES = ("priority", "round_robin", "latency", "cost")
WORDS = 12
REQUESTS_A_SECOND = 60  # at least this many before the healthy provider changes

# Without errors of the caller, and without floods, which have proofs of their own.
_EXCLUDED = {"http_400", "content_refused", "credit_spent", "flood", "endless_flood"}
FAULTS = [toxin.step for name, toxin in TOXINS.items() if name not in _EXCLUDED]
LOSES_A_WORD = TOXINS["garbled"].step  # silently, in a stream of Ollama's: see docs/testing.md


def story(number: int) -> str:
    """Return a text in which every word is unique to this number."""
    return " ".join(f"w{number}n{word}" for word in range(WORDS))


class Told(BaseModel):
    """A story as an object."""

    story: str


async def look() -> str:
    """Look whether the story is known."""
    return "the story is known"


@dataclass
class World:
    """Three providers, of which at least one is healthy at any moment."""

    chance: Random
    healthy: set[str] = field(default_factory=lambda: {PROVIDERS[0]})
    received: int = 0

    def answer(self, provider: str, request: Received) -> Step:
        """Answer with the story or the rest of it; an unhealthy provider may answer with a toxin."""
        self.received += 1
        sent = str(request.json["messages"])
        asked = re.search(r"story (\d+)", sent)
        assert asked
        text = story(int(asked[1]))
        if "as an object" in sent:
            text = Told(story=text).model_dump_json()
        if provider not in self.healthy and self.chance.random() < FAULT_RATE:
            fault = self.chance.choice(FAULTS)
            if not (provider == "ollama" and fault is LOSES_A_WORD):
                return telling(fault, text if request.json.get("tools") else rest_of(text, request))
        if request.json.get("tools"):
            looked = "the story is known" in sent
            return Answer(text) if looked else Answer(tool_calls=[ToolCall("call_1", "look", "{}")])
        if not said_before(request):
            return Answer(text)
        rest = rest_of(text, request)
        last = said_before(request).split()[-2:]
        return Answer(self.chance.choice([rest, " ".join([*last, rest]), text]))

    async def rotate(self) -> None:
        """Make the next provider healthy, and a little later the previous one unhealthy, for ever."""
        for provider in cycle([*PROVIDERS[1:], PROVIDERS[0]]):
            await self._wait(self.chance.uniform(0.5, 1.5))
            self.healthy.add(provider)
            await self._wait(self.chance.uniform(0.2, 0.5))
            self.healthy = {provider}

    async def _wait(self, seconds: float) -> None:
        """Wait this long, and on a slow machine until there were enough requests in that time."""
        enough = self.received + REQUESTS_A_SECOND * seconds
        await asyncio.sleep(seconds)
        await until(lambda: self.received >= enough)


@dataclass
class Tally:
    """The results of the calls."""

    calls: int = 0
    failures: list[str] = field(default_factory=list)
    resumed: int = 0


async def call(nova: Supernova, chance: Random, number: int, tally: Tally) -> None:
    """Ask for one story, as a text, as an object or with a tool, and assert that the answer is that story."""
    tally.calls += 1
    streaming, how = chance.random() < 0.5, chance.choice(["text", "text", "object", "tool"])
    message, user = f"Tell story {number}", number % 50
    reply: Reply[Any]
    try:
        if how == "object":
            message += " as an object"
            reply = await nova.chat(
                message, response_model=Told, user_id=user, streaming=streaming, timeout=30
            )
            assert reply.parsed == Told(story=story(number))
        elif how == "tool":
            reply = await nova.run_tools(message, tools=[look], user_id=user, timeout=30)
            assert [run.result for run in reply.tool_runs] in ([], ["the story is known"])
        else:
            reply = await nova.chat(message, user_id=user, streaming=streaming, timeout=30)
    except SupernovaError as error:
        tally.failures.append(f"{type(error).__name__}: {error}")
        return
    assert how == "object" or reply.content == story(number)
    tally.resumed += sum(a.outcome == "settled" and a.error is not None for a in reply.attempts)


async def reload(nova: Supernova, configs: list[Config]) -> None:
    """Change the configuration every second."""
    for config in cycle(configs):
        await asyncio.sleep(1)
        await nova.reload(config)


async def run(nova: Supernova, world: World, configs: list[Config], seed: int) -> tuple[Tally, int]:
    """Let all callers call for SECONDS; return their results, and by how much memory grew after the start."""
    tally = Tally()
    numbers = iter(range(10**9))
    await asyncio.gather(*(call(nova, Random(seed), next(numbers), Tally()) for _ in range(CALLERS)))
    around = [asyncio.create_task(world.rotate()), asyncio.create_task(reload(nova, configs))]
    begun = time.monotonic()

    async def caller(name: int) -> None:
        chance = Random(f"{seed} {name}")
        while time.monotonic() < begun + SECONDS:
            await call(nova, chance, next(numbers), tally)

    callers = asyncio.gather(*map(caller, range(CALLERS)))
    await asyncio.wait([callers], timeout=SECONDS / 3)
    warm = resident_bytes()
    await callers
    for task in around:
        task.cancel()
    ended = await asyncio.gather(*around, return_exceptions=True)
    assert [type(end) for end in ended] == [asyncio.CancelledError] * 2, ended
    return tally, resident_bytes() - warm


def test_chaos(path: Path, seed: int, warm: set[str]) -> None:
    """At least 999 in 1000 calls get the right answer, the ledger is consistent, and nothing leaks."""
    world = World(Random(seed))
    stubs: dict[str, StubProvider] = {}

    def answer(provider: str, request: Received) -> Step:
        stubs[provider].requests.clear()  # else it would keep all of them
        return world.answer(provider, request)

    with leaving_nothing():
        for provider in PROVIDERS:
            stubs[provider] = StubProvider(lambda request, name=provider: answer(name, request))  # type: ignore[misc]
        configs = [
            clients.configure(
                path,
                {name: {"url": stub.url, "timeout": TIMEOUT} for name, stub in stubs.items()},
                routing={"strategy": strategy, **PATIENCE},
                budgets=[{"name": "daily", "limit": limit, "per": "day"}],
            )
            for limit, strategy in enumerate(STRATEGIES, 10_000)
        ]
        nova = Supernova(configs[0], master=clients.MASTER)
        tally, growth = asyncio.run(run(nova, world, configs, seed))
        nova.close()
        for stub in stubs.values():
            stub.close()

    assert len(tally.failures) <= tally.calls / 1000, tally.failures
    assert tally.resumed > 0
    assert growth < 50 * 2**20
    with Store(path) as store:
        check_store(store)
        rows = attempts(store).values()
        assert {row.state for row in rows} == {"settled", "released", "lost"}
        assert min(row.cost for row in rows) >= 0
        assert world.received <= len(rows)  # nothing was sent without a hold
