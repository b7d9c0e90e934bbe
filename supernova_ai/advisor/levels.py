"""Levels by arithmetic: a stop some average true ranges below the close, and a size for a stated risk."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from typing import Any

from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.language import Language
from supernova_ai.config.advice import AdviceRules, AssetClass

_WHOLE_UNITS: tuple[AssetClass, ...] = ("stock", "option", "futures")
_DIGITS = 4
"""Significant digits of a size that need not be whole."""


def level_facts(
    assessment: Assessment, risk_per_trade: float | None, rules: AdviceRules, texts: Language
) -> Iterator[Fact]:
    """Yield the facts of a stop, and of a position's size if the advice is to buy.

    There are none where the client keeps nothing: a stop beside "sell" would contradict it. There are none
    either if the price does not move, or if the stop would not be above zero.

    Args:
        assessment: with what the client holds.
        risk_per_trade: what the client would lose at the stop, in the asset's currency.
        rules: ``stop`` is the distance.
        texts: the names of the facts.
    """
    close = next(fact for fact in assessment.facts if fact.id == "close")
    distance = rules.stop * (assessment.indicators.atr_14 or 0.0)
    assert close.number is not None
    if not _keeps_some(assessment) or not 0 < distance < close.number:
        return
    price: dict[str, Any] = {"currency": close.currency, "decimals": close.decimals, "as_of": close.as_of}
    yield texts.fact("stop_ranges", rules.stop, "count")
    yield texts.fact("stop_distance", distance, "price", scale="range", **price)
    yield texts.fact("stop_price", close.number - distance, "price", **price)
    if risk_per_trade is not None and assessment.action == "buy":
        size = _round_down(risk_per_trade / distance, assessment.asset_class)
        yield texts.fact("risk_per_trade", risk_per_trade, "price", scale="risk", currency=close.currency)
        yield texts.fact("position_size", size)


def _keeps_some(assessment: Assessment) -> bool:
    match assessment.action:
        case "buy":
            return True
        case "hold":
            return assessment.holding != "none"
        case "reduce":
            return assessment.holding == "held"
        case _:
            return False


def _round_down(size: float, asset_class: AssetClass) -> float:
    """Return whole units, or four digits; never more, so that the risk is not exceeded."""
    exact = Decimal(str(size))
    places = 0 if asset_class in _WHOLE_UNITS else _DIGITS - 1 - exact.adjusted()
    rounded = exact.quantize(Decimal(1).scaleb(-places), ROUND_DOWN)
    return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)
