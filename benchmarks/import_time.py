"""Measure how long ``import supernova_ai`` and ``supernova costs report`` take in fresh processes.

They are compared with ``import litellm`` and with an empty Python program. The report is of an empty ledger.

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


def seconds(module: str) -> float:
    """Return the seconds a fresh interpreter takes to import the module, without its own start."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    quiet = os.environ | {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return float(
        subprocess.run([sys.executable, "-c", code], env=quiet, capture_output=True, check=True).stdout
    )


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
            (seconds("supernova_ai"), seconds("litellm"), whole("pass", home), whole(REPORT, home))
            for _ in range(ROUNDS)
        ]
    ours, theirs, bare, report = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"import supernova_ai      {ours:8.3f} s   (at most 0.150)")
    print(f"import litellm           {theirs:8.3f} s")
    print(f"ratio                    {ours / theirs:8.1%}     (at most 5 %)")
    print(f"python -c pass           {bare:8.3f} s")
    print(f"supernova costs report   {report:8.3f} s   (at most 1)")
    print(f"ratio                    {report / bare:8.1f}")
    print(f"{ROUNDS} rounds in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
