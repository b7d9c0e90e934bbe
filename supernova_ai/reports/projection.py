"""Projection: what the coming days will cost, from the past days. The statistics of the forecast.

The model of a day's cost is (level + random error) × weekday factor.

- A weekday's factor is its mean over the mean of all weekdays, shrunk towards 1 as far as chance alone
  explains the difference (empirical Bayes: trust = 1 − variance of a weekday's mean / variance between
  weekdays).
- The level is a ratio of exponentially weighted sums, costs over factors, so that it follows changes.
- The interval comes from simulated futures: each draws its daily errors, and the error of the level itself,
  from the past one-day errors, and moves the level as exponential smoothing does.

There is no trend: with so little history a trend costs more accuracy on steady series than it gains on
growing ones (docs/forecast.md has the numbers). An estimate is not kept as money, so floats are enough.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, variance
from typing import NamedTuple

SMOOTHING = 0.15
"""The weight of the latest day in the level: about the last two weeks count."""

_FUTURES = 500
_WEEK = 7


class Day(NamedTuple):
    """A past day and its cost, or a coming day and, as ``cost``, the share of the day that is still ahead."""

    weekday: int
    cost: float


class Projection(NamedTuple):
    """The expected total, and simulated totals in ascending order."""

    expected: float
    futures: list[float]

    def quantile(self, share: float) -> float:
        """Return the total below which this share of the futures stays."""
        return self.futures[int(share * (len(self.futures) - 1))]


def project(past: Sequence[Day], ahead: Sequence[Day]) -> Projection:
    """Project the total of the days ahead. The same past gives the same projection.

    Args:
        past: whole days without a gap, oldest first; at least two weeks, and not all zero.
        ahead: the coming days; their ``cost`` is the share of the day that is still ahead, 0 to 1.
    """
    factors = _factors(past)
    level, errors, weights = _smooth(past, factors)
    shares = [factors[day.weekday] * day.cost for day in ahead]
    generator = random.Random(0)  # noqa: S311 - not for secrets
    counted = min(len(past), round(2 / SMOOTHING))  # the level is in effect a mean of so many days
    futures = []
    for _ in range(_FUTURES):
        drawn = level + fmean(generator.choices(errors, weights, k=counted))
        total = 0.0
        for share, error in zip(shares, generator.choices(errors, weights, k=len(shares)), strict=True):
            total += max(0.0, drawn + error) * share
            drawn = max(0.0, drawn + SMOOTHING * error)
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
    """Return the level after the last day, the one-day errors as changes of the level, and their weights."""
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
    # Seven factors and a level were fitted to these days, so the residuals understate the errors.
    widened = (len(past) / (len(past) - _WEEK - 1)) ** 0.5
    return cost / weight, [widened * (error - mean) for error in errors], weights
