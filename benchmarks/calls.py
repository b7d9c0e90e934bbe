"""Calls, streams, the first call of a process, and memory: SuperNova with everything on, and its peers.

Each side is a process of its own, and so is the provider, a stub on loopback. The stub sends prepared
answers, so that no client waits for it. All sides send the same and read the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from pydantic import BaseModel

from benchmarks.results import OURS, Ratio, compare
from benchmarks.setting import EMBEDDING, KEY, MASTER, MODEL, PAYER, add_key, plain_litellm, settings
from benchmarks.sides import Side, in_turn

AIOHTTP, SDK, LITELLM = "aiohttp alone", "the OpenAI SDK", "litellm.acompletion"
ROUTER, PROXY = "LiteLLM's Router", "LiteLLM's proxy"
PROXY_COMMAND = os.environ.get("LITELLM_PROXY_COMMAND", "")
"""Starts LiteLLM's proxy, which is installed apart, such as ``/elsewhere/bin/litellm``."""

KINDS = {
    "parts": "a call with an image",
    "tools": "a call with tools",
    "structured": "a call with a schema",
    "loop": "a loop of tools, two answers",
    "embed": "an embedding",
}

MESSAGE, WORDS = "What is diversification?", 64
SHORT = 50
"""Tokens of the shorter of two streams: their difference gives the time of a token."""

PNG = b"\x89PNG\r\n\x1a\n" + bytes(2_000)
IMAGE = f"data:image/png;base64,{b64encode(PNG).decode()}"
PARTS = [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "text", "text": MESSAGE}]
USER = {"role": "user", "content": MESSAGE}

GROWTH = 1.25
"""The most that memory may grow during the calls."""

Call = Callable[[], Awaitable[Any]]
Stream = Callable[[int], AsyncIterator[Any]]
"""Asks for that many tokens, and yields each text as it arrives."""


class Verdict(BaseModel):
    """The schema of the structured answer."""

    action: str
    confidence: float


async def price(symbol: str, days_ago: int = 0) -> float:
    """Return the closing price of a share."""
    return {"AAPL": 241.5}[symbol] - days_ago


@cache
def prepared(words: int, streamed: bool, usage: bool) -> Any:
    """Return the answer of that many words, ready to be sent.

    Args:
        words: how many; each is a token.
        streamed: as a stream.
        usage: a stream ends with its usage.
    """
    from supernova_ai.testing import Answer, Raw
    from supernova_ai.testing.answers import completion_for
    from supernova_ai.testing.dialects import OpenAI

    request = {"model": MODEL, "messages": [USER], "stream_options": {"include_usage": usage}}
    completion, dialect = completion_for(Answer(" ".join(map(str, range(words)))), request, words), OpenAI()
    if not streamed:
        return Raw(200, "application/json", json.dumps(dialect.plain(completion, request)))
    tokens = (dialect.token(completion, number, request) for number in range(words))
    events = (dialect.opening(completion), *tokens, dialect.closing(completion, request))
    return Raw(200, dialect.stream_type, "".join(events))


def provider() -> None:
    """Serve until standard input closes."""
    from supernova_ai.testing import Answer, Received, StubProvider
    from supernova_ai.testing.dialects import OpenAI
    from supernova_ai.types import ToolCall

    called = Answer(tool_calls=[ToolCall("call_1", "price", '{"symbol": "AAPL"}')])

    def answer(request: Received) -> Any:
        stub.requests.clear()
        body = request.json
        if body.get("tools") and body["messages"][-1]["role"] == "user":
            return called
        if "response_format" in body:
            return Answer('{"action": "buy", "confidence": 0.5}')
        if "input" in body:
            return Answer(MESSAGE)
        return prepared(OpenAI().max_tokens(body), bool(body.get("stream")), "stream_options" in body)

    with StubProvider(answer) as stub:
        print(stub.url, flush=True)
        sys.stdin.read()


async def http(url: str, model: str) -> None:
    """Answer lines with calls by aiohttp alone."""
    import aiohttp

    headers, path = {"authorization": f"Bearer {KEY}"}, "/v1/chat/completions"
    body = {"model": model, "messages": [USER]}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:

        async def plain() -> None:
            async with session.post(path, json=body | {"max_tokens": WORDS}) as response:
                response.raise_for_status()
                await response.json()

        async def stream(tokens: int) -> AsyncIterator[str]:
            asked = body | {"max_tokens": tokens, "stream": True}
            async with session.post(path, json=asked) as response:
                response.raise_for_status()
                async for line in response.content:
                    if line.startswith(b"data: {"):
                        for choice in json.loads(line[6:])["choices"]:
                            if text := choice["delta"].get("content"):
                                yield text

        await answer_lines({"plain": plain}, stream)


async def sdk(url: str) -> None:
    """Answer lines with calls by OpenAI's SDK."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY)
    await answer_as_openai(partial(client.chat.completions.create, model=MODEL), {})


async def litellm_alone(url: str) -> None:
    """Answer lines with calls by litellm.acompletion."""
    to = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": KEY}
    await answer_as_openai(partial(plain_litellm().acompletion, **to), {})


async def router(url: str) -> None:
    """Answer lines with calls by LiteLLM's Router alone."""
    from supernova_ai.requests.structured import structured as schema_of
    from supernova_ai.requests.tools import function_tool

    to = {"api_base": f"{url}/v1", "api_key": KEY}
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{model}", **to}}
        for name, model in {"standard": MODEL, "embedding": EMBEDDING}.items()
    ]
    routed = plain_litellm().Router(model_list=models)
    create = partial(routed.acompletion, model="standard")
    schema = schema_of(Verdict).response_format
    tools = {"tools": [function_tool(price).definition], "_skip_mcp_handler": True}

    async def ask(*messages: Any, **options: Any) -> Any:
        answered = await create(messages=list(messages), max_tokens=WORDS, **options)
        return answered.choices[0].message

    async def structured() -> None:
        Verdict.model_validate_json((await ask(USER, response_format=schema)).content)

    async def loop() -> None:
        said = await ask(USER, **tools)
        (call,) = said.tool_calls
        result = await price(**json.loads(call.function.arguments))
        told = {"role": "tool", "tool_call_id": call.id, "content": str(result)}
        await ask(USER, said.model_dump(exclude_none=True), told, **tools)

    await answer_as_openai(
        create,
        {
            "parts": lambda: ask({"role": "user", "content": PARTS}),
            "tools": lambda: ask(USER, **tools),
            "structured": structured,
            "loop": loop,
            "embed": lambda: routed.aembedding("embedding", [MESSAGE], encoding_format="float"),
        },
    )


async def supernova(url: str, database: str) -> None:
    """Answer lines with calls by SuperNova: a key of the vault, four budgets, a durable ledger."""
    from supernova_ai import Config, Supernova

    async with Supernova(Config.model_validate(settings(database, url)), master=MASTER) as nova:
        usual: Any = PAYER | {"max_tokens": WORDS}
        said = [{"role": "user", "content": PARTS}]

        async def stream(tokens: int) -> AsyncIterator[str]:
            async with nova.stream(MESSAGE, **PAYER, max_tokens=tokens) as texts:
                async for text in texts:
                    yield text

        await answer_lines(
            {
                "plain": lambda: nova.chat(MESSAGE, **usual),
                "parts": lambda: nova.chat(messages=said, **usual),
                "tools": lambda: nova.chat(MESSAGE, tools=[price], **usual),
                "structured": lambda: nova.chat(MESSAGE, response_model=Verdict, **usual),
                "loop": lambda: nova.run_tools(MESSAGE, tools=[price], **usual),
                "embed": lambda: nova.embed(MESSAGE, **PAYER),
            },
            stream,
        )


async def answer_as_openai(create: Callable[..., Any], others: dict[str, Call]) -> None:
    """Answer lines with calls of a function that takes OpenAI's parameters."""

    async def stream(tokens: int) -> AsyncIterator[str]:
        async for chunk in await create(messages=[USER], max_tokens=tokens, stream=True):
            for choice in chunk.choices:
                if choice.delta.content:
                    yield choice.delta.content

    plain = partial(create, messages=[USER], max_tokens=WORDS)
    await answer_lines({"plain": plain, **others}, stream)


async def answer_lines(calls: dict[str, Call], stream: Stream) -> None:
    """Answer each line of standard input.

    ``memory`` is answered with the most memory that the process had; ``stream TOKENS TIMES`` with the median
    seconds to the first token and to the last; ``KIND AT_ONCE TIMES`` with the seconds per call.
    """

    async def repeat(call: Call, times: int) -> None:
        for _ in range(times):
            await call()

    for line in sys.stdin:
        match line.split():
            case ["memory"]:
                figures = [float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)]
            case ["stream", tokens, times]:
                each = [await timed(stream, int(tokens)) for _ in range(int(times))]
                figures = [statistics.median(column) for column in zip(*each, strict=True)]
            case [kind, at_once, times]:
                share, began = int(times) // int(at_once), time.perf_counter()
                await asyncio.gather(*(repeat(calls[kind], share) for _ in range(int(at_once))))
                figures = [(time.perf_counter() - began) / (share * int(at_once))]
        print(*figures, flush=True)


async def timed(stream: Stream, tokens: int) -> tuple[float, float]:
    """Read a stream; return the seconds to its first token and to its end."""
    began, first, text = time.perf_counter(), 0.0, ""
    async for piece in stream(tokens):
        first = first or time.perf_counter() - began
        text += piece
    assert len(text.split()) == tokens
    return first, time.perf_counter() - began


class Peers(ExitStack):
    """The provider and the processes that ask it, each started when it is first needed."""

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[str, Side] = {}

    @cached_property
    def _database(self) -> str:
        database = str(Path(self.enter_context(tempfile.TemporaryDirectory()), "benchmark.db"))
        add_key(database)
        return database

    @cached_property
    def _url(self) -> str:
        return self.enter_context(Side(provider)).hear()

    @cached_property
    def _proxy_url(self) -> str:
        return self.enter_context(proxy(self._url))

    def new(self, name: str) -> Side:
        """Start a process of a side."""
        if name == OURS:
            return Side(supernova, self._url, self._database)
        if name in (AIOHTTP, PROXY):
            return Side(http, *((self._url, MODEL) if name == AIOHTTP else (self._proxy_url, "standard")))
        return Side({SDK: sdk, LITELLM: litellm_alone, ROUTER: router}[name], self._url)

    def running(self, *names: str) -> dict[str, Side]:
        """Return the processes of these sides, by name; they run until the end."""
        for name in names:
            if name not in self._running:
                self._running[name] = self.enter_context(self.new(name))
        return {name: self._running[name] for name in names}


@contextmanager
def proxy(url: str) -> Iterator[str]:
    """Yield the address of LiteLLM's proxy before the provider."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        to = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": KEY}
        config = Path(folder, "proxy.yaml")
        models = [{"model_name": "standard", "litellm_params": to}]
        config.write_text(json.dumps({"model_list": models}), encoding="utf-8")
        command = [*shlex.split(PROXY_COMMAND), "--config", str(config), "--host", "127.0.0.1"]
        variables = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        variables["LITELLM_MASTER_KEY"] = KEY
        # Between its turns a client is idle for longer than the usual 5 s.
        command += ["--port", str(port), "--keepalive_timeout", "600"]
        process = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL, cwd=folder)
        try:
            address = f"http://127.0.0.1:{port}"
            while process.poll() is None:
                with suppress(OSError), urlopen(f"{address}/health/liveliness"):
                    break
                time.sleep(0.2)
            else:
                sys.exit("LiteLLM's proxy ended; its error is above")
            yield address
        finally:
            process.terminate()
            process.wait()


def peers_of_calls(quick: bool) -> list[str]:
    """Return the sides that make plain calls and streams; each import of LiteLLM takes seconds."""
    return [OURS, AIOHTTP, SDK, ROUTER, *([] if quick else [LITELLM]), *([PROXY] if PROXY_COMMAND else [])]


def at_once(peers: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare plain calls, by how many run at once."""
    sides, rounds = peers.running(*peers_of_calls(quick)), 2 if quick else 7
    loads = {1: 6, 32: 64} if quick else {1: 100, 8: 160, 32: 320, 128: 512}
    for number, times in loads.items():
        runs = {name: partial(side.figure, "plain", number, times) for name, side in sides.items()}
        bounds = {ROUTER: 3.0} if number > 1 else {}
        yield from compare("calls", f"time of a call, {number} at once", in_turn(rounds, runs), bounds)


def kinds(peers: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare other kinds of calls."""
    sides, rounds = peers.running(OURS, ROUTER), 1 if quick else 7
    for number, times in ({16: 16} if quick else {1: 60, 32: 192}).items():
        for kind, words in KINDS.items():
            runs = {name: partial(side.figure, kind, number, times) for name, side in sides.items()}
            yield from compare("kinds", f"time of {words}, {number} at once", in_turn(rounds, runs))


def streams(peers: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare the time to the first token of a stream, and the time that each further token takes."""
    sides = peers.running(*peers_of_calls(quick))
    rounds, times, long = (2, 2, 150) if quick else (7, 4, 1050)

    def both(side: Side) -> tuple[float, float]:
        first, short = side.ask("stream", SHORT, times)
        _, whole = side.ask("stream", long, times)
        return first, (whole - short) / (long - SHORT)

    taken = in_turn(rounds, {name: partial(both, side) for name, side in sides.items()})
    for place, measured in enumerate(("time to the first token", "time of a further token")):
        column = {name: [figures[place] for figures in each] for name, each in taken.items()}
        yield from compare("streams", measured, column)


def first_call(peers: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare the time from the start of Python to the answer of the first call."""

    def run(name: str) -> float:
        began = time.perf_counter()
        with peers.new(name) as side:
            side.ask("plain", 1, 1)
            return time.perf_counter() - began

    runs = {name: partial(run, name) for name in (OURS, AIOHTTP, SDK, LITELLM, ROUTER)}
    taken = in_turn(1 if quick else 5, runs, warm_up=not quick)
    yield from compare("first call", "time from the start of Python to the first answer", taken)


def memory(peers: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare the most memory that a process had before and after many calls, and with the Router's."""
    before, calls = (100, 200) if quick else (1_000, 20_000)
    most = {}
    with ExitStack() as stack:
        new = {} if quick else {name: stack.enter_context(peers.new(name)) for name in (ROUTER, OURS)}
        sides = new or peers.running(ROUTER, OURS)
        for name, side in sides.items():
            side.ask("plain", 32, before)
            most[name] = [side.figure("memory")]
            side.ask("plain", 32, calls)
            most[name].append(side.figure("memory"))
    for name, (earlier, later) in most.items():
        after = f"memory of {name} after {calls:,} more calls"
        yield Ratio(
            "memory", after, f"after {before:,} calls", [later / earlier], GROWTH if name == OURS else None
        )
    after = f"memory after {before + calls:,} calls"
    yield from compare("memory", after, {name: most[name][1:] for name in most})
