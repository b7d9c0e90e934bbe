"""Measure how often advice is right, by its confidence, on synthetic series; docs/signals.md has the result.

Each series is a walk with a known drift. Advice is given once on each. The close 20 bars later says whether
the direction was right: up after buy, down after sell or reduce.

Run: uv run python benchmarks/calibration.py
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from supernova_ai.advisor.bars import Bar, read_bars
from supernova_ai.advisor.ensemble import SIDES, Action, assess

SERIES = 400
HISTORY = 250
AHEAD = 20
BUCKETS = (0.0, 0.5, 0.6, 0.7, 0.8, 1.0)

DRIFTS = {
    "no drift": 0.0,
    "drifts up": 0.001,
    "drifts up fast": 0.003,
    "drifts down": -0.001,
    "drifts down fast": -0.003,
}
"""Mean logarithmic change per bar; ``DEVIATION`` is its standard deviation."""

DEVIATION = 0.015


def walk(
    seed: object, bars: int, *, drift: float = 0.0, deviation: float = DEVIATION, pull: float = 0.0
) -> list[Bar]:
    """Return the daily bars of a geometric walk on the weekdays to 2026-11-20.

    Args:
        seed: of the random numbers.
        bars: how many to return.
        drift: the mean logarithmic change of a bar.
        deviation: the standard deviation of that change.
        pull: the share of its distance from the first price that the price loses per bar.
    """
    chance = random.Random(repr(seed))
    close = 100.0
    made = []
    for day in _weekdays(bars):
        start = close * math.exp(chance.gauss(0, deviation / 4))
        change = drift - pull * math.log(start / 100) + chance.gauss(0, deviation)
        close = start * math.exp(change)
        high = max(start, close) * math.exp(abs(chance.gauss(0, deviation / 3)))
        low = min(start, close) * math.exp(-abs(chance.gauss(0, deviation / 3)))
        volume = 1e6 * math.exp(chance.gauss(0, 0.3) + 10 * abs(change))
        opened, high, low, closed = (round(price, 2) for price in (start, high, low, close))
        made.append(Bar(day, opened, high, low, closed, round(volume)))
    return made


def _weekdays(count: int) -> list[datetime]:
    day, found = date(2026, 11, 20), list[datetime]()
    while len(found) < count:
        if day.weekday() < 5:
            found.append(datetime(day.year, day.month, day.day, tzinfo=UTC))
        day -= timedelta(days=1)
    return found[::-1]


def measure(kind: str, *, series: int = SERIES) -> tuple[dict[float, tuple[int, int]], Counter[Action]]:
    """Return how many directions were given and right, by the lower end of each bucket, and the actions."""
    given: defaultdict[float, list[bool]] = defaultdict(list)
    actions: Counter[Action] = Counter()
    for number in range(series):
        pull = 0.05 if kind == "returns to its mean" else 0.0
        bars = walk((kind, number), HISTORY + AHEAD, drift=DRIFTS.get(kind, 0.0), pull=pull)
        found = assess(read_bars(bars[:HISTORY], now=bars[HISTORY].time), symbol="X")
        actions[found.action] += 1
        if side := SIDES[found.action]:
            least = max(least for least in BUCKETS[:-1] if least <= found.confidence)
            given[least].append((bars[-1].close - bars[HISTORY - 1].close) * side > 0)
    return {least: (len(right), sum(right)) for least, right in given.items()}, actions


def main() -> None:
    """Print, for each kind of series, the share that was right per bucket of confidence, and the actions."""
    started = time.perf_counter()
    heads = [f"{low:.1f}–{high:.1f}" for low, high in pairwise(BUCKETS)]
    print("share of directions that were right 20 bars later (of how many), by confidence")
    print(f"{'series':20}" + "".join(f"{head:>12}" for head in heads))
    said = []
    whole: dict[str, dict[float, tuple[int, int]]] = {}
    for kind in (*DRIFTS, "returns to its mean"):
        whole[kind], actions = measure(kind)
        print(f"{kind:20}" + "".join(f"{_cell(whole[kind].get(least)):>12}" for least in BUCKETS[:-1]))
        said.append(f"{kind:20}" + "".join(f"{actions[action]:>8}" for action in SIDES))
    print(f"\nactions\n{'series':20}" + "".join(f"{action:>8}" for action in SIDES))
    print("\n".join(said))
    print(f"{SERIES} series of each kind, in {time.perf_counter() - started:.0f} s")
    given = sum(count for count, _ in whole["no drift"].values())
    right = sum(count for _, count in whole["no drift"].values()) / given
    if abs(right - 0.5) > 3 * math.sqrt(0.25 / given):
        sys.exit("where there is no drift, nothing can be foreseen: something looks ahead")


def _cell(found: tuple[int, int] | None) -> str:
    return f"{found[1] / found[0]:.0%} ({found[0]})" if found else "–"


if __name__ == "__main__":
    main()
