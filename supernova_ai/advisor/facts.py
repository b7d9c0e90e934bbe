"""Facts: the named figures of advice, and the only ones that a rationale may state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from supernova_ai.advisor.currency import DOLLARS

Unit = Literal["price", "percent", "ratio", "count", "date", "text"]
"""The unit of a value: money, percent points, a factor, a plain number, a day, or words."""

_DIGITS = {"price": (2, 5), "percent": (1, 3), "ratio": (2, 3), "count": (1, 3)}
"""For each numeric unit: the minimum of decimals, and the significant digits of small values."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One named value and its source.

    ``id`` is stable ("rsi_14"); ``label`` is for people ("RSI (14)"). A percentage is in percent points: 12.3
    means 12.3 %. ``currency`` is that of a price.
    """

    id: str
    label: str
    value: float | date | str
    unit: Unit
    source: str
    currency: str = "USD"


def format_fact(fact: Fact) -> str:
    """Return the value as text; a fact looks the same everywhere.

    >>> format_fact(Fact("close", "Close", 1234.5, "price", "the last close"))
    '$1,234.50'
    >>> format_fact(Fact("close", "Close", 176.15, "price", "the last close", "JPY"))
    '176.15 JPY'
    >>> format_fact(Fact("change_20", "Change over 20 bars", -12.34, "percent", "the last 20 closes"))
    '-12.3 %'
    """
    if isinstance(fact.value, str):
        return fact.value
    if isinstance(fact.value, date):
        return fact.value.isoformat()[:10]
    number = rounded_value(fact)
    if fact.unit == "price":
        if fact.currency not in DOLLARS:
            return f"{number:,f} {fact.currency}"
        return f"{'-' if number < 0 else ''}${abs(number):,f}"
    return f"{number:,} %" if fact.unit == "percent" else f"{number:,}"


def rounded_value(fact: Fact) -> Decimal:
    """Return the numeric value, rounded half up to the digits that people see."""
    value = Decimal(str(fact.value))
    min_decimals, significant = _DIGITS[fact.unit]
    if fact.unit == "count" and value == value.to_integral_value():
        return value.quantize(Decimal(1)) + 0
    places = max(min_decimals, significant - 1 - value.adjusted()) if value else min_decimals
    number = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP).normalize()
    decimals = max(min_decimals, -int(number.as_tuple().exponent))
    return number.quantize(Decimal(1).scaleb(-decimals)) + 0


def facts_table(facts: Iterable[Fact]) -> str:
    """Return the numbered table of facts for the prompt, one fact per line."""
    rows = (
        f"{number}. {fact.id} | {fact.label} | {format_fact(fact)} | {fact.source}"
        for number, fact in enumerate(facts, 1)
    )
    return "\n".join(("no. id | fact | value | where it comes from", *rows))
