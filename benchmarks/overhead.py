"""Measure the time per call that SuperNova adds to LiteLLM's Router, with durable holds, on loopback.

There are three processes: a stub provider, the Router alone, and SuperNova. (LiteLLM keeps one worker per
process and event loop, so the two sides must not share one.) Both make the same calls in alternating rounds
of one run. The medians of the rounds are compared.

Run: uv run python benchmarks/overhead.py
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROUNDS = 7
CALLS = {1: 150, 32: 960}
"""Calls per round, by how many run at once."""

MODEL, KEY, MESSAGE = "gpt-4o-mini", "sk-benchmark-0123456789abcdef", "What is diversification?"

Call = Callable[[], Awaitable[Any]]


def stub() -> None:
    """Serve until standard input closes."""
    from supernova_ai.testing import StubProvider

    with StubProvider("A short answer.") as provider:
        print(provider.url, flush=True)
        sys.stdin.read()


async def bare(url: str) -> None:
    """Run rounds through LiteLLM's Router alone."""
    from supernova_ai.litellm_adapter.setup import litellm

    params = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": KEY}
    router = litellm.Router(model_list=[{"model_name": "standard", "litellm_params": params}])

    async def call() -> None:
        await router.acompletion("standard", [{"role": "user", "content": MESSAGE}], max_tokens=64)

    await rounds(call)


async def ours(url: str) -> None:
    """Run rounds through SuperNova: encrypted keys, three budgets, durable holds."""
    from supernova_ai import Config, Supernova
    from supernova_ai.keys import MasterKey, Vault
    from supernova_ai.secret import Secret
    from supernova_ai.store import Store

    openai = {"api_base": f"{url}/v1", "models": {"standard": MODEL}, "keys": ["primary"]}
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "benchmark.db"))
        config = Config.model_validate(
            {
                "database": database,
                "providers": {"openai": openai},
                "routing": {"priority": ["openai"]},
                "budgets": [
                    {"name": "daily", "limit": 1000, "per": "day"},
                    {"name": "monthly", "limit": 10_000, "per": "month"},
                    {"name": "each-user", "limit": 100, "per": "day", "user": "*"},
                ],
            }
        )
        master = MasterKey.of(bytes(32))
        with Store(database) as store:
            Vault(store, master).add("openai", "primary", Secret(KEY))
        async with Supernova(config, master=master) as nova:

            async def call() -> None:
                await nova.chat(MESSAGE, user_id="benchmark", max_tokens=64)

            await rounds(call)


async def rounds(call: Call) -> None:
    """Run one round for each number read from standard input; print milliseconds per call."""
    for line in sys.stdin:
        concurrency = int(line)
        started = time.perf_counter()
        await asyncio.gather(*(repeat(call, CALLS[concurrency] // concurrency) for _ in range(concurrency)))
        print((time.perf_counter() - started) * 1000 / CALLS[concurrency], flush=True)


async def repeat(call: Call, times: int) -> None:
    """Make the calls one after the other."""
    for _ in range(times):
        await call()


class Side:
    """One of the three processes."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, line: str = "") -> str:
        """Send a line, if there is one, and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if line:
            self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def main() -> None:
    """Print both sides at each concurrency."""
    provider = Side("stub")
    url = provider.ask()
    sides = [Side("bare", url), Side("ours", url)]
    print(f"{'at once':>8} {'bare Router':>12} {'SuperNova':>12} {'added':>8}")
    for concurrency in map(str, CALLS):
        for side in sides:
            side.ask(concurrency)  # the first round warms up
        taken = [[float(side.ask(concurrency)) for side in sides] for _ in range(ROUNDS)]
        theirs, mine = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"{concurrency:>8} {theirs:>9.2f} ms {mine:>9.2f} ms {mine / theirs - 1:>8.1%}", flush=True)
    for side in (*sides, provider):
        side.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stub"]:
            stub()
        case ["bare", url]:
            asyncio.run(bare(url))
        case ["ours", url]:
            asyncio.run(ours(url))
        case _:
            main()
