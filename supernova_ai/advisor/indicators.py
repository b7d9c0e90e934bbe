"""The indicators: talipp computes most of them, and this module the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
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
    change_200: float | None
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
    """Compute every indicator after the last of at least 2 bars, oldest first; see ``IndicatorSeries``."""
    return IndicatorSeries(bars).after(len(bars) - 1)


class IndicatorSeries:
    """The indicators after each bar of a series; those after a bar do not depend on later bars.

    RSI, ATR and ADX are Wilder's; MACD is (12, 26, 9), Bollinger bands (20, 2). ``high_20`` and ``low_20``
    are the extremes of the 20 bars before the last. If the price never moved, the RSI is 50 and %b is 0.5.
    The volatility is the standard deviation of the last 20 logarithmic changes, times the square root of the
    bars per year, which follow from the times of the bars.

    Args:
        bars: at least 2, oldest first.
    """

    def __init__(self, bars: Sequence[Bar]) -> None:
        from talipp import indicators as talipp  # here, because importing it is slow

        self._bars = bars
        self._closes = closes = [bar.close for bar in bars]
        # talipp adds one bar after the other, so that its value after a bar is known at that bar.
        # MACD, the bands and ADX compute the means and the ATR that they need: each is computed once.
        self._macd = talipp.MACD(12, 26, 9, closes)
        self._ema_12, self._ema_26 = self._macd.ma_fast, self._macd.ma_slow
        self._bands = talipp.BB(20, 2, closes)
        self._means = {20: self._bands.central_band, **{n: talipp.SMA(n, closes) for n in (50, 200)}}
        self._rsi = talipp.RSI(14, closes)
        self._adx = talipp.ADX(14, 14, bars)
        self._atr = self._adx.atr
        known = next((number for number, bar in enumerate(bars) if bar.volume is None), len(bars))
        self._volumes = [bar.volume or 0.0 for bar in bars[:known]]
        self._obv = list(talipp.OBV(bars[:known]))
        self._first_volume = next((number for number, bar in enumerate(bars) if bar.volume), len(bars))
        self._highest = list(accumulate(closes, max))
        drawdowns = (1 - close / highest for close, highest in zip(closes, self._highest, strict=True))
        self._deepest = list(accumulate(drawdowns, max))

    def after(self, number: int) -> Indicators:
        """Return the indicators after the bar with this number, counted from 0; it is at least 1."""
        closes, end = self._closes, number + 1
        macd, bands, adx = self._macd[number], self._bands[number], self._adx[number]
        before = self._bars[number - 20 : number] if number >= 20 else ()
        return Indicators(
            close=closes[number],
            change_1=self._change(number, 1),
            change_10=self._change(number, 10),
            change_20=self._change(number, 20),
            change_63=self._change(number, 63),
            change_200=self._change(number, 200),
            sma_20=self._means[20][number],
            sma_50=self._means[50][number],
            sma_200=self._means[200][number],
            ema_12=self._ema_12[number],
            ema_26=self._ema_26[number],
            rsi_14=self._rsi_after(number),
            macd=macd and macd.macd,
            macd_signal=macd and macd.signal,
            macd_histogram=macd and macd.histogram,
            bollinger_upper=bands and bands.ub,
            bollinger_middle=bands and bands.cb,
            bollinger_lower=bands and bands.lb,
            bollinger_b=bands and _percent_b(closes[number], bands.lb, bands.ub),
            bollinger_width=bands and (bands.ub - bands.lb) / bands.cb,
            atr_14=self._atr[number],
            adx_14=adx and adx.adx,
            plus_di_14=adx and adx.plus_di,
            minus_di_14=adx and adx.minus_di,
            high_20=max((bar.high for bar in before), default=None),
            low_20=min((bar.low for bar in before), default=None),
            **self._volume_indicators(end),
            volatility_20=self._volatility(number),
            drawdown=1 - closes[number] / self._highest[number],
            max_drawdown=self._deepest[number],
        )

    def _change(self, number: int, back: int) -> float | None:
        return self._closes[number] / self._closes[number - back] - 1 if number >= back else None

    def _rsi_after(self, number: int) -> float | None:
        rsi: float | None = self._rsi[number]
        back = number - len(self._closes)  # the means begin later than the series: count from their end
        # talipp returns 100 if there was no loss, even if there was no gain either.
        return 50.0 if rsi and self._rsi.avg_gain[back] == self._rsi.avg_loss[back] == 0 else rsi

    def _volume_indicators(self, end: int) -> dict[str, Any]:
        # Unknown, or always zero as in fx feeds.
        if end > len(self._volumes) or end <= self._first_volume:
            return dict.fromkeys(("obv", "obv_mean_20", "volume_mean_20", "volume_ratio"))
        enough = end >= 20
        mean = fmean(self._volumes[end - 20 : end]) if enough else None
        return {
            "obv": self._obv[end - 1],
            "obv_mean_20": fmean(self._obv[end - 20 : end]) if enough else None,
            "volume_mean_20": mean,
            "volume_ratio": self._volumes[end - 1] / mean if mean else None,
        }

    def _volatility(self, number: int) -> float | None:
        if number < 20:
            return None
        per_year = bars_per_year(self._bars[0].time, self._bars[number].time, number)
        last = self._closes[number - 20 : number + 1]
        return stdev([log(after / before) for before, after in pairwise(last)]) * sqrt(per_year)


def bars_per_year(first: datetime, last: datetime, count: int) -> float:
    """Return the bars per year, from the times of two bars and the number of bars from one to the other."""
    return count * (_YEAR / (last - first))


def _percent_b(close: float, low: float, high: float) -> float:
    """Return the position of the close between the bands: 0 at the lower, 1 at the upper."""
    return (close - low) / (high - low) if high - low > FLAT * close else 0.5
