"""What is computed from bars: talipp's indicators, and what it has not."""

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
"""Relative to the price: what moves less has not moved, whatever rounding made of it."""

_YEAR = timedelta(days=365.25)


@dataclass(frozen=True, slots=True)
class Indicators:
    """The indicators after the last bar; None where the bars are too few for one, or have no volume.

    The number in a name is how many bars it looks back. Prices are in the bars' own currency. ``change_…``,
    ``drawdown``, ``bollinger_width`` and ``volatility_20`` (annualised) are fractions; 0.12 is 12 %.
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
    """Compute every indicator after the last bar; at least 2 bars, in order.

    Wilder's RSI, ATR and ADX, MACD (12, 26, 9) and Bollinger bands (20, 2) are talipp's. ``high_20`` and
    ``low_20`` are the extremes of the 20 bars before the last. Where nothing has ever moved the RSI is 50 and
    %b is 0.5. The volatility is that of the logarithms of the last 20 changes, times the square root of the
    bars in a year, which the bars' own times tell.
    """
    from talipp import indicators as talipp  # here: importing it takes as long as this whole package

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
        # talipp says 100 where there was no loss, even if there was no gain either.
        rsi_14=50.0 if rsi[-1] and rsi.avg_gain[-1] == rsi.avg_loss[-1] == 0 else rsi[-1],
        macd=macd and macd.macd,
        macd_signal=macd and macd.signal,
        macd_histogram=macd and macd.histogram,
        bollinger_upper=bands and bands.ub,
        bollinger_middle=bands and bands.cb,
        bollinger_lower=bands and bands.lb,
        bollinger_b=bands and _place(closes[-1], bands.lb, bands.ub),
        bollinger_width=bands and (bands.ub - bands.lb) / bands.cb,
        atr_14=talipp.ATR(14, bars)[-1],
        adx_14=adx and adx.adx,
        plus_di_14=adx and adx.plus_di,
        minus_di_14=adx and adx.minus_di,
        high_20=max((bar.high for bar in before), default=None),
        low_20=min((bar.low for bar in before), default=None),
        **_volumes(bars),
        volatility_20=_volatility(bars),
        drawdown=1 - closes[-1] / highest,
        max_drawdown=deepest,
    )


def _change(closes: Sequence[float], back: int) -> float | None:
    return closes[-1] / closes[-1 - back] - 1 if len(closes) > back else None


def _place(close: float, low: float, high: float) -> float:
    """Return where the close is between the bands: 0 at the lower, 1 at the upper."""
    return (close - low) / (high - low) if high - low > FLAT * close else 0.5


def _volumes(bars: Sequence[Bar]) -> dict[str, Any]:
    from talipp import indicators as talipp

    volumes = [bar.volume for bar in bars if bar.volume is not None]
    if len(volumes) < len(bars) or not any(volumes):  # not known; or never traded, as in fx feeds
        return dict.fromkeys(("obv", "obv_mean_20", "volume_mean_20", "volume_ratio"))
    obv = list(talipp.OBV(bars))
    enough = len(bars) >= 20
    mean = fmean(volumes[-20:]) if enough else None
    return {
        "obv": obv[-1],
        "obv_mean_20": fmean(obv[-20:]) if enough else None,
        "volume_mean_20": mean,
        "volume_ratio": volumes[-1] / mean if mean else None,
    }


def _volatility(bars: Sequence[Bar]) -> float | None:
    if len(bars) <= 20:
        return None
    bars_per_year = (len(bars) - 1) * (_YEAR / (bars[-1].time - bars[0].time))
    changes = [log(after.close / before.close) for before, after in pairwise(bars[-21:])]
    return stdev(changes) * sqrt(bars_per_year)
