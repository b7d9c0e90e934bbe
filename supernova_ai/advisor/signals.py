"""The strategies: each makes a signal from the indicators, or none if the bars are too few.

Price differences are measured in average true ranges, so a signal does not depend on the currency, the scale
or the volatility of the asset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal, NamedTuple

from supernova_ai.advisor.indicators import FLAT, Indicators
from supernova_ai.config.advice import AdviceRules, AssetClass, Strategy

Direction = Literal[-1, 0, 1]
"""The direction of a signal: 1 up, −1 down, 0 neither."""

Horizon = Literal["short", "medium", "long"]
"""How long the client means to hold the asset."""


class LookBack(NamedTuple):
    """The two averages that are compared, and the number of bars of the momentum."""

    fast: str
    slow: str
    momentum: int


LOOK_BACKS: Mapping[Horizon, LookBack] = {
    "short": LookBack("ema_12", "ema_26", 20),
    "medium": LookBack("sma_20", "sma_50", 63),
    "long": LookBack("sma_50", "sma_200", 200),
}
"""What the signals of a trend look back on, by the horizon."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The result of one strategy. ``strength`` is 0 to 1; ``facts`` are the ids of the facts behind it.

    ``slots`` is its statement; in an assessment, ``reason`` is the same with the slots filled in.
    """

    name: Strategy
    direction: Direction
    strength: float
    slots: str
    facts: tuple[str, ...]
    reason: str = ""

    @property
    def value(self) -> float:
        """Direction and strength as one number, −1 to 1."""
        return self.direction * self.strength


Evaluate = Callable[[Indicators, AdviceRules, AssetClass, LookBack], Signal | None]
"""A strategy; it returns None if the bars are too few."""


def ma_cross(indicators: Indicators, _: AdviceRules, __: AssetClass, look_back: LookBack) -> Signal | None:
    """Point up if the fast average is above the slow one, down if below; needs 50 bars, or 26, or 200."""
    fast: float | None = getattr(indicators, look_back.fast)
    slow: float | None = getattr(indicators, look_back.slow)
    if fast is None or slow is None:
        return None
    statement = f"{{{look_back.fast}.vs.{look_back.slow}}}"
    return _signal("ma_cross", _ranges(indicators, fast - slow), statement, look_back[:2])


def rsi_reversion(
    indicators: Indicators, rules: AdviceRules, asset_class: AssetClass, _: LookBack
) -> Signal | None:
    """Point up if the RSI is oversold, down if it is overbought; needs 15 bars."""
    if indicators.rsi_14 is None:
        return None
    low, high = rules.rsi[asset_class]
    beyond = min(0.0, indicators.rsi_14 - low) / low + max(0.0, indicators.rsi_14 - high) / (100 - high)
    return _signal("rsi_reversion", -3 * beyond, "{rsi_14.is}", ("rsi_14",))


def macd(indicators: Indicators, _: AdviceRules, __: AssetClass, ___: LookBack) -> Signal | None:
    """Point up if the MACD is above its signal line, down if below; needs 34 bars."""
    if indicators.macd_histogram is None:
        return None
    pull = 4 * _ranges(indicators, indicators.macd_histogram)
    return _signal("macd", pull, "{macd.vs.macd_signal}", ("macd", "macd_signal"))


def bollinger(indicators: Indicators, _: AdviceRules, __: AssetClass, ___: LookBack) -> Signal | None:
    """Point back to the middle if the close is outside the Bollinger bands; needs 20 bars."""
    if indicators.bollinger_b is None:
        return None
    beyond = min(0.0, indicators.bollinger_b) + max(0.0, indicators.bollinger_b - 1)
    facts = ("close", "bollinger_lower", "bollinger_upper")
    return _signal("bollinger", -8 * beyond, "{bollinger_b.is}", facts)


def breakout(indicators: Indicators, _: AdviceRules, __: AssetClass, ___: LookBack) -> Signal | None:
    """Point up if the close is above the 20 bars before, down if below; needs 21 bars."""
    if indicators.high_20 is None or indicators.low_20 is None:
        return None
    beyond = min(0.0, indicators.close - indicators.low_20) + max(0.0, indicators.close - indicators.high_20)
    statement = "{close.vs.low_20}" if beyond < 0 else "{close.vs.high_20}"
    return _signal("breakout", 4 * _ranges(indicators, beyond), statement, ("close", "low_20", "high_20"))


def momentum(indicators: Indicators, _: AdviceRules, __: AssetClass, look_back: LookBack) -> Signal | None:
    """Point in the direction of the price over 63 bars, or 20, or 200; needs 64 bars, or 21, or 201."""
    name = f"change_{look_back.momentum}"
    change: float | None = getattr(indicators, name)
    if change is None:
        return None
    # Random movement grows with the root of the time.
    usual = 4 * sqrt(look_back.momentum / 63)
    pull = _ranges(indicators, indicators.close - indicators.close / (1 + change)) / usual
    return _signal("momentum", pull, f"{{{name}.move}}", (name,))


def volume(indicators: Indicators, _: AdviceRules, __: AssetClass, ___: LookBack) -> Signal | None:
    """Point up if the on-balance volume is above its mean, down if below; needs 20 bars with volume."""
    if indicators.obv is None or indicators.obv_mean_20 is None or not indicators.volume_mean_20:
        return None
    pull = (indicators.obv - indicators.obv_mean_20) / indicators.volume_mean_20 / 4
    return _signal("volume", pull, "{obv.vs.obv_mean_20}", ("obv", "obv_mean_20"))


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


def _signal(name: Strategy, pull: float, statement: str, facts: tuple[str, ...]) -> Signal:
    """Make a signal from a pull of any size: a pull of 1 is half strength, no pull is full strength."""
    if abs(pull) < FLAT:
        return Signal(name, 0, 0.0, statement, facts)
    # Not tanh: its last digit differs between machines.
    return Signal(name, 1 if pull > 0 else -1, abs(pull) / (1 + abs(pull)), statement, facts)
