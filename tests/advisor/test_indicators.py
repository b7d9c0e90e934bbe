"""Indicators agree with TA-Lib to nine digits, and are defined for short and for flat series."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import log, sqrt
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
import talib

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import Bar
from supernova_ai.advisor.indicators import Indicators, IndicatorSeries, compute
from tests.advisor import sample_advice

SAMPLE = sample_advice.SAMPLE.bars

SEEDED = ("macd", "macd_signal", "macd_histogram", "atr_14", "adx_14", "plus_di_14", "minus_di_14")
"""TA-Lib starts these from other values (docs/signals.md); the difference shrinks with each bar."""


def oracle(bars: Any) -> dict[str, float]:
    """Return TA-Lib's indicators."""
    high, low, close, volume = (
        np.array([getattr(bar, name) for bar in bars], dtype=float)
        for name in ("high", "low", "close", "volume")
    )
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    series = {
        "change_1": talib.ROCP(close, 1),
        "change_10": talib.ROCP(close, 10),
        "change_20": talib.ROCP(close, 20),
        "change_63": talib.ROCP(close, 63),
        "change_200": talib.ROCP(close, 200),
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "sma_200": talib.SMA(close, 200),
        "ema_12": talib.EMA(close, 12),
        "ema_26": talib.EMA(close, 26),
        "rsi_14": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "bollinger_b": (close - lower) / (upper - lower),
        "bollinger_width": (upper - lower) / middle,
        "atr_14": talib.ATR(high, low, close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14),
        "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "high_20": talib.MAX(high[:-1], 20),
        "low_20": talib.MIN(low[:-1], 20),
        "obv": talib.OBV(close, volume),
        "obv_mean_20": talib.SMA(talib.OBV(close, volume), 20),
        "volume_mean_20": talib.SMA(volume, 20),
        "volume_ratio": volume / talib.SMA(volume, 20),
        "volatility_20": talib.STDDEV(np.log(close[1:] / close[:-1]), 20) * sqrt(20 / 19) * per_year(bars),
    }
    return {name: float(values[-1]) for name, values in series.items()}


def per_year(bars: Any) -> float:
    days = (bars[-1].time - bars[0].time).days
    return sqrt((len(bars) - 1) * 365.25 / days)


def deviations(bars: Any) -> dict[str, float]:
    """Return each indicator's deviation from TA-Lib's, relative to it or to the terms of a difference."""
    found, expected = asdict(compute(bars)), oracle(bars)
    of = {"change": 1.0, "bollinger": 1.0, "macd": bars[-1].close, "obv": bars[-1].volume}
    return {
        name: abs(found[name] - value) / max(abs(value), of.get(name.split("_")[0], 0.0))
        for name, value in expected.items()
    }


@pytest.mark.parametrize("length", [400, 777])
def test_indicators_agree_with_talib(seed: int, length: int) -> None:
    """On random series every indicator agrees to 1e-9."""
    for number in range(3):
        found = deviations(walk((seed, number), length, drift=0.0005))
        assert {name: error for name, error in found.items() if error > 1e-9} == {}


def test_indicators_agree_with_talib_on_the_sample() -> None:
    """On the 250 bars of the sample they agree to 1e-9, or to 1e-6 if TA-Lib starts from other values."""
    found = deviations(SAMPLE)
    assert {name: error for name, error in found.items() if error > 1e-9 and name not in SEEDED} == {}
    assert max(found[name] for name in SEEDED) < 1e-6


@pytest.mark.parametrize("length", [34, 64, 201])
def test_short_series_follow_the_textbook(seed: int, length: int) -> None:
    """From its first value on, each indicator follows its textbook definition."""
    bars = walk((seed, "short"), length)
    closes = [bar.close for bar in bars]
    ranges = [bars[0].high - bars[0].low] + [
        max(bar.high, before.close) - min(bar.low, before.close) for before, bar in pairwise(bars)
    ]
    ups = [max(0.0, b - a) for a, b in pairwise(closes)]
    downs = [max(0.0, a - b) for a, b in pairwise(closes)]
    fast, slow = smooth(closes, 12, 2 / 13), smooth(closes, 26, 2 / 27)
    macd = [one - other for one, other in zip(fast[-len(slow) :], slow, strict=True)]
    found = compute(bars)
    assert found.atr_14 == pytest.approx(smooth(ranges, 14, 1 / 14)[-1], rel=1e-9)
    gain, loss = smooth(ups, 14, 1 / 14)[-1], smooth(downs, 14, 1 / 14)[-1]
    assert found.rsi_14 == pytest.approx(100 * gain / (gain + loss), rel=1e-9)
    assert found.ema_26 == pytest.approx(slow[-1], rel=1e-9)
    assert found.macd == pytest.approx(macd[-1], rel=1e-9)
    assert found.macd_signal == pytest.approx(smooth(macd, 9, 0.2)[-1], rel=1e-9)
    plus, minus = directional(bars, ranges)
    index = [100 * abs(p - m) / (p + m) for p, m in zip(plus, minus, strict=True)]
    assert found.plus_di_14 == pytest.approx(plus[-1], rel=1e-9)
    assert found.minus_di_14 == pytest.approx(minus[-1], rel=1e-9)
    assert found.adx_14 == pytest.approx(smooth(index, 14, 1 / 14)[-1], rel=1e-9)


def smooth(values: list[float], first: int, share: float) -> list[float]:
    """Smooth exponentially, starting with the mean of the first values."""
    made = [fmean(values[:first])]
    for value in values[first:]:
        made.append(made[-1] + share * (value - made[-1]))
    return made


def directional(bars: list[Bar], ranges: list[float]) -> tuple[list[float], list[float]]:
    ups, downs = [], []
    for before, bar in pairwise(bars):
        up, down = bar.high - before.high, before.low - bar.low
        ups.append(up if up > max(down, 0) else 0.0)
        downs.append(down if down > max(up, 0) else 0.0)
    wide = smooth(ranges, 14, 1 / 14)[1:]
    return tuple(  # type: ignore[return-value]
        [100 * move / width for move, width in zip(smooth(moves, 14, 1 / 14), wide, strict=True)]
        for moves in (ups, downs)
    )


def test_a_series_gives_each_bar_what_its_bars_alone_give(seed: int) -> None:
    """The indicators after a bar are the same, to the last digit, with and without later bars."""
    walked = walk((seed, "series"), 260)
    flat = [replace(bar, open=9.0, high=9.0, low=9.0, close=9.0, volume=0.0) for bar in walked[:40]]
    unknown = [replace(bar, volume=None if 50 <= at < 60 else bar.volume) for at, bar in enumerate(walked)]
    for bars in (walked, [*flat, *walked[40:]], unknown):
        series = IndicatorSeries(bars)
        for end in (2, 14, 15, 21, 35, 41, 51, 65, 201, *random.Random(seed).sample(range(2, 261), 20)):
            assert series.after(end - 1) == compute(bars[:end])


def test_indicators_of_short_series_are_none() -> None:
    """Each indicator is None until it has enough bars."""
    least = {
        "change_1": 2,
        "change_10": 11,
        "change_20": 21,
        "change_63": 64,
        "change_200": 201,
        "sma_20": 20,
        "sma_50": 50,
        "sma_200": 200,
        "ema_12": 12,
        "ema_26": 26,
        "rsi_14": 15,
        "macd": 26,
        "macd_signal": 34,
        "macd_histogram": 34,
        "bollinger_upper": 20,
        "bollinger_middle": 20,
        "bollinger_lower": 20,
        "bollinger_b": 20,
        "bollinger_width": 20,
        "atr_14": 14,
        "adx_14": 28,
        "plus_di_14": 15,
        "minus_di_14": 15,
        "high_20": 21,
        "low_20": 21,
        "obv_mean_20": 20,
        "volume_mean_20": 20,
        "volume_ratio": 20,
        "volatility_20": 21,
    }
    always = {"close", "obv", "drawdown", "max_drawdown"}
    assert set(least) | always == {field.name for field in dataclasses.fields(Indicators)}
    for length in sorted({*least.values(), *(count - 1 for count in least.values() if count > 2)}):
        found = asdict(compute(SAMPLE[:length]))
        assert {name for name, value in found.items() if value is not None} == always | {
            name for name, count in least.items() if count <= length
        }


@pytest.mark.parametrize("price", [0.1, 3.0, 1e-7, 12345.678])
def test_a_flat_series_is_neither_high_nor_low(price: float) -> None:
    """If nothing ever moved, the RSI is 50, %b is 0.5, and measures of movement are 0."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    bars = [Bar(start + timedelta(days=i), price, price, price, price, 10) for i in range(250)]
    found = compute(bars)
    assert (found.rsi_14, found.bollinger_b) == (50, 0.5)
    assert (found.atr_14, found.adx_14, found.volatility_20) == (0, 0, 0)
    assert (found.change_63, found.drawdown, found.max_drawdown) == (0, 0, 0)
    assert found.macd_histogram == pytest.approx(0, abs=1e-12 * price)


def test_series_of_gains_has_an_rsi_of_100() -> None:
    """A series that only rises is not treated as flat."""
    bars = [
        replace(bar, open=p, high=p, low=p, close=p) for bar, p in zip(SAMPLE, range(1, 251), strict=True)
    ]
    assert compute(bars).rsi_14 == 100


def test_volume_indicators_need_volume() -> None:
    """They are None if one bar has no volume, or if no bar traded."""
    names = ("obv", "obv_mean_20", "volume_mean_20", "volume_ratio")
    one_unknown = [replace(SAMPLE[0], volume=None), *SAMPLE[1:]]
    for bars in (one_unknown, [replace(bar, volume=0.0) for bar in SAMPLE]):
        assert {getattr(compute(bars), name) for name in names} == {None}
    recent_zero = [*SAMPLE[:-20], *(replace(bar, volume=0.0) for bar in SAMPLE[-20:])]
    assert (compute(recent_zero).volume_mean_20, compute(recent_zero).volume_ratio) == (0, None)


def test_volatility_is_annualised_by_the_spacing(seed: int) -> None:
    """Hourly changes give a higher volatility than the same daily changes; a year has about 261 weekdays."""
    bars = walk(seed, 262)
    changes = [log(b.close / a.close) for a, b in zip(bars[-21:], bars[-20:], strict=False)]
    daily = compute(bars).volatility_20
    assert daily == pytest.approx(stdev(changes) * sqrt(261), rel=0.01)
    hours = [replace(bar, time=bars[0].time + i * timedelta(hours=1)) for i, bar in enumerate(bars)]
    assert compute(hours).volatility_20 == pytest.approx(stdev(changes) * sqrt(365.25 * 24), rel=1e-9)


def test_drawdowns_are_from_the_highest_close_before() -> None:
    """100, 120, 90, 110: the deepest drawdown is a quarter, the current one a twelfth."""
    bars = [
        replace(bar, close=close) for bar, close in zip(SAMPLE, (100.0, 120.0, 90.0, 110.0), strict=False)
    ]
    assert compute(bars).max_drawdown == 0.25
    assert compute(bars).drawdown == pytest.approx(1 / 12)


def test_indicators_do_not_depend_on_random_numbers() -> None:
    """The same bars give the same indicators for any random seed."""
    before = compute(SAMPLE)
    random.seed(1)
    assert compute(SAMPLE) == before
