"""The strategies: each reads the indicators in its own way, and is silent where the bars are too few.

Every price difference is measured in average true ranges, so that a signal depends on no currency and no
scale, and a strategy says the same of a calm and of a lively asset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from supernova_ai.advisor.indicators import FLAT, Indicators
from supernova_ai.config.advice import AdviceRules, AssetClass, Strategy

Direction = Literal[-1, 0, 1]
"""Which way a strategy points: 1 up, −1 down, 0 neither."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What one strategy says: which way, how strongly (0 to 1), why, and the ids of the facts behind it.

    A strategy writes ids of facts in braces in its reason; an assessment has their values there.
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
"""A strategy; None: silent."""


def ma_cross(seen: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point to where the 20-bar average is of the 50-bar average; needs 50 bars."""
    if seen.sma_20 is None or seen.sma_50 is None:
        return None
    return _signal(
        "ma_cross",
        _ranges(seen, seen.sma_20 - seen.sma_50),
        up="the 20-bar average ({sma_20}) is above the 50-bar average ({sma_50})",
        flat="the 20-bar and the 50-bar average are level, at {sma_50}",
        down="the 20-bar average ({sma_20}) is below the 50-bar average ({sma_50})",
        facts=("sma_20", "sma_50"),
    )


def rsi_reversion(seen: Indicators, rules: AdviceRules, asset_class: AssetClass) -> Signal | None:
    """Point up where the RSI is oversold and down where it is overbought; needs 15 bars."""
    if seen.rsi_14 is None:
        return None
    low, high = rules.rsi[asset_class]
    beyond = min(0.0, seen.rsi_14 - low) / low + max(0.0, seen.rsi_14 - high) / (100 - high)
    return _signal(
        "rsi_reversion",
        -3 * beyond,
        up="the RSI is oversold, at {rsi_14}",
        flat="the RSI, at {rsi_14}, is in its usual range",
        down="the RSI is overbought, at {rsi_14}",
        facts=("rsi_14",),
    )


def macd(seen: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point to where the MACD is of its signal line; needs 34 bars."""
    if seen.macd_histogram is None:
        return None
    return _signal(
        "macd",
        4 * _ranges(seen, seen.macd_histogram),
        up="the MACD ({macd}) is above its signal line ({macd_signal})",
        flat="the MACD is on its signal line, at {macd_signal}",
        down="the MACD ({macd}) is below its signal line ({macd_signal})",
        facts=("macd", "macd_signal"),
    )


def bollinger(seen: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point back to the middle where the close is outside the Bollinger bands; needs 20 bars."""
    if seen.bollinger_b is None:
        return None
    beyond = min(0.0, seen.bollinger_b) + max(0.0, seen.bollinger_b - 1)
    return _signal(
        "bollinger",
        -8 * beyond,
        up="the close ({close}) is below the lower Bollinger band ({bollinger_lower})",
        flat="the close ({close}) is between the Bollinger bands",
        down="the close ({close}) is above the upper Bollinger band ({bollinger_upper})",
        facts=("close", "bollinger_lower", "bollinger_upper"),
    )


def breakout(seen: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point to where the close left the range of the 20 bars before; needs 21 bars."""
    if seen.high_20 is None or seen.low_20 is None:
        return None
    beyond = min(0.0, seen.close - seen.low_20) + max(0.0, seen.close - seen.high_20)
    return _signal(
        "breakout",
        4 * _ranges(seen, beyond),
        up="the close ({close}) is above the high of the 20 bars before ({high_20})",
        flat="the close ({close}) is within the range of the 20 bars before",
        down="the close ({close}) is below the low of the 20 bars before ({low_20})",
        facts=("close", "low_20", "high_20"),
    )


def momentum(seen: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point to where the price went over 63 bars, a quarter of daily ones; needs 64 bars."""
    if seen.change_63 is None:
        return None
    return _signal(
        "momentum",
        _ranges(seen, seen.close - seen.close / (1 + seen.change_63)) / 4,
        up="the price rose by {change_63} over 63 bars",
        flat="the price is where it was 63 bars ago",
        down="the price fell by {change_63} over 63 bars",
        facts=("change_63",),
    )


def volume(seen: Indicators, _: AdviceRules, __: AssetClass) -> Signal | None:
    """Point to where the volume went, by the on-balance volume; needs 20 bars with volume."""
    if seen.obv is None or seen.obv_mean_20 is None or not seen.volume_mean_20:
        return None
    return _signal(
        "volume",
        (seen.obv - seen.obv_mean_20) / seen.volume_mean_20 / 4,
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


def _ranges(seen: Indicators, difference: float) -> float:
    """Return a difference of prices in average true ranges; 0 where nothing moves."""
    if seen.atr_14 is None or max(seen.atr_14, abs(difference)) <= FLAT * seen.close:
        return 0.0
    return difference / max(seen.atr_14, FLAT * seen.close)


def _signal(name: Strategy, pull: float, *, up: str, flat: str, down: str, facts: tuple[str, ...]) -> Signal:
    """Make the signal of a pull of any size: 1 is half strength, and no pull is full strength."""
    pull = 0.0 if abs(pull) < FLAT else pull
    # Not tanh, whose last digit differs between machines.
    strength = abs(pull) / (1 + abs(pull))
    if pull == 0:
        return Signal(name, 0, 0.0, flat, facts)
    return Signal(name, 1, strength, up, facts) if pull > 0 else Signal(name, -1, strength, down, facts)
