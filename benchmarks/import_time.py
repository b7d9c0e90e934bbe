"""Measure how long ``import supernova_ai`` and ``supernova costs report`` take in fresh processes.

They are compared with ``import litellm`` and with an empty Python program. The report is of an empty ledger.
Measure too how long an event loop stands still at most while a client opens, compared with a plain
``import litellm`` in a thread.

Run: uv run python benchmarks/import_time.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
REPORT = "import sys; sys.argv = ['supernova', 'costs', 'report']; from supernova_ai.cli import main; main()"
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


def printed(code: str, home: str) -> float:
    """Return the number that a fresh interpreter prints."""
    quiet = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "SUPERNOVA_HOME": home}
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | quiet, cwd=home, capture_output=True, check=True
    )
    return float(run.stdout)


def seconds(module: str, home: str) -> float:
    """Return the seconds a fresh interpreter takes to import the module, without its own start."""
    return printed(
        f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)", home
    )


def stall(opening: str, home: str) -> float:
    """Return the longest time, in seconds, that an event loop stood still while something opened."""
    return printed(STALL.format(opening=opening), home)


def whole(code: str, home: str) -> float:
    """Return the seconds a fresh interpreter takes to start, run the code and exit."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"SUPERNOVA_HOME": home},
        cwd=home,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def main() -> None:
    """Print the medians and their ratios."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        whole(REPORT, home)  # creates the ledger
        rounds = [
            (
                seconds("supernova_ai", home),
                seconds("litellm", home),
                whole("pass", home),
                whole(REPORT, home),
                stall(WARM_UP, home),
                stall(PLAIN_IMPORT, home),
            )
            for _ in range(ROUNDS)
        ]
    ours, theirs, bare, report, warm_up, plain = (
        statistics.median(column) for column in zip(*rounds, strict=True)
    )
    print(f"import supernova_ai      {ours:8.3f} s   (at most 0.150)")
    print(f"import litellm           {theirs:8.3f} s")
    print(f"ratio                    {ours / theirs:8.1%}     (at most 5 %)")
    print(f"python -c pass           {bare:8.3f} s")
    print(f"supernova costs report   {report:8.3f} s   (at most 1)")
    print(f"ratio                    {report / bare:8.1f}")
    print(f"stall, warm_up()         {warm_up:8.3f} s")
    print(f"stall, import litellm    {plain:8.3f} s")
    print(f"ratio                    {warm_up / plain:8.1%}     (at most 75 %)")
    print(f"{ROUNDS} rounds in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
