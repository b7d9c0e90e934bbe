"""The ranking of candidates: the strategies, and the order of a provider's key slots."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from supernova_ai import Supernova
from supernova_ai.config import Config
from supernova_ai.routing import deployments
from supernova_ai.routing.deployments import Deployment
from supernova_ai.routing.latency import LatencyStats
from supernova_ai.routing.ranking import RANKINGS, ByCost, ByLatency, ByPriority, ByTurn
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Failure, StubProvider
from supernova_ai.types import Request

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

BOTH = {"keys": ["primary", "backup"]}
SHARED = BOTH | {"slots": "share"}


def fleet(**providers: dict[str, Any]) -> list[Deployment]:
    """Return deployments of the tier standard; each provider has one key slot by default."""
    usual = {"models": {"standard": "m"}, "keys": ["primary"], "prices": {"m": {"input": "1", "output": "1"}}}
    written = {name: usual | own for name, own in providers.items()}
    config = Config.model_validate({"providers": written, "routing": {"priority": list(providers)}})
    return list(deployments.build(config).values())


def request(text: str = "What now?", max_tokens: int = 4096) -> Request:
    messages = ({"role": "user", "content": text},)
    return Request(id="r", messages=messages, tier="standard", task="chat", max_tokens=max_tokens)


def order(ranking: ByPriority, candidates: Iterable[Deployment], asked: Request | None = None) -> list[str]:
    return [f"{d.provider}/{d.slot}" for d in ranking.rank(candidates, asked or request())]


def choose(ranking: ByPriority, candidates: list[Deployment], times: int) -> list[str]:
    """Rank the candidates and choose the first, this many times; return those chosen."""
    taken = []
    for _ in range(times):
        first = ranking.rank(candidates, request())[0]
        ranking.chosen(first)
        taken.append(f"{first.provider}/{first.slot}")
    return taken


class Clock:
    """A fake clock, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", RANKINGS)
def test_slots_of_a_provider_follow_each_other(name: str) -> None:
    """Every strategy ranks all candidates and keeps a provider's key slots together, in order."""
    candidates = fleet(a=BOTH, b=BOTH, c={})
    ranked = order(RANKINGS[name](LatencyStats()), reversed(candidates))
    assert sorted(ranked) == ["a/backup", "a/primary", "b/backup", "b/primary", "c/primary"]
    for provider in ("a", "b"):
        first = ranked.index(f"{provider}/primary")
        assert ranked[first + 1] == f"{provider}/backup"


@pytest.mark.parametrize("name", RANKINGS)
def test_no_candidates(name: str) -> None:
    """Without candidates every strategy returns an empty ranking, however often it is asked."""
    ranking = RANKINGS[name](LatencyStats())
    assert [ranking.rank([], request()) for _ in range(40)] == [[]] * 40


def test_priority_keeps_the_configured_order() -> None:
    """The strategy ``priority`` always ranks the first provider's first key slot first."""
    assert set(choose(ByPriority(LatencyStats()), fleet(b=BOTH, a={}), 9)) == {"b/primary"}


def test_shared_slots_take_turns() -> None:
    """Shared key slots take turns in being first, and the provider's other slots follow."""
    candidates = fleet(a=SHARED, b={})
    ranking = ByPriority(LatencyStats())
    assert choose(ranking, candidates, 5) == ["a/primary", "a/backup"] * 2 + ["a/primary"]
    assert order(ranking, candidates) == ["a/backup", "a/primary", "b/primary"]


def test_round_robin_gives_equal_counts() -> None:
    """Round robin chooses each provider equally often, however many key slots it has."""
    counts = Counter(choose(ByTurn(LatencyStats()), fleet(a=BOTH, b={}, c=SHARED), 12))
    assert counts == {"a/primary": 4, "b/primary": 4, "c/primary": 2, "c/backup": 2}


def test_round_robin_spreads_an_outage_evenly() -> None:
    """While a provider is in cooldown the others share its turns; it does not catch up on them later."""
    candidates = fleet(a={}, b={}, c={})
    ranking = ByTurn(LatencyStats())
    choose(ranking, candidates, 4)
    rest = [d for d in candidates if d.provider != "b"]
    assert Counter(choose(ranking, rest, 10)) == {"a/primary": 5, "c/primary": 5}
    assert Counter(choose(ranking, candidates, 9)) == {"a/primary": 3, "b/primary": 3, "c/primary": 3}


def test_round_robin_counts_the_provider_and_not_the_slot() -> None:
    """Turns are counted per provider: a backup key slot does not catch up on turns of its own."""
    candidates = fleet(a=BOTH, b={})
    ranking = ByTurn(LatencyStats())
    choose(ranking, candidates, 1)
    left = [d for d in candidates if d.id != "standard/a/m/primary"]
    assert choose(ranking, left, 4) == ["b/primary", "a/backup"] * 2


def priced(input_usd: str, output_usd: str) -> dict[str, Any]:
    return {"prices": {"m": {"input": input_usd, "output": output_usd}}}


def test_cost_weighs_the_prompt_against_the_answer() -> None:
    """The strategy ``cost`` weighs the input price by the prompt and the output price by the answer."""
    candidates = fleet(talks=priced("10", "1"), reads=priced("1", "10"))
    ranking = ByCost(LatencyStats())
    assert order(ranking, candidates)[0] == "talks/primary"
    assert order(ranking, candidates, request("word " * 9000))[0] == "reads/primary"
    assert order(ranking, candidates, request(max_tokens=1))[0] == "reads/primary"


def test_cost_expects_answers_as_long_as_they_were() -> None:
    """The strategy ``cost`` expects answers as long as the provider's earlier ones."""
    candidates = fleet(wordy=priced("1", "1"), terse=priced("1", "2"))
    stats = LatencyStats()
    ranking = ByCost(stats)
    assert order(ranking, candidates) == ["wordy/primary", "terse/primary"]
    stats.add("standard/wordy/m/primary", 1, None, tokens=900)
    stats.add("standard/terse/m/primary", 1, None, tokens=100)
    assert order(ranking, candidates) == ["terse/primary", "wordy/primary"]


def test_cost_asks_the_free_first_and_the_unknown_last() -> None:
    """The strategy ``cost`` ranks a free model first, and a model without a known price last."""
    candidates = fleet(unknown={"prices": {}}, dear=priced("9", "9"), free={"prices": {}, "price": "free"})
    assert order(ByCost(LatencyStats()), candidates) == ["free/primary", "dear/primary", "unknown/primary"]


def test_cost_knows_the_price_list() -> None:
    """Without configured prices the strategy ``cost`` uses LiteLLM's price map."""
    candidates = fleet(
        openai={"models": {"standard": "gpt-4o"}, "prices": {}},
        anthropic={"models": {"standard": "claude-haiku-4-5"}, "prices": {}},
    )
    assert order(ByCost(LatencyStats()), candidates)[0] == "anthropic/primary"


def test_latency_ranks_by_recent_answers() -> None:
    """The strategy ``latency`` ranks by the recent median: one slow answer does not change the order."""
    candidates = fleet(first={}, second={})
    stats = LatencyStats()
    ranking = ByLatency(stats)
    for _ in range(5):
        stats.add("standard/first/m/primary", 0.9, None)
        stats.add("standard/second/m/primary", 0.2, None)
    assert order(ranking, candidates) == ["second/primary", "first/primary"]
    stats.add("standard/second/m/primary", 9, None)
    assert order(ranking, candidates) == ["second/primary", "first/primary"]
    for _ in range(9):
        stats.add("standard/second/m/primary", 3, None)
    assert order(ranking, candidates) == ["first/primary", "second/primary"]


def test_latency_ranks_unmeasured_providers_first() -> None:
    """The strategy ``latency`` ranks providers without samples first, so that each is measured."""
    stats = LatencyStats()
    stats.add("standard/a/m/primary", 0.1, None)
    assert order(ByLatency(stats), fleet(a={}, b={}))[0] == "b/primary"


def test_latency_notices_recovery() -> None:
    """Every twentieth request asks the provider with the oldest sample, if that is 30 seconds old."""
    clock = Clock()
    stats = LatencyStats(clock)
    candidates = fleet(quick={}, slow={}, slower={})
    ranking = ByLatency(stats)
    for seconds, name in ((9.0, "slower"), (5.0, "slow"), (0.1, "quick")):
        clock.now += 1
        for _ in range(3):
            stats.add(f"standard/{name}/m/primary", seconds, None)
    assert choose(ranking, candidates, 40) == ["quick/primary"] * 40  # all have recent samples
    clock.now += 60
    stats.add("standard/quick/m/primary", 0.1, None)
    assert choose(ranking, candidates, 20) == ["quick/primary"] * 19 + ["slower/primary"]
    stats.add("standard/slower/m/primary", 0.01, None)
    assert choose(ranking, candidates, 20) == ["quick/primary"] * 19 + ["slow/primary"]
    for _ in range(3):
        stats.add("standard/slower/m/primary", 0.01, None)
    assert order(ranking, candidates)[0] == "slower/primary"


@pytest.mark.parametrize("slots", ["standby", "share"])
async def test_round_robin_is_equal_for_concurrent_callers(
    slots: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Thirty concurrent requests are spread over three providers as evenly as sequential ones."""
    provider = {"url": stub_provider("Diversify.").url, "slots": slots, **BOTH}
    nova = open_nova(
        dict.fromkeys(["openai", "anthropic", "huggingface"], provider), routing={"strategy": "round_robin"}
    )
    await asyncio.gather(*(nova.chat("What now?") for _ in range(30)))
    assert set(Counter(row.provider for row in attempts()).values()) == {10}
    assert set(Counter((row.provider, row.slot) for row in attempts()).values()) == (
        {10} if slots == "standby" else {5}
    )


async def test_round_robin_goes_on_through_an_outage(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A provider that fails is skipped, and the others share its turns."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    nova = open_nova(
        {"openai": good.url, "anthropic": bad.url, "huggingface": good.url},
        routing={"strategy": "round_robin", "breaker": {"failures": 1, "cooldown": 600}},
    )
    for _ in range(9):
        await nova.chat("What now?")
    counts = Counter(row.provider for row in attempts())
    assert counts["anthropic"] == len(bad.requests) == 1
    assert sorted((counts["openai"], counts["huggingface"])) == [4, 5]


async def test_shared_slots_stand_in_for_each_other(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If the shared key slot whose turn it is fails, the other one answers."""
    stub = stub_provider("Diversify.", script=["Diversify.", Failure(401)])
    nova = open_nova({"openai": {"url": stub.url, **SHARED}})
    for _ in range(3):
        await nova.chat("What now?")
    assert [(row.slot, row.state) for row in attempts()] == [
        ("primary", "settled"),
        ("backup", "released"),
        ("primary", "settled"),
        ("primary", "settled"),
    ]
