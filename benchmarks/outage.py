"""The time to an answer while the first of two providers has an outage, beside LiteLLM's Router.

Both sides have two deployments on loopback and prefer the first (the Router by ``order``). All other
settings are defaults, except the timeout of a silent provider: 1 s to the answer or to the first token, so
that the run ends soon.

healthy    answers at once
dead       refuses the connection
hanging    accepts the connection, and never answers
limiting   answers 429 with retry-after 30
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.calls import MESSAGE, ROUTER, Peers
from benchmarks.results import OURS, Ratio, compare
from benchmarks.setting import KEY, MASTER, plain_litellm
from benchmarks.sides import Side, in_turn

CALLS = 12
PATIENCE_S = 1.0
OUTAGES = ("healthy", "dead", "hanging", "limiting")
WAYS = ("plain", "streamed")

Answer = Callable[[], AsyncGenerator[Any, None]]
"""Ask a provider; yield the answer or its tokens."""

Run = Callable[[list[str], str], Awaitable[list[float]]]
"""Make the calls with a new client for the two addresses, in one of the ``WAYS``."""


def measure(_: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare the first call of a new client and its later calls."""
    with ExitStack() as stack:
        urls = providers(stack)
        sides = {OURS: ours, ROUTER: bare}
        running = {name: stack.enter_context(Side(side, *urls)) for name, side in sides.items()}
        for way in WAYS:
            for number, outage in enumerate(OUTAGES):
                runs = {name: partial(side.ask, number, way) for name, side in running.items()}
                taken = in_turn(1 if quick else 3, runs)
                for place, calls in enumerate(("the first call", "later calls")):
                    column = {name: [figures[place] for figures in each] for name, each in taken.items()}
                    measured = f"time of {calls}, {way}, first provider {outage}"
                    yield from compare("outage", measured, column)


def providers(stack: ExitStack) -> list[str]:
    """Start a provider for each outage; return their addresses, the healthy one first."""
    from supernova_ai.testing import Failure, Hang, StubProvider, closed_port

    limiting = Failure(429, headers={"retry-after": "30"})
    well, hangs, limits = (
        stack.enter_context(StubProvider(reply)).url for reply in ("A short answer.", Hang(), limiting)
    )
    return [well, f"http://127.0.0.1:{stack.enter_context(closed_port())}", hangs, limits]


async def answer_lines(run: Run, urls: list[str]) -> None:
    """Answer each number of an outage and way: the seconds of the first call, and the median of the later."""
    for line in sys.stdin:
        number, way = line.split()
        first, *later = await run([urls[int(number)], urls[0]], way)
        print(first, statistics.median(later), flush=True)


async def calls(answer: Answer) -> list[float]:
    """Make the calls one after the other; return the seconds to the first token of each."""
    taken = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        async with aclosing(answer()) as tokens:
            await anext(tokens)
            taken.append(time.perf_counter() - begun)
    return taken


async def bare(*urls: str) -> None:
    """Answer lines with LiteLLM's Router alone."""
    await answer_lines(call_router, list(urls))


async def ours(*urls: str) -> None:
    """Answer lines with SuperNova: encrypted keys, durable holds."""
    await answer_lines(call_supernova, list(urls))


async def call_router(urls: list[str], way: str) -> list[float]:
    """Make the calls with a new Router."""
    params = [
        {"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": KEY, "order": order}
        for order, (model, url) in enumerate(zip(("gpt-4o-mini", "gpt-4o"), urls, strict=True), 1)
    ]
    models = [{"model_name": "standard", "litellm_params": each} for each in params]
    router = plain_litellm().Router(model_list=models, timeout=PATIENCE_S, stream_timeout=PATIENCE_S)
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


async def call_supernova(urls: list[str], way: str) -> list[float]:
    """Make the calls with a new client."""
    from supernova_ai import Config, Supernova
    from supernova_ai.keys import Vault
    from supernova_ai.secret import Secret
    from supernova_ai.store import Store

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
                Vault(store, MASTER).add(provider, "primary", Secret(key))
        async with Supernova(config, master=MASTER) as nova:

            async def answer() -> AsyncGenerator[Any, None]:
                if way == "plain":
                    yield await nova.chat(MESSAGE, max_tokens=64)
                    return
                async with nova.stream(MESSAGE, max_tokens=64) as tokens:
                    async for token in tokens:
                        yield token

            await nova.warm_up()
            return await calls(answer)
