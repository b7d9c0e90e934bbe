"""How long ``import supernova_ai`` takes, beside ``import litellm``: fresh processes, taken in turn.

Run: uv run python benchmarks/import_time.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

ROUNDS = 3


def seconds(module: str) -> float:
    """Return how long a fresh interpreter takes to import the module, its own start not counted."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    quiet = os.environ | {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return float(
        subprocess.run([sys.executable, "-c", code], env=quiet, capture_output=True, check=True).stdout
    )


def main() -> None:
    """Print both medians and their ratio."""
    started = time.perf_counter()
    rounds = [(seconds("supernova_ai"), seconds("litellm")) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"import supernova_ai  {ours:8.3f} s   (at most 0.150)")
    print(f"import litellm       {theirs:8.3f} s")
    print(f"ratio                {ours / theirs:8.1%}     (at most 5 %)")
    print(f"{ROUNDS} rounds in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
