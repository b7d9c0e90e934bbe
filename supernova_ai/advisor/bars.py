"""Bars: read from any accepted format, and checked before anything is computed from them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from io import TextIOWrapper
from itertools import pairwise
from math import isnan
from numbers import Real
from pathlib import Path
from statistics import median_low
from typing import Any

from supernova_ai.advisor.bar_formats import RawBar, raw_bars
from supernova_ai.errors import InvalidRequest
from supernova_ai.paths import MAX_CSV_BYTES, open_regular

_DAY = timedelta(days=1)
_MAX_PRICE, _MAX_VOLUME = 1e15, 1e18  # larger values lose their digits in computations
_TOLERANCE = 1e-9  # relative rounding error of an open or close
_MIN_SECONDS = 10**8  # 1973; a smaller number is probably a date such as 20261120, or a row number
_MIN_MILLISECONDS = 10**11


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices and volume of the period that begins at ``time`` (aware, UTC). Volume None: unknown."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Checked bars, oldest first.

    ``period`` is the usual time between two bars. ``gaps`` are the times of neighbours that are much further
    apart. ``unfinished`` is the time of a last bar that was left out because its period was not over.
    """

    bars: tuple[Bar, ...]
    period: timedelta
    gaps: tuple[tuple[datetime, datetime], ...] = ()
    unfinished: datetime | None = None


def read_bars(data: Any, *, now: datetime | None = None) -> History:
    """Read bars of any accepted format, and check them.

    Bars may be newest first. A time without a zone is UTC; if every time is midnight, the times are dates,
    whatever the zone. A last bar whose period is not over is left out.

    Args:
        data: dicts, ccxt rows, a pandas frame (as from yfinance or backtesting.py), or ``Bar`` objects.
        now: the time (aware) by which a bar must be over; None: the present.

    Raises:
        InvalidRequest: a value is missing or impossible; the message names the bar, counted from 0.
    """
    raws = list(raw_bars(data))
    times = [_parse_time(number, raw.time) for number, raw in enumerate(raws)]
    are_dates = all(moment.time() == time.min for moment in times)
    bars = [
        _check_bar(number, moment.replace(tzinfo=UTC) if are_dates else moment.astimezone(UTC), raw)
        for number, (moment, raw) in enumerate(zip(times, raws, strict=True))
    ]
    _check_order(bars)
    bars.sort(key=lambda bar: bar.time)
    if len(bars) < 2:
        raise InvalidRequest(f"{len(bars)} bars are too few: give at least 2, and 200 for every indicator")
    period = median_low([after.time - before.time for before, after in pairwise(bars)])
    unfinished = _unfinished(bars, period, now or datetime.now(UTC))
    finished = tuple(bars[:-1] if unfinished else bars)
    return History(finished, period, tuple(_gaps(finished, period)), unfinished)


def load_csv(path: str | Path, *, now: datetime | None = None) -> History:
    """Read bars from a CSV file whose first line names the columns; see ``read_bars``.

    Raises:
        InvalidRequest: the file cannot be read, or a bar is wrong; bar 0 is the second line.
    """
    try:
        with TextIOWrapper(open_regular(path, MAX_CSV_BYTES), "utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restkey="rest"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}. Give a UTF-8 file of bars") from error
    try:
        return read_bars(rows, now=now)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None


def _parse_time(number: int, raw: Any) -> datetime:
    try:
        moment = _read_time(raw)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        raise InvalidRequest(
            f"bar {number}: its time is {raw!r}: give ISO text such as 2026-11-20, a datetime, a date, "
            f"or seconds or milliseconds since 1970"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_time(raw: Any) -> datetime | None:
    if isinstance(raw, str):
        text = raw.strip()
        raw = int(text) if text.isdecimal() and len(text) > 8 else datetime.fromisoformat(text)
    if hasattr(raw, "to_pydatetime"):  # a pandas Timestamp; NaT is not equal to itself
        raw = raw.to_pydatetime() if raw == raw else None
    if isinstance(raw, datetime):
        return raw
    if isinstance(raw, date):
        return datetime.combine(raw, time.min)
    if isinstance(raw, Real) and (number := float(raw)) >= _MIN_SECONDS:
        return datetime.fromtimestamp(number / 1000 if number >= _MIN_MILLISECONDS else number, UTC)
    return None


def _check_bar(number: int, moment: datetime, raw: RawBar) -> Bar:
    def price(name: str, value: Any) -> float:
        parsed = _parse_number(value)
        if parsed is None or not 0 < parsed <= _MAX_PRICE:
            problem = f"{name} is {value!r}: it must be a price above zero, and at most {_MAX_PRICE:g}"
            raise _bar_error(number, moment, problem)
        return parsed

    prices = {name: price(name, getattr(raw, name)) for name in ("open", "high", "low", "close")}
    bar = Bar(moment, **prices, volume=_check_volume(number, moment, raw.volume))
    if bar.high < bar.low:
        raise _bar_error(number, moment, f"high {bar.high:g} is below low {bar.low:g}: they may be swapped")
    for name in ("open", "close"):
        if not bar.low * (1 - _TOLERANCE) <= prices[name] <= bar.high * (1 + _TOLERANCE):
            expected = f"between low {bar.low:g} and high {bar.high:g}"
            raise _bar_error(number, moment, f"{name} is {prices[name]:g}: it must be {expected}")
    return bar


def _check_volume(number: int, moment: datetime, raw: Any) -> float | None:
    if raw is None or (isinstance(raw, str) and not raw) or type(raw).__name__ == "NAType":
        return None  # NAType is pandas.NA, which raises an error when compared
    volume = _parse_number(raw)
    if volume is not None and isnan(volume):  # unknown, in a pandas frame
        return None
    if volume is None or not 0 <= volume <= _MAX_VOLUME:
        problem = f"volume is {raw!r}: it must be zero or more, or missing, and at most {_MAX_VOLUME:g}"
        raise _bar_error(number, moment, problem)
    return volume


def _parse_number(raw: Any) -> float | None:
    try:
        return None if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError, OverflowError):
        return None


def _check_order(bars: Sequence[Bar]) -> None:
    newest_first = bool(bars) and bars[-1].time < bars[0].time
    for number, (before, bar) in enumerate(pairwise(bars), 1):
        if before.time == bar.time:
            raise _bar_error(number, bar.time, f"it has the time of bar {number - 1}: give each bar once")
        if (bar.time < before.time) is not newest_first:
            raise _bar_error(number, bar.time, "it is out of order: sort the bars by time")


def _unfinished(bars: Sequence[Bar], period: timedelta, now: datetime) -> datetime | None:
    last = bars[-1].time
    if last > now + period:
        raise InvalidRequest(
            f"the newest bar ({format_time(last)}) is later than now ({format_time(now)}): are its times UTC?"
        )
    return last if last + period > now else None


def _gaps(bars: Sequence[Bar], period: timedelta) -> Iterator[tuple[datetime, datetime]]:
    for before, after in pairwise(bars):
        longest = 5 * period
        if period < _DAY and before.time.date() != after.time.date():
            longest = max(longest, 4 * _DAY)  # nights, weekends and holidays are no gaps
        if after.time - before.time > longest:
            yield before.time, after.time


def _bar_error(number: int, moment: datetime, problem: str) -> InvalidRequest:
    return InvalidRequest(f"bar {number} ({format_time(moment)}): {problem}")


def format_time(moment: datetime) -> str:
    """Return the date if the time is midnight, else the date and time to the minute.

    >>> format_time(datetime(2026, 11, 20)), format_time(datetime(2026, 11, 20, 14, 30))
    ('2026-11-20', '2026-11-20 14:30')
    """
    return f"{moment:%Y-%m-%d}" if moment.time() == time.min else f"{moment:%Y-%m-%d %H:%M}"
