"""What is known of an asset, figure by figure: the only things a rationale may state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from supernova_ai.advisor.currency import DOLLARS

Unit = Literal["price", "percent", "ratio", "count", "date", "text"]
"""What a value is counted in: money, percent points, a factor, a number without unit, a day, words."""

_DIGITS = {"price": (2, 5), "percent": (1, 3), "ratio": (2, 3), "count": (1, 3)}
"""Of each numeric unit, the fewest decimals shown and the significant digits that small values keep."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known, and where it comes from.

    ``id`` is stable ("rsi_14"), ``label`` what a person reads ("RSI (14)"). A percent is in percent points:
    12.3 means 12.3 %. ``currency`` is what a price is in.
    """

    id: str
    label: str
    value: float | date | str
    unit: Unit
    source: str
    currency: str = "USD"


def show(fact: Fact) -> str:
    """Return the value as it is always written.

    >>> show(Fact("close", "Close", 1234.5, "price", "the last close"))
    '$1,234.50'
    >>> show(Fact("close", "Close", 176.15, "price", "the last close", "JPY"))
    '176.15 JPY'
    >>> show(Fact("change_20", "Change over 20 bars", -12.34, "percent", "the last 20 closes"))
    '-12.3 %'
    """
    if isinstance(fact.value, str):
        return fact.value
    if isinstance(fact.value, date):
        return fact.value.isoformat()[:10]
    number = shown(fact)
    if fact.unit == "price":
        if fact.currency not in DOLLARS:
            return f"{number:,f} {fact.currency}"
        return f"{'-' if number < 0 else ''}${abs(number):,f}"
    return f"{number:,} %" if fact.unit == "percent" else f"{number:,}"


def shown(fact: Fact) -> Decimal:
    """Return the numeric value, rounded half up to the digits it is shown with."""
    value = Decimal(str(fact.value))
    least, significant = _DIGITS[fact.unit]
    if fact.unit == "count" and value == value.to_integral_value():
        return value.quantize(Decimal(1)) + 0
    places = max(least, significant - 1 - value.adjusted()) if value else least
    number = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP).normalize()
    decimals = max(least, -int(number.as_tuple().exponent))
    return number.quantize(Decimal(1).scaleb(-decimals)) + 0


def table(facts: Iterable[Fact]) -> str:
    """Return the numbered table of facts that a model is given, one per line."""
    rows = (
        f"{n}. {fact.id} | {fact.label} | {show(fact)} | {fact.source}" for n, fact in enumerate(facts, 1)
    )
    return "\n".join(("no. id | fact | value | where it comes from", *rows))
