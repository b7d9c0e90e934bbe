"""The greeks of an option, as facts: they decide nothing, and a rationale may state them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real

from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.errors import InvalidRequest

_MOST = 1e15
_GREEKS: dict[str, tuple[str, Unit]] = {
    "delta": ("Delta", "ratio"),
    "gamma": ("Gamma", "ratio"),
    "theta": ("Theta, a day", "price"),
    "vega": ("Vega, a point of volatility", "price"),
    "rho": ("Rho, a point of interest", "price"),
    "implied_volatility": ("Implied volatility", "percent"),
}


def with_greeks(found: Assessment, greeks: Mapping[str, float]) -> Assessment:
    """Return the assessment with the greeks among its facts; the volatility, 0.25 for 25 %, is one of them.

    Raises:
        InvalidRequest: it is of no option, or a greek is not known or no number.
    """
    if greeks and found.asset_class != "option":
        raise InvalidRequest(f"greeks are of an option, and asset_class is {found.asset_class!r}")
    if unknown := [name for name in greeks if name not in _GREEKS]:
        raise InvalidRequest(f"greeks has {unknown[0]!r}: known are {', '.join(_GREEKS)}")
    facts = [
        _fact(name, greeks[name], found.currency) for name in _GREEKS if name in greeks
    ]  # in one order, always
    return replace(found, facts=(*found.facts, *facts))


def is_greek(fact: Fact) -> bool:
    """Whether the fact is one of the greeks."""
    return fact.id in _GREEKS


def _fact(name: str, value: float, currency: str) -> Fact:
    if not isinstance(value, Real) or isinstance(value, bool) or not -_MOST <= value <= _MOST:
        raise InvalidRequest(f"greeks has {name} {value!r}: it must be a number")
    label, unit = _GREEKS[name]
    return Fact(name, label, float(value) * (100 if unit == "percent" else 1), unit, "the request", currency)
