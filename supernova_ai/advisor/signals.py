"""The strategies: each makes a signal from the indicators, or none if the bars are too few.

Price differences are measured in average true ranges, so a signal does not depend on the currency, the scale
or the volatility of the asset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from supernova_ai.advisor.indicators import FLAT, Indicators
from supernova_ai.config.advice import AdviceRules, AssetClass, Strategy

Direction = Literal[-1, 0, 1]
"""The direction of a signal: 1 up, −1 down, 0 neither."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The result of one strategy. ``strength`` is 0 to 1; ``facts`` are the ids of the facts behind it.

    A strategy's reason has ids of facts in braces; in an assessment the values are filled in.
    """

    name: Strategy
    direction: Direction
    strength: float
    reason: str
    facts: tuple[str, ...]

    @property
    def value(self) -> float:
        """Direction and strength as one number, −1 to 1."""
        return self.direction * self.strength


Evaluate = Callable[[Indicators, AdviceRules, AssetClass], Signal | None]
"""A strategy; it returns None if the bars are too few."""


def ma_cross(indicators: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point up if the 20-bar average is above the 50-bar average, down if below; needs 50 bars."""
    if indicators.sma_20 is None or indicators.sma_50 is None:
        return None
    return _signal(
        "ma_cross",
        _ranges(indicators, indicators.sma_20 - indicators.sma_50),
        up="the 20-bar average ({sma_20}) is above the 50-bar average ({sma_50})",
        flat="the 20-bar and the 50-bar average are level, at {sma_50}",
        down="the 20-bar average ({sma_20}) is below the 50-bar average ({sma_50})",
        facts=("sma_20", "sma_50"),
    )


def rsi_reversion(indicators: Indicators, rules: AdviceRules, asset_class: AssetClass) -> Signal | None:
    """Point up if the RSI is oversold, down if it is overbought; needs 15 bars."""
    if indicators.rsi_14 is None:
        return None
    low, high = rules.rsi[asset_class]
    beyond = min(0.0, indicators.rsi_14 - low) / low + max(0.0, indicators.rsi_14 - high) / (100 - high)
    return _signal(
        "rsi_reversion",
        -3 * beyond,
        up="the RSI is oversold, at {rsi_14}",
        flat="the RSI, at {rsi_14}, is in its usual range",
        down="the RSI is overbought, at {rsi_14}",
        facts=("rsi_14",),
    )


def macd(indicators: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point up if the MACD is above its signal line, down if below; needs 34 bars."""
    if indicators.macd_histogram is None:
        return None
    return _signal(
        "macd",
        4 * _ranges(indicators, indicators.macd_histogram),
        up="the MACD ({macd}) is above its signal line ({macd_signal})",
        flat="the MACD is on its signal line, at {macd_signal}",
        down="the MACD ({macd}) is below its signal line ({macd_signal})",
        facts=("macd", "macd_signal"),
    )


def bollinger(indicators: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point back to the middle if the close is outside the Bollinger bands; needs 20 bars."""
    if indicators.bollinger_b is None:
        return None
    beyond = min(0.0, indicators.bollinger_b) + max(0.0, indicators.bollinger_b - 1)
    return _signal(
        "bollinger",
        -8 * beyond,
        up="the close ({close}) is below the lower Bollinger band ({bollinger_lower})",
        flat="the close ({close}) is between the Bollinger bands",
        down="the close ({close}) is above the upper Bollinger band ({bollinger_upper})",
        facts=("close", "bollinger_lower", "bollinger_upper"),
    )


def breakout(indicators: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point up if the close is above the 20 bars before, down if below; needs 21 bars."""
    if indicators.high_20 is None or indicators.low_20 is None:
        return None
    beyond = min(0.0, indicators.close - indicators.low_20) + max(0.0, indicators.close - indicators.high_20)
    return _signal(
        "breakout",
        4 * _ranges(indicators, beyond),
        up="the close ({close}) is above the high of the 20 bars before ({high_20})",
        flat="the close ({close}) is within the range of the 20 bars before",
        down="the close ({close}) is below the low of the 20 bars before ({low_20})",
        facts=("close", "low_20", "high_20"),
    )


def momentum(indicators: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point in the direction of the price over 63 bars, a quarter of daily bars; needs 64 bars."""
    if indicators.change_63 is None:
        return None
    return _signal(
        "momentum",
        _ranges(indicators, indicators.close - indicators.close / (1 + indicators.change_63)) / 4,
        up="the price rose by {change_63} over 63 bars",
        flat="the price is where it was 63 bars ago",
        down="the price fell by {change_63} over 63 bars",
        facts=("change_63",),
    )


def volume(indicators: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point up if the on-balance volume is above its mean, down if below; needs 20 bars with volume."""
    if indicators.obv is None or indicators.obv_mean_20 is None or not indicators.volume_mean_20:
        return None
    return _signal(
        "volume",
        (indicators.obv - indicators.obv_mean_20) / indicators.volume_mean_20 / 4,
        up="the on-balance volume is above its 20-bar mean",
        flat="the on-balance volume is at its 20-bar mean",
        down="the on-balance volume is below its 20-bar mean",
        facts=("obv", "obv_mean_20"),
    )


STRATEGIES: Mapping[Strategy, Evaluate] = {
    "ma_cross": ma_cross,
    "rsi_reversion": rsi_reversion,
    "macd": macd,
    "bollinger": bollinger,
    "breakout": breakout,
    "momentum": momentum,
    "volume": volume,
}


def _ranges(indicators: Indicators, difference: float) -> float:
    """Return a price difference in average true ranges; 0 if nothing moves."""
    if indicators.atr_14 is None or max(indicators.atr_14, abs(difference)) <= FLAT * indicators.close:
        return 0.0
    return difference / max(indicators.atr_14, FLAT * indicators.close)


def _signal(name: Strategy, pull: float, *, up: str, flat: str, down: str, facts: tuple[str, ...]) -> Signal:
    """Make a signal from a pull of any size: a pull of 1 is half strength, no pull is full strength."""
    pull = 0.0 if abs(pull) < FLAT else pull
    # Not tanh: its last digit differs between machines.
    strength = abs(pull) / (1 + abs(pull))
    if pull == 0:
        return Signal(name, 0, 0.0, flat, facts)
    return Signal(name, 1, strength, up, facts) if pull > 0 else Signal(name, -1, strength, down, facts)
