"""Hold an asset as planned, bar by bar, with costs; and measure what became of the capital."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, sqrt
from typing import NamedTuple

from supernova_ai.advisor.bars import Bar

_ROUNDING = 1e-12  # a smaller deviation of the changes is none


@dataclass(frozen=True, slots=True)
class Performance:
    """What became of the capital. Shares and changes are fractions: 0.12 is 12 %.

    ``volatility`` is the standard deviation of the changes per bar, and ``sharpe`` their mean over it; both
    are annualised. The risk-free rate is 0, and without volatility the Sharpe ratio is 0. ``exposure`` is the
    mean share of the capital that was in the asset. ``turnover`` is the amount traded per year, over the mean
    capital.
    """

    total_return: float
    volatility: float
    sharpe: float
    max_drawdown: float
    exposure: float
    trades: float
    turnover: float


class Move(NamedTuple):
    """A trade at the open of a bar; amount and cost are in units of the first capital."""

    bar: int
    before: float
    after: float
    amount: float
    cost: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """The capital after each bar, which was 1 before the first, its share in the asset, and the trades."""

    capital: Sequence[float]
    invested: Sequence[float]
    moves: Sequence[Move]

    def performance(self, bars_per_year: float) -> Performance:
        """Measure the capital, with the bars per year to annualise by."""
        changes = [after / before - 1 for before, after in pairwise((1.0, *self.capital))]
        mean = fsum(changes) / len(changes)
        deviation = sqrt(fsum((change - mean) ** 2 for change in changes) / (len(changes) - 1))
        if deviation < _ROUNDING:
            deviation = 0.0
        highest, deepest = 1.0, 0.0
        for capital in self.capital:
            highest = max(highest, capital)
            deepest = max(deepest, 1 - capital / highest)
        years = len(changes) / bars_per_year
        traded = fsum(move.amount for move in self.moves)
        return Performance(
            total_return=self.capital[-1] - 1,
            volatility=deviation * sqrt(bars_per_year),
            sharpe=mean / deviation * sqrt(bars_per_year) if deviation else 0.0,
            max_drawdown=deepest,
            exposure=fsum(self.invested) / len(self.invested),
            trades=len(self.moves),
            turnover=traded / (fsum(self.capital) / len(self.capital)) / years,
        )


def simulate(bars: Sequence[Bar], planned: Iterable[float], cost: float) -> Simulation:
    """Trade at the open of each bar whose planned exposure differs from that of the bar before.

    From 1 to 0.5 half of what is held is sold, and from 0.5 to 1 all of the cash is spent. While the plan
    stays the same nothing is traded, so the share in the asset follows the price.

    Args:
        bars: with prices above 0.
        planned: for each bar the share of the capital to hold in the asset, 0 to 1.
        cost: of a trade, as a fraction of the amount traded.
    """
    cash, units, held = 1.0, 0.0, 0.0
    capital, invested, moves = list[float](), list[float](), list[Move]()
    for number, (bar, plan) in enumerate(zip(bars, planned, strict=True)):
        if plan > held:
            amount = cash * (plan - held) / (1 - held)
            cash -= amount
            units += amount * (1 - cost) / bar.open
        elif plan < held:
            sold = units * (1 - plan / held)
            amount = sold * bar.open
            units -= sold
            cash += amount * (1 - cost)
        if plan != held:
            moves.append(Move(number, held, plan, amount, amount * cost))
            held = plan
        value = units * bar.close
        capital.append(cash + value)
        invested.append(value / (cash + value))
    return Simulation(capital, invested, moves)
