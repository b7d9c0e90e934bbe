"""The greeks of an option, as facts: a rationale may state them; they change nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from supernova_ai.advisor import checks
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.advisor.language import Language
from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest

_GREEKS: dict[str, Unit] = {
    "delta": "ratio",
    "gamma": "ratio",
    "theta": "price",
    "vega": "price",
    "rho": "price",
    "implied_volatility": "percent",
}

_RANGES: dict[str, tuple[float, float, str]] = {
    "delta": (-1, 1, "-1 to 1, for one unit of the underlying: 0.5 and not 50"),
    "gamma": (0, checks.MOST, "zero or more: give that of one option that is held, not sold"),
    "vega": (0, checks.MOST, "zero or more: give that of one option that is held, not sold"),
    "implied_volatility": (0.001, 5, "a fraction, 0.001 to 5: 0.36 for 36 %"),
}
"""The range of a greek, and what would be right."""


def read_greeks(asset_class: str, given: Any) -> dict[str, float]:
    """Return the checked greeks, in one order, so that the same greeks give the same prompt.

    Raises:
        InvalidRequest: the asset is not an option, or a greek is unknown or out of its range.
    """
    greeks = checks.parts("greeks", given, _GREEKS)
    if greeks and asset_class != "option":
        raise InvalidRequest(f"only an option has greeks, and asset_class is {quoted(asset_class)}")
    found = {}
    for name in _GREEKS:
        if name in greeks:
            low, high, right = _RANGES.get(name, (-checks.MOST, checks.MOST, "a number"))
            found[name] = checks.number(f"greeks has {name}", greeks[name], right, low, high)
    return found


def greek_facts(greeks: Mapping[str, float], currency: str, texts: Language) -> Iterator[Fact]:
    """Yield the greeks as facts; an implied volatility of 0.25 is 25 %."""
    for name, value in greeks.items():
        unit = _GREEKS[name]
        points = value * (100 if unit == "percent" else 1)
        scale = "volatility" if unit == "percent" else name
        yield texts.fact(name, points, unit, scale=scale, currency=currency)
