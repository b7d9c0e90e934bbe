"""Loops of tools that are killed or run at once: the ledger stays true, and no budget is overspent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from supernova_ai import BudgetExceeded, Supernova, SupernovaError, ToolCall
from supernova_ai.ledger import Ledger
from supernova_ai.ledger.leases import TERM_S
from supernova_ai.litellm_adapter import setup
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.testing import TOXINS, Answer, Received, Step, StubProvider
from supernova_ai.types import Usage
from tests import clients
from tests.processes import run_in_child
from tests.recount import attempts, check_store

pytestmark = pytest.mark.proof

PROVIDERS = ("openai", "anthropic", "ollama")
ROUNDS = 4


class Verdict(BaseModel):
    action: Literal["buy", "sell"]


VERDICT = '{"action": "buy"}'


def results(request: Received) -> int:
    """Return how many results of tools the request has, in any dialect."""
    return json.dumps(request.body["messages"]).count("the price is")


def answer(request: Received) -> Answer:
    """Call the tool until it was called in all rounds but the last; then give the verdict."""
    if "input" in request.json:
        return Answer("", usage=Usage(prompt=20_000))  # vectors
    done = results(request)
    if request.body.get("tools") and done < ROUNDS - 1:
        call = ToolCall(f"call_{done}", "price", '{"symbol": "AAPL"}')
        return Answer(tool_calls=[call], usage=Usage(prompt=200, completion=20))
    return Answer(VERDICT, usage=Usage(prompt=250, completion=10))


@pytest.mark.parametrize("last", range(ROUNDS - 1))
@pytest.mark.parametrize("when", ["between rounds", "in a round"])
def test_killed_loop_leaves_a_true_ledger(last: int, when: str, path: Path) -> None:
    """After SIGKILL between two rounds all holds are settled; in a round, the one that was open is lost."""

    assert setup.litellm  # imported here, and not in each child

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        ran = 0

        def price(symbol: str) -> str:
            nonlocal ran
            if when == "between rounds" and ran == last:
                kill()
            ran += 1
            return f"the price is {ran}"

        def reply(request: Received) -> Answer:
            if when == "in a round" and results(request) == last:
                kill()
            return answer(request)

        with StubProvider(reply) as stub:
            nova = Supernova(clients.configure(path, {"openai": stub.url}), master=clients.MASTER)
            asyncio.run(nova.run_tools("Did it rise?", tools=[price], max_rounds=ROUNDS))

    assert run_in_child(work) == -signal.SIGKILL
    with Store(path) as store:
        after = Ledger(store, (), clock=lambda: store.now() + TERM_S + 1)
        after.sweep()
        check_store(store)
        rows = sorted(attempts(store).values(), key=lambda row: row.started_ms)
        assert len({row.request for row in rows}) == 1
        settled = last + (when == "between rounds")
        states = ["settled"] * settled + ["lost"] * (when == "in a round")
        assert [row.state for row in rows] == states
        assert all(row.cost > 0 for row in rows)
        after.close()


async def burst(nova: Supernova, seed: int, refused: list[str]) -> None:
    """Let many callers spend at once, on texts, tools, schemas, streams and vectors, until refused."""
    ran = 0

    async def price(symbol: str) -> str:
        """Return a price."""
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)
        return f"the price is {ran}"

    async def caller(name: int) -> None:
        chance = Random(f"{seed} {name}")
        ways: list[Any] = [
            lambda: nova.chat("What now?"),
            lambda: nova.chat("What now?", tools=[price], streaming=True),
            lambda: nova.chat("What now?", response_model=Verdict),
            lambda: nova.run_tools("What now?", tools=[price], max_rounds=ROUNDS, response_model=Verdict),
            lambda: nova.run_tools("What now?", tools=[price], max_cost="0.002"),
            lambda: nova.embed(["What now? " * 2_000, f"{name} {ran}"]),
        ]
        while True:
            try:
                await chance.choice(ways)()
            except BudgetExceeded as error:
                refused.append(error.budget)
                if error.budget == "daily":
                    return
            except SupernovaError:
                pass

    await asyncio.gather(*map(caller, range(32)))


SLOW = ("hang", "slow", "flood", "endless")
BLOCKING = ("http_401", "http_402", "http_403", "http_404", "credit_spent", "key_echoed")
"""After these the only key, or the only model for vectors, is left alone for a while."""
UNSUITED = (*SLOW, *BLOCKING, "usage_absurd")

MODELS = {"standard": "gpt-4o-mini", "embedding": "text-embedding-3-small"}


def test_burst_of_tools_schemas_and_vectors_overspends_nothing(path: Path, seed: int) -> None:
    """With faults of providers in the mix, what is settled, held and lost never exceeds the budget."""
    chance = Random(seed)
    faults = [toxin.step for name, toxin in TOXINS.items() if not name.startswith(UNSUITED)]

    def reply(request: Received) -> Step:
        return chance.choice(faults) if chance.random() < 0.2 else answer(request)

    limit = "0.06"
    refused: list[str] = []
    with StubProvider(reply) as stub:
        config = clients.configure(
            path,
            {
                "openai": {"url": stub.url, "models": MODELS},
                "anthropic": stub.url,
            },
            budgets=[{"name": "daily", "limit": limit, "per": "day"}],
            routing={"wait": 0, "retries": 1, "breaker": {"failures": 1000}},
        )
        nova = Supernova(config, master=clients.MASTER)
        asyncio.run(asyncio.wait_for(burst(nova, seed, refused), 300))
        nova.close()
    assert "daily" in refused
    window = clients.window(path)
    assert window.held == 0
    assert 0.9 * to_nano(limit) < window.settled + window.lost <= to_nano(limit)
    with Store(path) as store:
        check_store(store)
        rows = attempts(store).values()
        assert {"chat", "embedding"} <= {row.task for row in rows if row.state == "settled"}
        rounds = max(sum(row.request == one.request for row in rows) for one in rows)
        assert rounds >= ROUNDS
