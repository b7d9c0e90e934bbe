"""Facts: the named figures of advice, and the only ones that a rationale may state."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

Unit = Literal["price", "percent", "ratio", "count", "number"]
"""The unit of a number: money, percent points, a factor, a count or index, or a number shown as it is."""

_DIGITS = {"price": (2, 5), "percent": (1, 2), "ratio": (2, 1), "count": (1, 3)}
"""For each unit that is rounded: the minimum of decimals, and the significant digits of small values."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One named value and its source.

    >>> Fact("pe_ratio", 31.4, name="P/E", source="10-K 2026").id
    'pe_ratio'

    Args:
        id: stable, such as ``rsi_14``; texts refer to the fact by it.
        value: a number, a day, or words. A percentage is in percent points: 12.3 means 12.3 %.
        name: for people, without an article, such as ``50-day average``.
        source: where it comes from.
        unit: of a number.
        period: the time that the value covers, in words: ``20 days``; of a change, what follows "over".
        as_of: the time for which the value holds.
        currency: of a price.
        decimals: of a price, how many are shown at least; None: two, and five digits of small values.
        change_of: for a change in percent, what changed, such as ``price``.
        scale: facts of the same scale can be compared, and so can prices without one.
    """

    id: str
    value: float | date | str
    _: KW_ONLY
    name: str
    source: str
    unit: Unit = "number"
    period: str | None = None
    as_of: date | None = None
    currency: str = "USD"
    decimals: int | None = None
    change_of: str | None = None
    scale: str | None = None

    @property
    def number(self) -> float | None:
        """The value if it is a number."""
        return self.value if isinstance(self.value, int | float) else None


def comparable(fact: Fact, other: Fact) -> bool:
    """Whether it means something that one is above the other."""
    return (
        fact.id != other.id
        and fact.number is not None
        and other.number is not None
        and (fact.unit, fact.currency, fact.scale) == (other.unit, other.currency, other.scale)
        and (fact.unit == "price" or fact.scale is not None)
    )


def compare(fact: Fact, other: Fact) -> int:
    """Return 1 if the first is above the other as shown, −1 if below, else 0."""
    shown, other_shown = rounded_value(fact), rounded_value(other)
    return (shown > other_shown) - (shown < other_shown)


def rounded_value(fact: Fact) -> Decimal:
    """Return the numeric value, rounded half up to the digits that people see."""
    value = Decimal(str(fact.value))
    if fact.unit == "number":
        return value + 0
    min_decimals, significant = _DIGITS[fact.unit]
    if fact.decimals is not None:
        min_decimals, significant = fact.decimals, 2
    if fact.unit == "count" and value == value.to_integral_value():
        return value.quantize(Decimal(1)) + 0
    places = max(min_decimals, significant - 1 - value.adjusted()) if value else min_decimals
    number = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP).normalize()
    decimals = max(min_decimals, -int(number.as_tuple().exponent))
    return number.quantize(Decimal(1).scaleb(-decimals)) + 0
