"""Whether the values of one bar are possible, and what is slightly wrong with them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from supernova_ai.advisor.bar_formats import RawBar
from supernova_ai.advisor.bar_values import DecimalMark, is_missing, read_number
from supernova_ai.characters import quoted

_MAX_PRICE, _MAX_VOLUME = 1e15, 1e18  # larger values lose their digits in computations
_TOLERANCE = 1e-9  # relative rounding error of an open or close
_CLIPPED = 0.005  # how far outside of high and low an open or close may be, relative to them


class WrongBar(Exception):
    """What is wrong with a bar, and what would be right."""

    def __init__(self, problem: str, right: str) -> None:
        super().__init__(problem)
        self.problem, self.right = problem, right


class Prices(NamedTuple):
    """The checked values of a bar, without its time."""

    open: float
    high: float
    low: float
    close: float
    volume: float | None


def check_time(raw: RawBar, moment: datetime | None) -> datetime:
    """Return the time that was read, unless it is None.

    Raises:
        WrongBar: it is.
    """
    if moment is None:
        units = "seconds, milliseconds, microseconds or nanoseconds"
        right = f"give ISO text such as 2026-11-20, a datetime, a date, or {units} since 1970"
        raise WrongBar(f"its time is {quoted(raw.time)}", right)
    return moment


def check_prices(raw: RawBar, mark: DecimalMark, *, clip: bool) -> tuple[Prices, list[str]]:
    """Return the prices and volume of a bar, and what was clipped.

    Args:
        raw: the values as given.
        mark: the decimal mark of text.
        clip: move an open or close that is slightly outside of high and low to them.

    Raises:
        WrongBar: a value is impossible.
    """
    prices = {name: _check_price(name, getattr(raw, name), mark) for name in ("open", "high", "low", "close")}
    low, high = prices["low"], prices["high"]
    if high < low:
        raise WrongBar(f"high {high:.10g} is below low {low:.10g}", "they may be swapped")
    clipped = []
    for name in ("open", "close"):
        value, nearest = prices[name], min(max(prices[name], low), high)
        if abs(value - nearest) <= _TOLERANCE * nearest:
            continue
        span = f"low {low:.10g} and high {high:.10g}"
        if not clip or abs(value - nearest) > _CLIPPED * nearest:
            raise WrongBar(f"{name} is {value:.10g}", f"it must be between {span}")
        prices[name] = nearest
        clipped.append(f"{name} was {value:.10g}, not between {span}; set to {nearest:.10g}")
    return Prices(**prices, volume=_check_volume(raw.volume, mark)), clipped


def _check_price(name: str, raw: Any, mark: DecimalMark) -> float:
    price = read_number(raw, mark)
    if price is not None and price <= 0:  # as of oil on 2020-04-20
        reason = "because changes in percent and volatility have no meaning at zero or below"
        raise WrongBar(f"{name} is {quoted(raw)}", f"it must be a price above zero, {reason}")
    if price is None or not price <= _MAX_PRICE:
        raise WrongBar(
            f"{name} is {quoted(raw)}", f"it must be a price above zero, and at most {_MAX_PRICE:g}"
        )
    return price


def _check_volume(raw: Any, mark: DecimalMark) -> float | None:
    if is_missing(raw):
        return None
    volume = read_number(raw, mark)
    if volume is None or not 0 <= volume <= _MAX_VOLUME:
        right = f"it must be zero or more, or missing, and at most {_MAX_VOLUME:g}"
        raise WrongBar(f"volume is {quoted(raw)}", right)
    return volume
