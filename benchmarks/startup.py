"""The import, the light commands, and how long an event loop stands still while a client opens.

Each runs in a fresh interpreter, with an empty ledger.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.calls import Peers
from benchmarks.results import OURS, Ratio, compare
from benchmarks.sides import in_turn

LIBRARIES = "import typer, rich"
COMMANDS = (
    "--version",
    "--help",
    "config show",
    "prices show gpt-6-luna",
    "keys list",
    "costs",
    "costs report",
    "costs forecast",
)
IMPORT = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
STALL = """
import asyncio, importlib, time
from supernova_ai import Supernova

async def main():
    nova = Supernova()
    opening = asyncio.create_task({opening})
    longest, last = 0.0, time.perf_counter()
    while not opening.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await opening
    nova.close()
    print(longest)

asyncio.run(main())
"""
WARM_UP, PLAIN_IMPORT = "nova.warm_up()", "asyncio.to_thread(importlib.import_module, 'litellm')"


def run(code: str, *arguments: str, home: str) -> str:
    """Run code in a fresh interpreter, with ``home`` as its folder; return what it printed."""
    settings = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | settings | {"SUPERNOVA_HOME": home},
        cwd=home,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def printed(code: str, home: str) -> float:
    """Return the seconds that the code prints."""
    return float(run(code, home=home))


def whole(code: str, *arguments: str, home: str) -> float:
    """Return the seconds of the code with the start of Python."""
    began = time.perf_counter()
    run(code, *arguments, home=home)
    return time.perf_counter() - began


def command(*arguments: str, home: str) -> float:
    """Return the seconds of a supernova command."""
    return whole("from supernova_ai.cli import main; main()", *arguments, home=home)


def measure(_: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare start and import with those of libraries that the package uses."""
    commands = COMMANDS[:3] if quick else COMMANDS
    modules = ("supernova_ai", "typer, rich") if quick else ("supernova_ai", "typer, rich", "litellm")
    with tempfile.TemporaryDirectory() as home:
        runs = {line: partial(command, *line.split(), home=home) for line in commands}
        runs[LIBRARIES] = partial(whole, LIBRARIES, home=home)
        for module in modules:
            runs[module] = partial(printed, IMPORT.format(module=module), home=home)
        for opening in () if quick else (WARM_UP, PLAIN_IMPORT):
            runs[opening] = partial(printed, STALL.format(opening=opening), home=home)
        taken = in_turn(2 if quick else 7, runs, warm_up=not quick)
    for line in commands:
        both = {OURS: taken[line], f"python -c '{LIBRARIES}'": taken[LIBRARIES]}
        yield from compare("start", f"time of supernova {line}", both)
    imports = {name: taken[name] for name in modules[1:]}
    imports = {f"import {name}": each for name, each in imports.items()}
    imports[OURS] = taken["supernova_ai"]
    yield from compare("start", "time of import supernova_ai", imports, {"import typer, rich": 1.0})
    if not quick:
        stalls = {OURS: taken[WARM_UP], "import litellm in a thread": taken[PLAIN_IMPORT]}
        yield from compare("start", "longest stop of an event loop while a client opens", stalls)
