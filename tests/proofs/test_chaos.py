"""Chaos: providers that go mad by turns, a configuration that changes every second, and nobody notices."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random

import pytest

from supernova_ai import Config, Supernova, SupernovaError
from supernova_ai.store import Store
from supernova_ai.testing import TOXINS, Answer, Received, Step, StubProvider
from tests import desk
from tests.leaks import leaving_nothing, resident_bytes
from tests.proofs.calls import attempts, check
from tests.telling import rest_of, said_before, telling
from tests.waiting import until

pytestmark = pytest.mark.proof

# Read here: the test itself does not see the environment's SUPERNOVA_*.
SECONDS = float(os.environ.get("SUPERNOVA_CHAOS_SECONDS") or (120 if os.environ.get("CI") else 15))
CALLERS = 32
MADNESS = 0.7  # of a provider's answers while it is mad
PROVIDERS = ("openai", "anthropic", "ollama")
TIMEOUT = {"first_token": 3, "between_tokens": 3, "total": 5, "adaptive": False}
# A world that turns within a second takes more tries, and waits as long as another's trial may hang.
PATIENCE = {"breaker": {"failures": 3, "cooldown": 0.3}, "retries": 8, "wait": 6}
STRATEGIES = ("priority", "round_robin", "latency", "cost")
WORDS = 12
REQUESTS_A_SECOND = 60  # what there are at least between two turns of the world

# Not those after which the caller is to blame, nor floods, which have proofs of their own.
_NOT_HERE = {"http_400", "content_refused", "credit_spent", "flood", "endless_flood"}
HARM = [toxin.step for name, toxin in TOXINS.items() if name not in _NOT_HERE]
LOSES_A_WORD = TOXINS["garbled"].step  # in a stream of Ollama's, without a sign of it: see docs/testing.md


def story(number: int) -> str:
    """A text that no other is like, nor any word of it another."""
    return " ".join(f"w{number}n{word}" for word in range(WORDS))


@dataclass
class World:
    """Three providers, of which one is well at any moment."""

    chance: Random
    well: set[str] = field(default_factory=lambda: {PROVIDERS[0]})
    received: int = 0

    def answer(self, provider: str, request: Received) -> Step:
        """Tell the story asked for, or go on with it; but who is mad does anything."""
        self.received += 1
        asked = re.search(r"story (\d+)", str(request.json["messages"]))
        assert asked
        text = story(int(asked[1]))
        if provider not in self.well and self.chance.random() < MADNESS:
            harm = self.chance.choice(HARM)
            if not (provider == "ollama" and harm is LOSES_A_WORD):
                return telling(harm, rest_of(text, request))
        if not said_before(request):
            return Answer(text)
        rest = rest_of(text, request)
        last = said_before(request).split()[-2:]
        return Answer(self.chance.choice([rest, " ".join([*last, rest]), text]))

    async def turn(self) -> None:
        """Let another be well, after both were for a while."""
        for provider in cycle([*PROVIDERS[1:], PROVIDERS[0]]):
            await self._while(self.chance.uniform(0.5, 1.5))
            self.well.add(provider)
            await self._while(self.chance.uniform(0.2, 0.5))
            self.well = {provider}

    async def _while(self, seconds: float) -> None:
        """Let time pass, and on a slow machine some more: the world must not turn with every request."""
        enough = self.received + REQUESTS_A_SECOND * seconds
        await asyncio.sleep(seconds)
        await until(lambda: self.received >= enough)


@dataclass
class Tally:
    """What the callers saw."""

    calls: int = 0
    failures: list[str] = field(default_factory=list)
    resumed: int = 0


async def call(nova: Supernova, chance: Random, number: int, tally: Tally) -> None:
    """Ask for one story, in one piece or as a stream, and see that it is the story."""
    tally.calls += 1
    try:
        reply = await nova.chat(
            f"Tell story {number}", user_id=number % 50, streaming=chance.random() < 0.5, timeout=30
        )
    except SupernovaError as error:
        tally.failures.append(f"{type(error).__name__}: {error}")
        return
    assert reply.content == story(number)
    tally.resumed += sum(a.outcome == "settled" and a.error is not None for a in reply.attempts)


async def reload(nova: Supernova, configs: list[Config]) -> None:
    """Change the configuration every second."""
    for config in cycle(configs):
        await asyncio.sleep(1)
        await nova.reload(config)


async def run(nova: Supernova, world: World, configs: list[Config], seed: int) -> tuple[Tally, int]:
    """Let everybody call for so long; return what they saw, and by how much memory grew after the start."""
    tally = Tally()
    numbers = iter(range(10**9))
    await asyncio.gather(*(call(nova, Random(seed), next(numbers), Tally()) for _ in range(CALLERS)))
    around = [asyncio.create_task(world.turn()), asyncio.create_task(reload(nova, configs))]
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


def test_chaos(path: Path, seed: int) -> None:
    """At least 999 calls in 1000 are answered, and rightly; the books add up; nothing grows or is left."""
    world = World(Random(seed))
    stubs: dict[str, StubProvider] = {}

    def answer(provider: str, request: Received) -> Step:
        stubs[provider].requests.clear()  # it would keep them all
        return world.answer(provider, request)

    with leaving_nothing():
        for provider in PROVIDERS:
            stubs[provider] = StubProvider(lambda request, name=provider: answer(name, request))  # type: ignore[misc]
        configs = [
            desk.configure(
                path,
                {name: {"url": stub.url, "timeout": TIMEOUT} for name, stub in stubs.items()},
                routing={"strategy": strategy, **PATIENCE},
                budgets=[{"name": "daily", "limit": limit, "per": "day"}],
            )
            for limit, strategy in enumerate(STRATEGIES, 10_000)
        ]
        nova = Supernova(configs[0], master=desk.MASTER)
        tally, growth = asyncio.run(run(nova, world, configs, seed))
        nova.close()
        for stub in stubs.values():
            stub.close()

    assert len(tally.failures) <= tally.calls / 1000, tally.failures
    assert tally.resumed > 0
    assert growth < 50 * 2**20
    with Store(path) as store:
        check(store)
        rows = attempts(store).values()
        assert {row.state for row in rows} == {"settled", "released", "lost"}
        assert min(row.cost for row in rows) >= 0
        assert world.received <= len(rows)  # nothing was sent without a hold
