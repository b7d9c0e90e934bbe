"""The indicators: talipp computes most of them, and this module the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from math import log, sqrt
from statistics import fmean, stdev
from typing import Any

from supernova_ai.advisor.bars import Bar

FLAT = 1e-9
"""A smaller movement, relative to the price, is a rounding error."""

_YEAR = timedelta(days=365.25)


@dataclass(frozen=True, slots=True)
class Indicators:
    """The indicators after the last bar; None if the bars are too few, or have no volume.

    The number in a name is its number of bars. Prices are in the currency of the bars. ``change_…``,
    ``drawdown``, ``bollinger_width`` and ``volatility_20`` (annualised) are fractions: 0.12 is 12 %.
    """

    close: float
    change_1: float | None
    change_10: float | None
    change_20: float | None
    change_63: float | None
    sma_20: float | None
    sma_50: float | None
    sma_200: float | None
    ema_12: float | None
    ema_26: float | None
    rsi_14: float | None
    macd: float | None
    macd_signal: float | None
    macd_histogram: float | None
    bollinger_upper: float | None
    bollinger_middle: float | None
    bollinger_lower: float | None
    bollinger_b: float | None
    bollinger_width: float | None
    atr_14: float | None
    adx_14: float | None
    plus_di_14: float | None
    minus_di_14: float | None
    high_20: float | None
    low_20: float | None
    obv: float | None
    obv_mean_20: float | None
    volume_mean_20: float | None
    volume_ratio: float | None
    volatility_20: float | None
    drawdown: float
    max_drawdown: float


def compute(bars: Sequence[Bar]) -> Indicators:
    """Compute every indicator after the last of at least 2 bars, oldest first.

    RSI, ATR and ADX are Wilder's; MACD is (12, 26, 9), Bollinger bands (20, 2). ``high_20`` and ``low_20``
    are the extremes of the 20 bars before the last. If the price never moved, the RSI is 50 and %b is 0.5.
    The volatility is the standard deviation of the last 20 logarithmic changes, times the square root of the
    bars per year, which follow from the times of the bars.
    """
    from talipp import indicators as talipp  # here, because importing it is slow

    closes = [bar.close for bar in bars]
    rsi = talipp.RSI(14, closes)
    macd = talipp.MACD(12, 26, 9, closes)[-1]
    bands = talipp.BB(20, 2, closes)[-1]
    adx = talipp.ADX(14, 14, bars)[-1]
    before = bars[-21:-1] if len(bars) > 20 else []
    highest, deepest = closes[0], 0.0
    for close in closes:
        highest = max(highest, close)
        deepest = max(deepest, 1 - close / highest)
    return Indicators(
        close=closes[-1],
        change_1=_change(closes, 1),
        change_10=_change(closes, 10),
        change_20=_change(closes, 20),
        change_63=_change(closes, 63),
        sma_20=talipp.SMA(20, closes)[-1],
        sma_50=talipp.SMA(50, closes)[-1],
        sma_200=talipp.SMA(200, closes)[-1],
        ema_12=talipp.EMA(12, closes)[-1],
        ema_26=talipp.EMA(26, closes)[-1],
        # talipp returns 100 if there was no loss, even if there was no gain either.
        rsi_14=50.0 if rsi[-1] and rsi.avg_gain[-1] == rsi.avg_loss[-1] == 0 else rsi[-1],
        macd=macd and macd.macd,
        macd_signal=macd and macd.signal,
        macd_histogram=macd and macd.histogram,
        bollinger_upper=bands and bands.ub,
        bollinger_middle=bands and bands.cb,
        bollinger_lower=bands and bands.lb,
        bollinger_b=bands and _percent_b(closes[-1], bands.lb, bands.ub),
        bollinger_width=bands and (bands.ub - bands.lb) / bands.cb,
        atr_14=talipp.ATR(14, bars)[-1],
        adx_14=adx and adx.adx,
        plus_di_14=adx and adx.plus_di,
        minus_di_14=adx and adx.minus_di,
        high_20=max((bar.high for bar in before), default=None),
        low_20=min((bar.low for bar in before), default=None),
        **_volume_indicators(bars),
        volatility_20=_volatility(bars),
        drawdown=1 - closes[-1] / highest,
        max_drawdown=deepest,
    )


def _change(closes: Sequence[float], back: int) -> float | None:
    return closes[-1] / closes[-1 - back] - 1 if len(closes) > back else None


def _percent_b(close: float, low: float, high: float) -> float:
    """Return the position of the close between the bands: 0 at the lower, 1 at the upper."""
    return (close - low) / (high - low) if high - low > FLAT * close else 0.5


def _volume_indicators(bars: Sequence[Bar]) -> dict[str, Any]:
    from talipp import indicators as talipp

    volumes = [bar.volume for bar in bars if bar.volume is not None]
    if len(volumes) < len(bars) or not any(volumes):  # unknown, or always zero as in fx feeds
        return dict.fromkeys(("obv", "obv_mean_20", "volume_mean_20", "volume_ratio"))
    obv = list(talipp.OBV(bars))
    mean = fmean(volumes[-20:]) if len(bars) >= 20 else None
    return {
        "obv": obv[-1],
        "obv_mean_20": fmean(obv[-20:]) if len(bars) >= 20 else None,
        "volume_mean_20": mean,
        "volume_ratio": volumes[-1] / mean if mean else None,
    }


def _volatility(bars: Sequence[Bar]) -> float | None:
    if len(bars) <= 20:
        return None
    bars_per_year = (len(bars) - 1) * (_YEAR / (bars[-1].time - bars[0].time))
    changes = [log(after.close / before.close) for before, after in pairwise(bars[-21:])]
    return stdev(changes) * sqrt(bars_per_year)
