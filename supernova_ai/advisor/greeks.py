"""The greeks of an option, as facts: a rationale may state them; they change nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real

from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.errors import InvalidRequest

_MAX = 1e15
_GREEKS: dict[str, tuple[str, Unit]] = {
    "delta": ("Delta", "ratio"),
    "gamma": ("Gamma", "ratio"),
    "theta": ("Theta, a day", "price"),
    "vega": ("Vega, a point of volatility", "price"),
    "rho": ("Rho, a point of interest", "price"),
    "implied_volatility": ("Implied volatility", "percent"),
}


def with_greeks(assessment: Assessment, greeks: Mapping[str, float]) -> Assessment:
    """Return the assessment with the greeks among its facts; an implied volatility of 0.25 is 25 %.

    Raises:
        InvalidRequest: the asset is not an option, or a greek is unknown or not a number.
    """
    if greeks and assessment.asset_class != "option":
        raise InvalidRequest(f"only an option has greeks, and asset_class is {assessment.asset_class!r}")
    if unknown := [name for name in greeks if name not in _GREEKS]:
        raise InvalidRequest(f"greeks has {unknown[0]!r}: known are {', '.join(_GREEKS)}")
    # In the order of the table, so that the same greeks give the same prompt.
    facts = (_greek_fact(name, greeks[name], assessment.currency) for name in _GREEKS if name in greeks)
    return replace(assessment, facts=(*assessment.facts, *facts))


def is_greek(fact: Fact) -> bool:
    """Whether the fact is one of the greeks."""
    return fact.id in _GREEKS


def _greek_fact(name: str, value: float, currency: str) -> Fact:
    if not isinstance(value, Real) or isinstance(value, bool) or not -_MAX <= value <= _MAX:
        raise InvalidRequest(f"greeks has {name} {value!r}: it must be a number")
    label, unit = _GREEKS[name]
    return Fact(name, label, float(value) * (100 if unit == "percent" else 1), unit, "the request", currency)
