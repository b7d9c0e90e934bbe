"""What several assets have in common: correlation of their changes, and concentration of a portfolio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import combinations, pairwise
from statistics import StatisticsError, correlation

from supernova_ai.advisor import checks
from supernova_ai.advisor.bars import History
from supernova_ai.advisor.language import Language
from supernova_ai.advisor.position import Position, read_position
from supernova_ai.errors import InvalidRequest

_LARGE_SHARE = Decimal(25)
"""A position with a larger share of the portfolio, in percent, is named."""

_MOST_CHANGES, _FEWEST_CHANGES = 250, 20
_ROUNDING = 1e-6

Closes = Mapping[date, float]
"""The last close of each day, in UTC."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """The correlation of two symbols' changes, −1 to 1, over this many changes between common days."""

    first: str
    second: str
    value: float
    changes: int


def daily_closes(history: History) -> Closes:
    """Return the last close of each day."""
    return {bar.time.date(): bar.close for bar in history.bars}


def correlations(closes: Mapping[str, Closes], bound: float) -> tuple[Correlation, ...]:
    """Return the pairs whose correlation is at least the bound, the highest first.

    Each pair is compared over the last 250 changes between days that both have. With fewer than 20, or if
    one price never moved, nothing can be said.
    """
    found = []
    for first, second in combinations(closes, 2):
        days = sorted(closes[first].keys() & closes[second].keys())[-1 - _MOST_CHANGES :]
        if len(days) <= _FEWEST_CHANGES:
            continue
        try:
            value = round(correlation(_changes(closes[first], days), _changes(closes[second], days)), 4)
        except StatisticsError:  # one of them is constant
            continue
        if value >= bound:
            found.append(Correlation(first, second, value, len(days) - 1))
    return tuple(sorted(found, key=lambda one: -one.value))


def _changes(closes: Closes, days: Sequence[date]) -> list[float]:
    return [closes[after] / closes[before] - 1 for before, after in pairwise(days)]


def read_positions(given: Mapping[str, Position] | None, symbols: Sequence[str]) -> dict[str, Position]:
    """Return the positions of a portfolio, each checked; empty for None.

    Raises:
        InvalidRequest: a symbol is unknown, a position is wrong, or the weights together are more than 1.
    """
    positions = {
        symbol: read_position(position, f"positions[{symbol!r}]")
        for symbol, position in checks.parts("positions", {} if given is None else given, symbols).items()
    }
    if (total := sum(weights_of(positions).values())) > 1 + _ROUNDING:
        raise InvalidRequest(
            f"the weights are {total:g} together: as shares of a portfolio they must be at most 1"
        )
    return positions


def weights_of(positions: Mapping[str, Position]) -> dict[str, float]:
    """Return the share of the portfolio of each position that has one."""
    return {
        symbol: weight
        for symbol, position in positions.items()
        if (weight := position.get("weight")) is not None
    }


def portfolio_notes(
    weights: Mapping[str, float], pairs: Sequence[Correlation], bound: float, texts: Language
) -> Iterator[str]:
    """Yield sentences about large positions, about the spread of all, and about pairs that move alike."""
    words = texts.portfolio
    for symbol in sorted(weights, key=lambda symbol: -weights[symbol]):
        if (share := _percent(weights[symbol])) > _LARGE_SHARE:
            most = _shown(_LARGE_SHARE, texts)
            yield words.large.format(symbol=symbol, share=_shown(share, texts), most=most)
    held = [weight for weight in weights.values() if weight]
    if len(held) > 1:
        effective = texts.number(Decimal(f"{sum(held) ** 2 / sum(weight**2 for weight in held):.1f}"))
        yield words.spread.format(count=len(held), effective=effective)
    least = Decimal(str(bound))
    decimals = max(2, len(f"{least:f}".partition(".")[2]))  # so that no value is shown below the bound
    for pair in pairs:
        note = words.alike.format(
            first=pair.first,
            second=pair.second,
            value=texts.number(Decimal(f"{pair.value:.{decimals}f}")),
            changes=pair.changes,
            least=texts.number(least),
        )
        together = _percent(weights.get(pair.first, 0.0) + weights.get(pair.second, 0.0))
        shared = words.together.format(share=_shown(together, texts))
        yield f"{note} {shared}" if together else note


def _percent(weight: float) -> Decimal:
    """Return a share in percent as it is shown, with one decimal at most."""
    return Decimal(f"{weight * 100:.1f}".removesuffix(".0"))


def _shown(share: Decimal, texts: Language) -> str:
    return texts.notation.percent.format(value=texts.number(share))
