"""The facts of an asset: what the request and the bars say, and every indicator."""

from __future__ import annotations

from collections.abc import Iterator

from supernova_ai.advisor.bars import History
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.advisor.indicators import Indicators

_INDICATORS: dict[str, tuple[str, Unit, str]] = {
    "close": ("Close", "price", "the close of the last bar"),
    "change_1": ("Change over the last bar", "percent", "the last close over the one before"),
    "change_10": ("Change over 10 bars", "percent", "the last close over the close 10 bars before"),
    "change_20": ("Change over 20 bars", "percent", "the last close over the close 20 bars before"),
    "change_63": ("Change over 63 bars", "percent", "the last close over the close 63 bars before"),
    "sma_20": ("SMA (20)", "price", "the mean of the last 20 closes"),
    "sma_50": ("SMA (50)", "price", "the mean of the last 50 closes"),
    "sma_200": ("SMA (200)", "price", "the mean of the last 200 closes"),
    "ema_12": ("EMA (12)", "price", "the exponential average of the closes over 12 bars"),
    "ema_26": ("EMA (26)", "price", "the exponential average of the closes over 26 bars"),
    "rsi_14": ("RSI (14)", "count", "Wilder's RSI over the last 14 changes"),
    "macd": ("MACD", "price", "EMA (12) less EMA (26)"),
    "macd_signal": ("MACD signal line", "price", "the exponential average of the MACD over 9 bars"),
    "macd_histogram": ("MACD histogram", "price", "the MACD less its signal line"),
    "bollinger_upper": ("Upper Bollinger band", "price", "SMA (20) and twice the deviation of 20 closes"),
    "bollinger_middle": ("Middle Bollinger band", "price", "the mean of the last 20 closes"),
    "bollinger_lower": ("Lower Bollinger band", "price", "SMA (20) less twice the deviation of 20 closes"),
    "bollinger_b": ("Bollinger %b", "ratio", "the close between the bands: 0 at the lower, 1 at the upper"),
    "bollinger_width": ("Bollinger band width", "percent", "the distance of the bands over SMA (20)"),
    "atr_14": ("ATR (14)", "price", "Wilder's average true range over 14 bars"),
    "adx_14": ("ADX (14)", "count", "Wilder's average directional index over 14 bars"),
    "plus_di_14": ("+DI (14)", "count", "Wilder's upward directional indicator over 14 bars"),
    "minus_di_14": ("-DI (14)", "count", "Wilder's downward directional indicator over 14 bars"),
    "high_20": ("20-bar high", "price", "the highest high of the 20 bars before the last"),
    "low_20": ("20-bar low", "price", "the lowest low of the 20 bars before the last"),
    "obv": ("On-balance volume", "count", "the volume of rising bars less that of falling bars"),
    "obv_mean_20": ("Mean on-balance volume (20)", "count", "its mean over 20 bars"),
    "volume_mean_20": ("Mean volume (20)", "count", "the mean volume of 20 bars"),
    "volume_ratio": ("Volume ratio", "ratio", "the last volume over the mean of 20 bars"),
    "volatility_20": ("Volatility, annualised", "percent", "the deviation of the last 20 changes"),
    "drawdown": ("Drawdown", "percent", "how far the last close is below the highest"),
    "max_drawdown": ("Deepest drawdown", "percent", "the furthest that a close was below the highest before"),
}
"""The label, unit and source of each indicator's fact."""


def asset_facts(
    symbol: str, asset_class: str, history: History, indicators: Indicators, currency: str = "USD"
) -> Iterator[Fact]:
    """Yield the facts of the request, of the bars and of every indicator that has a value."""
    first, last = history.bars[0].time.date(), history.bars[-1].time.date()
    yield Fact("symbol", "Symbol", symbol, "text", "the request")
    yield Fact("asset_class", "Asset class", asset_class, "text", "the request")
    yield Fact("bars", "Bar count", len(history.bars), "count", "the bars given")
    yield Fact("first_date", "First bar", first, "date", "the bars given")
    yield Fact("last_date", "Last bar", last, "date", "the bars given")
    if history.unfinished:
        moment = history.unfinished.date()
        yield Fact("unfinished_date", "Unfinished bar, left out", moment, "date", "the bars given")
    if history.gaps:
        before, after = max(history.gaps, key=lambda gap: gap[1] - gap[0])
        yield Fact("gaps", "Gaps", len(history.gaps), "count", "the bars given")
        yield Fact("gap_from", "Last bar before the longest gap", before.date(), "date", "the bars given")
        yield Fact("gap_to", "First bar after the longest gap", after.date(), "date", "the bars given")
    for name, (label, unit, source) in _INDICATORS.items():
        value: float | None = getattr(indicators, name)
        if value is not None:
            # Indicators that are percentages are fractions.
            yield Fact(name, label, value * 100 if unit == "percent" else value, unit, source, currency)
    if indicators.atr_14 is not None:
        percent = indicators.atr_14 / indicators.close * 100
        yield Fact("atr_percent", "ATR percent (14)", percent, "percent", "ATR (14) over the close", currency)
