"""What the days to come will cost, from the days there were: the statistics of the forecast, nothing else.

A day's cost is taken as (level + chance) × weekday factor.

- The factor of a weekday is its mean over the mean of all weekdays, drawn towards 1 as far as weekdays differ
  by chance alone (empirical Bayes: trust = 1 − variance of a weekday's mean / variance between them).
- The level is a ratio of exponentially weighted sums, of costs over factors; so it follows what changes.
- The interval comes from simulated futures: each draws its chances, and the error of the level itself, from
  the past one-day errors, and lets the level wander as exponential smoothing says it does.

It knows no trend: on these lengths of history one costs more accuracy on steady series than it brings on
growing ones (docs/forecast.md has the numbers). Floats are right here: an estimate is not kept as money.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, variance
from typing import NamedTuple

SMOOTHING = 0.15
"""How much of the level the latest day makes up: about the last two weeks count."""

_FUTURES = 500
_WEEK = 7


class Day(NamedTuple):
    """A day of the past with its cost, or (``cost`` is then the share of it still ahead) one to come."""

    weekday: int
    cost: float


class Projection(NamedTuple):
    """What is to be expected, and simulated totals in ascending order."""

    expected: float
    futures: list[float]

    def quantile(self, share: float) -> float:
        """Return the total that this share of the futures stays below."""
        return self.futures[int(share * (len(self.futures) - 1))]


def project(past: Sequence[Day], ahead: Sequence[Day]) -> Projection:
    """Project the total of the days ahead. The same past gives the same projection.

    Args:
        past: whole days without a gap, oldest first, at least two weeks, and not all of them zero.
        ahead: the days to come; their ``cost`` is the share of the day that is still ahead, 0 to 1.
    """
    factors = _factors(past)
    level, errors, weights = _smooth(past, factors)
    shares = [factors[day.weekday] * day.cost for day in ahead]
    chance = random.Random(0)  # noqa: S311 - not for secrets
    counted = min(len(past), round(2 / SMOOTHING))  # days that the level is, in effect, a mean of
    futures = []
    for _ in range(_FUTURES):
        at = level + fmean(chance.choices(errors, weights, k=counted))
        total = 0.0
        for share, error in zip(shares, chance.choices(errors, weights, k=len(shares)), strict=True):
            total += max(0.0, at + error) * share
            at = max(0.0, at + SMOOTHING * error)
        futures.append(total)
    return Projection(level * sum(shares), sorted(futures))


def _factors(past: Sequence[Day]) -> list[float]:
    groups = [[day.cost for day in past if day.weekday == weekday] for weekday in range(_WEEK)]
    means = [fmean(group) for group in groups]
    between = variance(means)
    by_chance = fmean(variance(group) / len(group) for group in groups)
    trust = max(0.0, 1 - by_chance / between) if between else 0.0
    return [1 + trust * (mean / fmean(means) - 1) for mean in means]


def _smooth(past: Sequence[Day], factors: Sequence[float]) -> tuple[float, list[float], list[float]]:
    """Return the level after the last day, the one-day errors as changes of it, and how much each weighs."""
    first = past[: 2 * _WEEK]
    cost = sum(day.cost for day in first) / len(first) / SMOOTHING
    weight = 1 / SMOOTHING
    errors, weights = [], []
    for number, (weekday, spent) in enumerate(past):
        factor = factors[weekday]
        if number >= _WEEK and factor > 0:
            errors.append(spent / factor - cost / weight)
            weights.append(factor)
        cost = (1 - SMOOTHING) * cost + spent
        weight = (1 - SMOOTHING) * weight + factor
    mean = sum(error * weight for error, weight in zip(errors, weights, strict=True)) / sum(weights)
    # Seven factors and a level were fitted to these days: what is left over is smaller than the truth.
    widened = (len(past) / (len(past) - _WEEK - 1)) ** 0.5
    return cost / weight, [widened * (error - mean) for error in errors], weights
