"""The facts of an asset: what the request and the bars say, every indicator, and the configured levels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import pairwise
from math import log
from statistics import median
from typing import Any

from supernova_ai.advisor.bars import Bar, History, period_of
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.advisor.indicators import Indicators
from supernova_ai.advisor.language import Language
from supernova_ai.config.advice import AdviceRules, AssetClass

_INDICATORS: dict[str, tuple[Unit, str | None]] = {
    "close": ("price", None),
    "change_1": ("percent", None),
    "change_10": ("percent", None),
    "change_20": ("percent", None),
    "change_63": ("percent", None),
    "change_200": ("percent", None),
    "sma_20": ("price", None),
    "sma_50": ("price", None),
    "sma_200": ("price", None),
    "ema_12": ("price", None),
    "ema_26": ("price", None),
    "rsi_14": ("count", "rsi"),
    "macd": ("price", "macd"),
    "macd_signal": ("price", "macd"),
    "macd_histogram": ("price", "macd histogram"),
    "bollinger_upper": ("price", None),
    "bollinger_middle": ("price", None),
    "bollinger_lower": ("price", None),
    "bollinger_b": ("ratio", None),
    "bollinger_width": ("percent", None),
    "atr_14": ("price", "range"),
    "adx_14": ("count", "adx"),
    "plus_di_14": ("count", "di"),
    "minus_di_14": ("count", "di"),
    "high_20": ("price", None),
    "low_20": ("price", None),
    "obv": ("count", "obv"),
    "obv_mean_20": ("count", "obv"),
    "volume_mean_20": ("count", None),
    "volume_ratio": ("ratio", None),
    "volatility_20": ("percent", "volatility"),
    "drawdown": ("percent", "drawdown"),
    "max_drawdown": ("percent", "drawdown"),
}
"""The unit and the scale of each indicator's fact."""

_AGES = (
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
)

_SPLITS = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 50)
"""Ratios of usual splits, and their reciprocals of reverse splits."""
_SPLIT_TOLERANCE, _UNUSUAL = 0.03, 8  # of the ratio; times the median change


def asset_facts(
    symbol: str,
    asset_class: AssetClass,
    history: History,
    indicators: Indicators,
    rules: AdviceRules,
    currency: str,
    texts: Language,
) -> Iterator[Fact]:
    """Yield the facts of the request, of the bars, of every indicator with a value, and the levels."""
    bar = _bar_word(history)
    decimals = price_decimals(asset_class, history)
    price: dict[str, Any] = {"as_of": history.bars[-1].time, "currency": currency, "decimals": decimals}
    fact = partial(texts.fact, bar=bar)
    yield fact("symbol", symbol)
    yield fact("asset_class", asset_class)
    yield from _bar_facts(history, bar, texts)
    if asset_class == "stock" and (jump := last_split(history.bars)):
        before, after = jump
        yield fact("split_date", after.time.date())
        yield fact("split_before", before.close, "price", **price | {"as_of": before.time})
        yield fact("split_after", after.open, "price", **price | {"as_of": after.time})
    for id_, (unit, scale) in _INDICATORS.items():
        value: float | None = getattr(indicators, id_)
        if value is not None:
            # Indicators that are percentages are fractions.
            points = value * 100 if unit == "percent" else value
            more = price if unit == "price" else {"as_of": price["as_of"]}
            yield fact(id_, points, unit, scale=scale, **more, **_period(id_, bar, texts))
    if indicators.atr_14 is not None:
        yield fact("atr_percent", indicators.atr_14 / indicators.close * 100, "percent")
    oversold, overbought = rules.rsi[asset_class]
    yield fact("rsi_oversold", oversold, "count", scale="rsi")
    yield fact("rsi_overbought", overbought, "count", scale="rsi")
    yield fact("adx_trending", rules.trending, "count", scale="adx")
    yield fact("volatility_high", rules.volatile[asset_class] * 100, "percent", scale="volatility")


def _bar_facts(history: History, bar: str, texts: Language) -> Iterator[Fact]:
    yield texts.fact("period", bar)
    yield texts.fact("bars", len(history.bars), "count")
    yield texts.fact("first_date", history.bars[0].time.date())
    last = history.bars[-1].time
    yield texts.fact("last_date", last)
    if history.unfinished:
        yield texts.fact("unfinished_date", history.unfinished)
    if history.gaps:
        before, after = max(history.gaps, key=lambda gap: gap[1] - gap[0])
        yield texts.fact("gaps", len(history.gaps), "count")
        yield texts.fact("gap_from", before)
        yield texts.fact("gap_to", after)
    if (age := history.age) is not None:
        unit, one = next(each for each in _AGES if age >= 2 * each[1])
        yield texts.fact("data_age", f"{texts.number(age // one)} {texts.periods[unit].several}")


def _period(id_: str, bar: str, texts: Language) -> dict[str, Any]:
    """Return the period of an indicator in words, and what changed if it is a change."""
    name, _, count = id_.rpartition("_")
    if not count.isdecimal():
        return {}
    words = texts.periods[bar]
    period = words.last if id_ == "change_1" else f"{count} {words.several}"
    return {"period": period, "change_of": "price" if name == "change" else None}


def price_decimals(asset_class: AssetClass, history: History) -> int:
    """Return how many decimals of the asset's prices people expect to see.

    Two for stocks, options and futures, and for whatever costs 100 or more; else as many as the closes show,
    up to five digits in all.
    """
    close = history.bars[-1].close
    if close >= 100 or (close >= 1 and asset_class in ("stock", "option", "futures")):
        return 2
    digits = f"{close:.4e}"
    most = 4 - int(digits.partition("e")[2])
    shown = max(len(f"{bar.close:.{most}f}".rstrip("0").partition(".")[2]) for bar in history.bars[-50:])
    return max(2, min(shown, most))


def last_split(bars: tuple[Bar, ...]) -> tuple[Bar, Bar] | None:
    """Return the last two bars between which the price jumped as at a split; None if it never did."""
    changes = [abs(log(after.close / before.close)) for before, after in pairwise(bars)]
    least = _UNUSUAL * median(changes)
    for before, after in reversed(list(pairwise(bars))):
        ratio = max(before.close / after.open, after.open / before.close)
        if log(ratio) > least and any(abs(ratio / one - 1) <= _SPLIT_TOLERANCE for one in _SPLITS):
            return before, after
    return None


def _bar_word(history: History) -> str:
    """Return "day" for daily bars, "hour", "week" and so on; "bar" if one bar is not one such period."""
    period = period_of([bar.time for bar in history.bars])
    return period.unit if period and period.length == 1 else "bar"
