"""Measure the error of the monthly forecast on synthetic series; docs/forecast.md has the result.

For each series the forecast gets some days of history on several days of a month. The rest of the month is
held out: it is forecast, and compared with its real costs.

Run: uv run python benchmarks/forecast.py
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable
from statistics import fmean

from supernova_ai.reports.projection import Day, project

SERIES = 40
DAYS_LEFT = (5, 12, 20, 27)
MONTH = 30
HISTORIES = (21, 56)

_WEEK = (1.3, 1.2, 1.1, 1.1, 1.2, 0.5, 0.2)
_OFFICE = (1.4, 1.4, 1.4, 1.4, 1.4, 0.0, 0.0)

Cost = Callable[[int, random.Random], float]

KINDS: dict[str, Cost] = {
    "perfectly weekly": lambda day, _: _WEEK[day % 7],
    "flat": lambda _, chance: _noise(chance),
    "weekdays differ": lambda day, chance: _WEEK[day % 7] * _noise(chance),
    "weekends zero": lambda day, chance: _OFFICE[day % 7] * _noise(chance),
    "days without cost": lambda _, chance: _noise(chance) * (chance.random() < 0.4),
    "bursts of 10×": lambda day, chance: (
        _WEEK[day % 7] * _noise(chance) * (10 if chance.random() < 0.05 else 1)
    ),
    "grows 1 % a day": lambda day, chance: _WEEK[day % 7] * _noise(chance) * 1.01**day,
    "shrinks 1 % a day": lambda day, chance: _WEEK[day % 7] * _noise(chance) * 0.99**day,
    "doubled on day 40": lambda day, chance: _WEEK[day % 7] * _noise(chance) * (2 if day >= 40 else 1),
}


def _noise(chance: random.Random) -> float:
    """Draw a factor with mean 1 that is off by 30 % on an ordinary day."""
    return math.exp(chance.gauss(0, 0.3) - 0.045)


def measure(kind: str, history: int) -> tuple[float, float, float, float]:
    """Return the mean error of the month, of its rest, the bias of the rest, and the interval's coverage."""
    month_errors: list[float] = []
    covered: list[bool] = []
    off = bias = came = 0.0
    for number in range(SERIES):
        chance = random.Random(f"{kind} {number}")
        costs = [KINDS[kind](day, chance) for day in range(max(HISTORIES) + 7 + max(DAYS_LEFT))]
        now = max(HISTORIES) + number % 7
        past = [Day(day % 7, costs[day]) for day in range(now - history, now)]
        for left in DAYS_LEFT:
            rest = sum(costs[now : now + left])
            found = project(past, [Day(day % 7, 1.0) for day in range(now, now + left)])
            month = rest + sum(costs[now - (MONTH - left) : now])
            month_errors.append(abs(found.expected - rest) / month)
            covered.append(found.quantile(0.1) - 1e-9 <= rest <= found.quantile(0.9) + 1e-9)
            off += abs(found.expected - rest)
            bias += found.expected - rest
            came += rest
    return fmean(month_errors), off / came, bias / came, fmean(covered)


def main() -> None:
    """Print one line per kind of series and length of history."""
    started = time.perf_counter()
    print(
        "MAPE: month's total; rest: remaining days (sum of errors / sum); inside: share in the 80 % interval"
    )
    print(f"{'series':20}{'days':>5}{'MAPE':>8}{'rest':>8}{'bias':>8}{'inside':>8}")
    for kind in KINDS:
        for history in HISTORIES:
            month, rest, bias, inside = measure(kind, history)
            print(f"{kind:20}{history:5}{month:8.1%}{rest:8.1%}{bias:+8.1%}{inside:8.0%}")
    print(f"{SERIES} series of each kind, in {time.perf_counter() - started:.0f} s")
    if measure("perfectly weekly", 21)[0] > 1e-9:
        sys.exit("a perfectly weekly series must be forecast exactly")


if __name__ == "__main__":
    main()
