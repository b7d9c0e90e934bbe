"""What the whole path adds to LiteLLM's bare Router, per call, holds durable, on loopback.

The provider is a stub in a process of its own. Both sides make the same calls to it in alternating rounds of
one run; the medians of the rounds are compared.

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

from supernova_ai import Config, Supernova
from supernova_ai.config import Loaded
from supernova_ai.engine.lite import litellm
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

ROUNDS = 7
CALLS = {1: 150, 32: 640}
"""Calls of a round, by how many are under way at once."""

STUB = """
import sys
from supernova_ai.testing.stub import StubProvider
with StubProvider("A short answer.") as stub:
    print(stub.url, flush=True)
    sys.stdin.read()
"""
MODEL, KEY, MESSAGE = "gpt-4o-mini", "sk-benchmark-0123456789abcdef", "What is diversification?"

Call = Callable[[], Awaitable[Any]]


async def timed(call: Call, concurrency: int) -> float:
    """Return milliseconds per call over one round."""

    async def worker(share: int) -> None:
        for _ in range(share):
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(worker(CALLS[concurrency] // concurrency) for _ in range(concurrency)))
    return (time.perf_counter() - started) * 1000 / CALLS[concurrency]


async def compare(ours: Call, bare: Call) -> None:
    """Print both sides at each concurrency."""
    print(f"{'at once':>8} {'bare Router':>12} {'SuperNova':>12} {'added':>8}")
    for concurrency in CALLS:
        await timed(bare, concurrency)
        await timed(ours, concurrency)
        rounds = [(await timed(bare, concurrency), await timed(ours, concurrency)) for _ in range(ROUNDS)]
        theirs, mine = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{concurrency:>8} {theirs:>9.2f} ms {mine:>9.2f} ms {mine / theirs - 1:>8.1%}")


async def main(url: str, folder: Path) -> None:
    """Set both sides up against the stub and compare them."""
    config = Config.model_validate(
        {
            "database": str(folder / "benchmark.db"),
            "providers": {
                "openai": {"api_base": f"{url}/v1", "models": {"standard": MODEL}, "keys": ["primary"]}
            },
            "routing": {"priority": ["openai"]},
            "budgets": [
                {"name": "daily", "limit": 1000, "per": "day"},
                {"name": "monthly", "limit": 10_000, "per": "month"},
                {"name": "each-user", "limit": 100, "per": "day", "user": "*"},
            ],
        }
    )
    master = MasterKey.of(bytes(32))
    with Store(Loaded.of(config).database) as store:
        Vault(store, master).add("openai", "primary", Secret(KEY))
    router = litellm.Router(
        model_list=[
            {
                "model_name": "standard",
                "litellm_params": {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": KEY},
            }
        ]
    )

    async def bare() -> None:
        await router.acompletion("standard", [{"role": "user", "content": MESSAGE}], max_tokens=64)

    async with Supernova(config, master=master) as nova:

        async def ours() -> None:
            await nova.chat(MESSAGE, user_id="benchmark", max_tokens=64)

        await compare(ours, bare)


if __name__ == "__main__":
    with (
        subprocess.Popen([sys.executable, "-c", STUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stub,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert stub.stdout is not None
        asyncio.run(main(stub.stdout.readline().decode().strip(), Path(folder)))
        stub.communicate()
