"""Measure the time to the first answer while the first of two providers is healthy or has an outage.

SuperNova and LiteLLM's Router alone run in one process each, against the same providers on loopback. Both
have two deployments and prefer the first (the Router by ``order``). All other settings are defaults, except
the timeout of a silent provider: 1 s to the answer or to the first token, so that the run ends soon.

healthy    answers at once
dead       refuses the connection
hanging    accepts the connection, and never answers
limiting   answers 429 with retry-after 30

Run: uv run python benchmarks/outage.py
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

CALLS = 12
PATIENCE_S = 1.0
OUTAGES = ("healthy", "dead", "hanging", "limiting")
WAYS = ("plain", "streamed")
MESSAGE, TEXT, KEY = "What is diversification?", "A short answer.", "sk-benchmark-0123456789abcdef"

Answer = Callable[[], AsyncGenerator[Any, None]]
"""Ask a provider; yield the answer or its tokens."""

Run = Callable[[list[str], str], Awaitable[list[float]]]
"""Make the calls with a new client for the two addresses, in one of the ``WAYS``."""


def main() -> None:
    """Print both sides for each outage."""
    print(f"{'':19} {'first call':>19} {'later calls':>19}")
    print(f"{'':19}", *(f"{side:>9}" for side in ("bare", "ours") * 2))
    with ExitStack() as stack:
        urls = providers(stack)
        sides = [measure(side, urls) for side in ("bare", "ours")]
    for name in (f"{outage:9} {way:9}" for outage in OUTAGES for way in WAYS):
        first = [side[name][0] for side in sides]
        later = [statistics.median(side[name][1:]) for side in sides]
        print(name, *(f"{taken:>6.0f} ms" for taken in first + later))


def providers(stack: ExitStack) -> list[str]:
    """Start a provider for each outage; return their addresses, the healthy one first."""
    from supernova_ai.testing import Failure, Hang, StubProvider, closed_port

    limiting = Failure(429, headers={"retry-after": "30"})
    well, hangs, limits = (stack.enter_context(StubProvider(reply)).url for reply in (TEXT, Hang(), limiting))
    return [well, f"http://127.0.0.1:{stack.enter_context(closed_port())}", hangs, limits]


def measure(side: str, urls: list[str]) -> dict[str, list[float]]:
    """Make the calls in a process of their own, because LiteLLM keeps state in module globals."""
    command = [sys.executable, __file__, side, *urls]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


async def each(run: Run, urls: list[str]) -> dict[str, list[float]]:
    """Measure each outage in each way. The second provider is always healthy."""
    well = urls[0]
    for way in WAYS:
        await run([well, well], way)  # LiteLLM imports a lot on first use
    return {
        f"{outage:9} {way:9}": await run([first, well], way)
        for outage, first in zip(OUTAGES, urls, strict=True)
        for way in WAYS
    }


async def calls(answer: Answer) -> list[float]:
    """Make the calls one after the other; return the milliseconds to the first token of each."""
    taken = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        async with aclosing(answer()) as tokens:
            await anext(tokens)
            taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def bare(urls: list[str], way: str) -> list[float]:
    """Measure LiteLLM's Router alone."""
    from supernova_ai.litellm_adapter.setup import litellm

    params = [
        {"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": KEY, "order": order}
        for order, (model, url) in enumerate(zip(("gpt-4o-mini", "gpt-4o"), urls, strict=True), 1)
    ]
    models = [{"model_name": "standard", "litellm_params": each} for each in params]
    router = litellm.Router(model_list=models, timeout=PATIENCE_S, stream_timeout=PATIENCE_S)
    messages = [{"role": "user", "content": MESSAGE}]

    async def answer() -> AsyncGenerator[Any, None]:
        streaming = way == "streamed"
        answered = await router.acompletion("standard", messages, max_tokens=64, stream=streaming)
        if not streaming:
            yield answered
            return
        async for chunk in answered:
            if chunk.choices[0].delta.content:
                yield chunk

    return await calls(answer)


async def ours(urls: list[str], way: str) -> list[float]:
    """Measure SuperNova: encrypted keys, budgets, durable holds."""
    from supernova_ai import Config, Supernova
    from supernova_ai.keys import MasterKey, Vault
    from supernova_ai.secret import Secret
    from supernova_ai.store import Store

    master = MasterKey.of(bytes(32))
    keys = {"openai": KEY, "huggingface": "hf_benchmark0123456789abcdef"}
    written = {
        provider: {
            "api_base": f"{url}/v1",
            "models": {"standard": "gpt-4o"},
            "prices": {"gpt-4o": {"input": "2.50", "output": "10"}},
            "keys": ["primary"],
            "timeout": {"first_token": PATIENCE_S, "total": PATIENCE_S},
        }
        for provider, url in zip(keys, urls, strict=True)
    }
    routing = {"priority": list(keys)}
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "benchmark.db"))
        config = Config.model_validate({"database": database, "providers": written, "routing": routing})
        with Store(database) as store:
            for provider, key in keys.items():
                Vault(store, master).add(provider, "primary", Secret(key))
        async with Supernova(config, master=master) as nova:

            async def answer() -> AsyncGenerator[Any, None]:
                if way == "plain":
                    yield await nova.chat(MESSAGE, max_tokens=64)
                    return
                async with nova.stream(MESSAGE, max_tokens=64) as tokens:
                    async for token in tokens:
                        yield token

            await nova.warm_up()
            return await calls(answer)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [side, *urls]:
            print(json.dumps(asyncio.run(each({"bare": bare, "ours": ours}[side], urls))))
        case _:
            main()
