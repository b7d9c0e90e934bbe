"""Measure the time per call that SuperNova adds to LiteLLM's Router, with durable holds, on loopback.

A row for each kind of call: a message, one with an image, with tools, with a schema, and a loop of tools with
two answers, and the embedding of one text. Both sides send the same.

There are three processes: a stub provider, the Router alone, and SuperNova. (LiteLLM keeps one worker per
process and event loop, so the two sides must not share one.) Both make the same calls in alternating rounds
of one run, in which all kinds take turns. The medians of the rounds are compared.

Run: uv run python benchmarks/overhead.py [plain] [parts] [tools] [structured] [loop] [embed]
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROUNDS = 7
CALLS = {1: 150, 32: 960}
"""Calls per round, by how many run at once."""

MODEL, KEY, MESSAGE = "gpt-4o-mini", "sk-benchmark-0123456789abcdef", "What is diversification?"
EMBEDDING = "text-embedding-3-small"

PATHS = ("plain", "parts", "tools", "structured", "loop", "embed")
ANSWERS = {"loop": 2}
"""Answers of one call, where they are more than one."""

PNG = b"\x89PNG\r\n\x1a\n" + bytes(2_000)
IMAGE = f"data:image/png;base64,{b64encode(PNG).decode()}"
PARTS = [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "text", "text": MESSAGE}]

Call = Callable[[], Awaitable[Any]]
Calls = dict[str, Call]
"""The calls of one side, by what they are."""


class Verdict(BaseModel):
    """The schema of the structured answer."""

    action: str
    confidence: float


async def price(symbol: str, days_ago: int = 0) -> float:
    """Return the closing price of a share."""
    return {"AAPL": 241.5}[symbol] - days_ago


def definitions() -> list[Any]:
    """Return the tool and the schema as OpenAI's parameters."""
    from supernova_ai.requests.structured import structured
    from supernova_ai.requests.tools import function_tool

    return [function_tool(price).definition, structured(Verdict).response_format]


def stub() -> None:
    """Serve until standard input closes."""
    from supernova_ai.testing import Answer, Received, StubProvider
    from supernova_ai.types import ToolCall

    called = Answer(tool_calls=[ToolCall("call_1", "price", '{"symbol": "AAPL"}')])

    def answer(request: Received) -> Answer:
        provider.requests.clear()
        if request.body.get("tools") and request.body["messages"][-1]["role"] == "user":
            return called
        structured = request.body.get("response_format")
        return Answer('{"action": "buy", "confidence": 0.5}' if structured else "A short answer.")

    with StubProvider(answer) as provider:
        print(provider.url, flush=True)
        sys.stdin.read()


async def bare(url: str) -> None:
    """Run rounds through LiteLLM's Router alone."""
    from supernova_ai.litellm_adapter.setup import litellm

    models = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": KEY},
        }
        for name, model in {"standard": MODEL, "embedding": EMBEDDING}.items()
    ]
    router = litellm.Router(model_list=models)

    tool, schema = definitions()
    user = {"role": "user", "content": MESSAGE}

    async def ask(*messages: Any, **options: Any) -> Any:
        response = await router.acompletion("standard", list(messages), max_tokens=64, **options)
        return response.choices[0].message

    async def loop() -> None:
        said = await ask(user, tools=[tool], _skip_mcp_handler=True)
        (call,) = said.tool_calls
        result = await price(**json.loads(call.function.arguments))
        told = {"role": "tool", "tool_call_id": call.id, "content": str(result)}
        await ask(user, said.model_dump(exclude_none=True), told, tools=[tool], _skip_mcp_handler=True)

    async def structured() -> None:
        Verdict.model_validate_json((await ask(user, response_format=schema)).content)

    await rounds(
        {
            "plain": lambda: ask(user),
            "parts": lambda: ask({"role": "user", "content": PARTS}),
            "tools": lambda: ask(user, tools=[tool], _skip_mcp_handler=True),
            "structured": structured,
            "loop": loop,
            "embed": lambda: router.aembedding("embedding", [MESSAGE], encoding_format="float"),
        }
    )


async def ours(url: str) -> None:
    """Run rounds through SuperNova: encrypted keys, three budgets, durable holds."""
    from supernova_ai import Config, Supernova
    from supernova_ai.keys import MasterKey, Vault
    from supernova_ai.secret import Secret
    from supernova_ai.store import Store

    models = {"standard": MODEL, "embedding": EMBEDDING}
    openai = {"api_base": f"{url}/v1", "models": models, "keys": ["primary"]}
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
            usual: Any = {"user_id": "benchmark", "max_tokens": 64}
            said = [{"role": "user", "content": PARTS}]
            await rounds(
                {
                    "plain": lambda: nova.chat(MESSAGE, **usual),
                    "parts": lambda: nova.chat(messages=said, **usual),
                    "tools": lambda: nova.chat(MESSAGE, tools=[price], **usual),
                    "structured": lambda: nova.chat(MESSAGE, response_model=Verdict, **usual),
                    "loop": lambda: nova.run_tools(MESSAGE, tools=[price], **usual),
                    "embed": lambda: nova.embed(MESSAGE, user_id="benchmark"),
                }
            )


async def rounds(calls: Calls) -> None:
    """Run one round for each path and number read from standard input; print milliseconds per call."""
    for line in sys.stdin:
        path, number = line.split()
        call, concurrency = calls[path], int(number)
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


def measure(sides: Sequence[Side], paths: Sequence[str], concurrency: int) -> dict[str, list[list[float]]]:
    """Return the milliseconds per call of both sides in each round, by path: all paths take turns."""
    lines = {path: f"{path} {concurrency}" for path in paths}
    for line in lines.values():
        for side in sides:
            side.ask(line)  # the first round warms up
    taken: dict[str, list[list[float]]] = {path: [] for path in paths}
    for _ in range(ROUNDS):
        for path, line in lines.items():
            taken[path].append([float(side.ask(line)) for side in sides])
    return taken


def main(paths: list[str]) -> None:
    """Print both sides of each path at each concurrency.

    "over plain" is what a path adds for each answer more than a plain call does, relative to our plain call.
    """
    provider = Side("stub")
    url = provider.ask()
    sides = [Side("bare", url), Side("ours", url)]
    print(
        f"{'path':<12} {'at once':>8} {'bare Router':>12} {'SuperNova':>12} {'added':>19} {'over plain':>11}"
    )
    for concurrency in CALLS:
        taken = measure(sides, paths, concurrency)
        usual = statistics.median(mine for _, mine in taken["plain"])
        for path in paths:
            theirs, mine = (statistics.median(column) for column in zip(*taken[path], strict=True))
            added = f"{mine - theirs:>7.2f} ms {mine / theirs - 1:>8.1%}"
            answers = ANSWERS.get(path, 1)
            over = statistics.median(
                (ours - router) / answers - (plain - plain_router)
                for (router, ours), (plain_router, plain) in zip(taken[path], taken["plain"], strict=True)
            )
            line = f"{path:<12} {concurrency:>8} {theirs:>9.2f} ms {mine:>9.2f} ms {added}"
            print(f"{line} {over / usual:>11.1%}", flush=True)
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
        case paths:
            main(list(dict.fromkeys(["plain", *(paths or PATHS)])))
