"""Measure how much 20 open pages of the dashboard slow down callers, over a ledger of a million attempts.

There are four processes: a stub provider, callers, the dashboard, and 20 pages that ask it every 1.5 s, as
browsers do. The callers make the same calls in rounds, in turn with the pages open and closed. The medians of
the rounds, and of the ratios of neighbouring rounds, are printed for SQLite and for PostgreSQL. Less than 2 %
is wanted.

Run: uv run python benchmarks/dashboards.py [--quick] [sqlite] [postgresql]

``--quick`` is a ledger of 20,000 attempts and few rounds. The server is that of SUPERNOVA_TEST_POSTGRES.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import yaml

from benchmarks.million import BUDGETS, fill
from supernova_ai import Supernova
from supernova_ai.config import load
from supernova_ai.dashboard.pages import PAGES
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.testing import StubProvider

PAGES_OPEN, EVERY_S = 20, 1.5
AT_ONCE = 8
"""Calls at once."""

MASTER, KEY = MasterKey.of(bytes(32)), "sk-benchmark-0123456789abcdef"
SERVER = os.environ.get("SUPERNOVA_TEST_POSTGRES", "postgresql://127.0.0.1/test")


class Size(NamedTuple):
    """Attempts in the ledger, pairs of rounds, and calls in a round."""

    attempts: int
    rounds: int
    calls: int


WHOLE, QUICK = Size(1_000_000, 25, 800), Size(20_000, 3, 80)


def stub() -> None:
    """Serve until standard input closes."""
    with StubProvider("A short answer.") as provider:
        print(provider.url, flush=True)
        for _ in sys.stdin:
            provider.requests.clear()


async def callers(config: Path) -> None:
    """Make as many calls as each line of standard input says; print the milliseconds of each."""
    async with Supernova(load(config).config, master=MASTER) as nova:
        await nova.warm_up()

        async def repeat(times: int) -> None:
            for _ in range(times):
                await nova.chat("What is diversification?", user_id="user-1", max_tokens=64)

        print("ready", flush=True)
        for line in sys.stdin:
            count, began = int(line), time.perf_counter()
            await asyncio.gather(*(repeat(count // AT_ONCE) for _ in range(AT_ONCE)))
            print((time.perf_counter() - began) * 1000 / count, flush=True)


async def pages(link: str) -> None:
    """Open the pages at a line of standard input, and close them at the next."""
    limits = httpx.Limits(max_connections=PAGES_OPEN)
    async with httpx.AsyncClient(follow_redirects=True, limits=limits, timeout=60) as browser:
        home = (await browser.get(link)).url
        names = [PAGES[number % len(PAGES)].name for number in range(PAGES_OPEN)]
        tags: dict[int, str] = {}

        async def ask(number: int) -> None:
            known = {"if-none-match": tags[number]} if number in tags else {}
            answer = await browser.get(home.join(f"/{names[number]}/parts"), headers=known)
            if answer.status_code not in (200, 304):
                sys.exit(f"{answer.url} answered {answer.status_code}")
            tags[number] = answer.headers["etag"]

        async def poll(number: int) -> None:
            await asyncio.sleep(EVERY_S * number / PAGES_OPEN)  # they are opened one after the other
            while True:
                await ask(number)
                await asyncio.sleep(EVERY_S)

        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await asyncio.gather(*map(ask, range(PAGES_OPEN)))
            polling = [asyncio.create_task(poll(number)) for number in range(PAGES_OPEN)]
            print("open", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            for task in polling:
                task.cancel()
            await asyncio.gather(*polling, return_exceptions=True)
            print("closed", flush=True)


class Side:
    """One of the processes of this file."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.first = self.ask()

    def ask(self, line: str = "") -> str:
        """Send a line, if there is one, and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if line:
            self.process.stdin.write(line + "\n")
        answer = self.process.stdout.readline().strip()
        if not answer:
            sys.exit("a process of the benchmark ended")
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@contextmanager
def dashboard(config: Path) -> Iterator[str]:
    """Yield the link that signs in at a dashboard."""
    supernova = [sys.executable, "-c", "from supernova_ai.cli import main; main()"]
    command = [*supernova, "dashboard", "--port", "0", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(line.strip() for line in process.stderr if "token=" in line)
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """Yield the path of a new database."""
    yield str(folder / "benchmark.db")


@contextmanager
def postgresql(_: Path) -> Iterator[str]:
    """Yield the URL of a new database, which is dropped at the end."""
    name = f"supernova_{secrets.token_hex(4)}"
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{SERVER.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


ENGINES: dict[str, Callable[[Path], Any]] = {"sqlite": sqlite, "postgresql": postgresql}


def configure(path: Path, database: str, url: str) -> None:
    """Write the configuration, and the key of the provider."""
    budgets = [budget.model_dump(mode="json", exclude_defaults=True) for budget in BUDGETS]
    openai = {"api_base": f"{url}/v1", "models": {"standard": "gpt-4o-mini"}, "keys": ["primary"]}
    routing = {"priority": ["openai"]}
    settings = {"database": database, "budgets": budgets, "providers": {"openai": openai}, "routing": routing}
    path.write_text(yaml.safe_dump(settings))
    with Store(database) as store:
        Vault(store, MASTER).add("openai", "primary", Secret(KEY))


def measure(engine: str, size: Size) -> None:
    """Print how long calls take with the pages open and closed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(ENGINES[engine](folder))
        with Store(database) as store:
            fill(store, size.attempts)
        provider = Side("stub")
        config = folder / "supernova.yaml"
        configure(config, database, provider.first)
        link = stack.enter_context(dashboard(config))
        asking, watching = Side("callers", str(config)), Side("pages", link)
        for side in (provider, asking, watching):
            stack.callback(side.close)

        def once(is_open: bool) -> float:
            if is_open:
                watching.ask("open")
            took = float(asking.ask(str(size.calls)))
            if is_open:
                watching.ask("close")
            return took

        once(False)
        once(True)
        rounds = []
        for number in range(size.rounds):
            first = once(number % 2 == 0)
            second = once(number % 2 == 1)
            rounds.append((second, first) if number % 2 else (first, second))
    opened, closed = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = sorted(one / other for one, other in rounds)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    more = statistics.median(ratios) - 1
    print(
        f"{engine:<12} {size.attempts:>10,} {closed:>9.2f} ms {opened:>9.2f} ms {more:>8.1%}   "
        f"{low - 1:.1%} to {high - 1:.1%}",
        flush=True,
    )


def main(words: list[str]) -> None:
    """Print a line for each engine."""
    size = QUICK if "--quick" in words else WHOLE
    heads = f"{'attempts':>23} {'closed':>12} {f'{PAGES_OPEN} open':>12} {'slower':>8}   half of the rounds"
    print(heads, flush=True)
    for engine in [word for word in words if word in ENGINES] or ENGINES:
        measure(engine, size)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stub"]:
            stub()
        case ["callers", config]:
            asyncio.run(callers(Path(config)))
        case ["pages", link]:
            asyncio.run(pages(link))
        case words:
            main(words)
