"""How much 20 open pages of the dashboard slow down callers, over a ledger of a million attempts.

The callers make the same calls in rounds, in turn with the pages open and closed. The pages ask the dashboard
as often as browsers do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import yaml

from benchmarks import calls
from benchmarks.million import fill
from benchmarks.results import Ratio, compare
from benchmarks.setting import add_key, new_database, settings
from benchmarks.sides import Side, in_turn
from supernova_ai.dashboard.pages import PAGES
from supernova_ai.store import Store

PAGES_OPEN = 20
AT_ONCE = 8
"""Calls at once."""


async def pages(link: str) -> None:
    """Open the pages at a line of standard input, and close them at the next."""
    os.nice(19)  # browsers are not on the callers' machine
    limits = httpx.Limits(max_connections=PAGES_OPEN)
    async with httpx.AsyncClient(follow_redirects=True, limits=limits, timeout=60) as browser:
        home = (await browser.get(link)).url
        shown = [PAGES[number % len(PAGES)] for number in range(PAGES_OPEN)]
        tags: dict[int, str] = {}

        async def ask(number: int) -> None:
            known = {"if-none-match": tags[number]} if number in tags else {}
            answer = await browser.get(home.join(f"/{shown[number].name}/parts"), headers=known)
            if answer.status_code not in (200, 304):
                sys.exit(f"{answer.url} answered {answer.status_code}")
            tags[number] = answer.headers["etag"]

        async def poll(number: int) -> None:
            every_s = shown[number].every_s
            await asyncio.sleep(every_s * number / PAGES_OPEN)  # they are opened one after the other
            while True:
                await ask(number)
                await asyncio.sleep(every_s)

        while await asyncio.to_thread(sys.stdin.readline):
            await asyncio.gather(*map(ask, range(PAGES_OPEN)))
            polling = [asyncio.create_task(poll(number)) for number in range(PAGES_OPEN)]
            print(flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            for task in polling:
                task.cancel()
            await asyncio.gather(*polling, return_exceptions=True)
            print(flush=True)


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


def measure(_: calls.Peers, quick: bool) -> Iterator[Ratio]:
    """Compare the time of a call with the pages open and closed, on SQLite and on PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder, new_database() as server:
        databases = {"SQLite": str(Path(folder, "benchmark.db"))}
        databases |= {"PostgreSQL": server.url()} if server else {}
        for engine, database in databases.items():
            yield from compared(engine, database, Path(folder), quick)


def compared(engine: str, database: str, folder: Path, quick: bool) -> Iterator[Ratio]:
    """Compare on one database."""
    attempts, rounds, times = (20_000, 3, 80) if quick else (1_000_000, 25, 240)
    with Store(database) as store:
        fill(store, attempts)
    add_key(database)
    with ExitStack() as stack:
        url = stack.enter_context(Side(calls.provider)).hear()
        config = folder / "supernova.yaml"
        config.write_text(yaml.safe_dump(settings(database, url)), encoding="utf-8")
        watching = stack.enter_context(Side(pages, stack.enter_context(dashboard(config))))
        asking = stack.enter_context(Side(calls.supernova, url, database))

        def once(is_open: bool) -> float:
            if is_open:
                watching.ask("open")
            took = asking.figure("plain", AT_ONCE, times)
            if is_open:
                watching.ask("close")
            return took

        opened, closed = f"{PAGES_OPEN} pages open", "no page open"
        taken = in_turn(rounds, {opened: partial(once, True), closed: partial(once, False)})
    measured = f"time of a call, {opened}, {engine} with {attempts:,} attempts"
    yield from compare("dashboards", measured, taken, ours=opened)
