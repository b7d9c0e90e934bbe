"""Bars, checked before anything is computed from them; an error names the bar and what would be right."""

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

from supernova_ai.advisor.shapes import RawBars, take_apart
from supernova_ai.errors import InvalidRequest
from supernova_ai.paths import MOST_TABLE, open_regular

_DAY = timedelta(days=1)
_DEAREST, _MOST = 1e15, 1e18  # of a price and a volume: beyond, figures are but noise
_TOLERANCE = 1e-9
_FIRST_SECOND = 10**8  # 1973; below it a number is no time but, say, 20261120 or the number of a row
_FIRST_MILLISECOND = 10**11


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices and volume of one period, which begins at ``time`` (aware, UTC). Volume None: not known."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Checked bars, oldest first, and what was noticed about them.

    ``period`` is the usual time from one bar to the next; ``gaps`` the times of neighbours much further
    apart; ``unfinished`` the time of a last bar that was left out, because its period was not over.
    """

    bars: tuple[Bar, ...]
    period: timedelta
    gaps: tuple[tuple[datetime, datetime], ...] = ()
    unfinished: datetime | None = None


def read_bars(data: Any, *, now: datetime | None = None) -> History:
    """Read bars of any shape that people have them in, and check them.

    Newest-first input is turned round. A time without a zone is UTC; where every time is a midnight, these
    are dates, whatever the zone. Of the bars only the last may be unfinished, and is left out.

    Args:
        data: dicts, ccxt rows, a pandas frame (as of yfinance or backtesting.py), or ``Bar`` objects.
        now: the moment (aware) by which a bar must be over; None is the present.

    Raises:
        InvalidRequest: what the bars say cannot be so; the message names the bar, counted from 0.
    """
    raws = list(take_apart(data))
    times = [_time(number, raw.time) for number, raw in enumerate(raws)]
    dates = all(moment.time() == time.min for moment in times)
    bars = [
        _bar(number, moment.replace(tzinfo=UTC) if dates else moment.astimezone(UTC), raw)
        for number, (moment, raw) in enumerate(zip(times, raws, strict=True))
    ]
    _check_order(bars)
    bars.sort(key=lambda bar: bar.time)
    if len(bars) < 2:
        raise InvalidRequest(f"{len(bars)} bars are too few: give at least 2, and 200 for every indicator")
    period = median_low([after.time - before.time for before, after in pairwise(bars)])
    unfinished = _unfinished(bars, period, now or datetime.now(UTC))
    kept = tuple(bars[:-1] if unfinished else bars)
    return History(kept, period, tuple(_gaps(kept, period)), unfinished)


def load_csv(path: str | Path, *, now: datetime | None = None) -> History:
    """Read bars from a CSV file whose first line names its columns; see ``read_bars``.

    Raises:
        InvalidRequest: the file cannot be read, or its bars are wrong; bar 0 is the line after the names.
    """
    try:
        with TextIOWrapper(open_regular(path, MOST_TABLE), "utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restkey="rest"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}. Give a UTF-8 file of bars") from error
    try:
        return read_bars(rows, now=now)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None


def _time(number: int, raw: Any) -> datetime:
    try:
        moment = _moment(raw)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        raise InvalidRequest(
            f"bar {number}: its time is {raw!r}: give ISO text such as 2026-11-20, a datetime, a date, "
            f"or the seconds or milliseconds since 1970"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment(raw: Any) -> datetime | None:
    if isinstance(raw, str):
        text = raw.strip()
        raw = int(text) if text.isdecimal() and len(text) > 8 else datetime.fromisoformat(text)
    if hasattr(raw, "to_pydatetime"):  # a pandas Timestamp, which may also be no time at all
        raw = raw.to_pydatetime() if raw == raw else None
    if isinstance(raw, datetime):
        return raw
    if isinstance(raw, date):
        return datetime.combine(raw, time.min)
    if isinstance(raw, Real) and (number := float(raw)) >= _FIRST_SECOND:
        return datetime.fromtimestamp(number / 1000 if number >= _FIRST_MILLISECOND else number, UTC)
    return None


def _bar(number: int, moment: datetime, raw: RawBars) -> Bar:
    def price(name: str, value: Any) -> float:
        given = _number(value)
        if given is None or not 0 < given <= _DEAREST:
            what = f"{name} is {value!r}: it must be a price above zero, and at most {_DEAREST:g}"
            raise _wrong(number, moment, what)
        return given

    prices = {name: price(name, getattr(raw, name)) for name in ("open", "high", "low", "close")}
    bar = Bar(moment, **prices, volume=_volume(number, moment, raw.volume))
    if bar.high < bar.low:
        raise _wrong(number, moment, f"high {bar.high:g} is below low {bar.low:g}: they may be swapped")
    for name in ("open", "close"):
        if not bar.low * (1 - _TOLERANCE) <= prices[name] <= bar.high * (1 + _TOLERANCE):
            between = f"between low {bar.low:g} and high {bar.high:g}"
            raise _wrong(number, moment, f"{name} is {prices[name]:g}: it must be {between}")
    return bar


def _volume(number: int, moment: datetime, raw: Any) -> float | None:
    if raw is None or (isinstance(raw, str) and not raw) or type(raw).__name__ == "NAType":
        return None  # the NA of pandas cannot even be compared
    volume = _number(raw)
    if volume is not None and isnan(volume):  # how pandas writes what is not known
        return None
    if volume is None or not 0 <= volume <= _MOST:
        what = f"volume is {raw!r}: it must be zero or more, or missing, and at most {_MOST:g}"
        raise _wrong(number, moment, what)
    return volume


def _number(raw: Any) -> float | None:
    try:
        return None if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError, OverflowError):
        return None


def _check_order(bars: Sequence[Bar]) -> None:
    newest_first = bool(bars) and bars[-1].time < bars[0].time
    for number, (one, other) in enumerate(pairwise(bars), 1):
        if one.time == other.time:
            raise _wrong(number, other.time, f"it has the time of bar {number - 1}: give each bar once")
        if (other.time < one.time) is not newest_first:
            raise _wrong(number, other.time, "it is out of order: sort the bars by their time")


def _unfinished(bars: Sequence[Bar], period: timedelta, now: datetime) -> datetime | None:
    last = bars[-1].time
    if last > now + period:
        raise InvalidRequest(
            f"the newest bar ({show_time(last)}) is later than now ({show_time(now)}): are its times UTC?"
        )
    return last if last + period > now else None


def _gaps(bars: Sequence[Bar], period: timedelta) -> Iterator[tuple[datetime, datetime]]:
    for before, after in pairwise(bars):
        usual = 5 * period
        if period < _DAY and before.time.date() != after.time.date():
            usual = max(usual, 4 * _DAY)  # nights, weekends and holidays
        if after.time - before.time > usual:
            yield before.time, after.time


def _wrong(number: int, moment: datetime, what: str) -> InvalidRequest:
    return InvalidRequest(f"bar {number} ({show_time(moment)}): {what}")


def show_time(moment: datetime) -> str:
    """Return a date where the time is midnight, else the time to the minute.

    >>> show_time(datetime(2026, 11, 20)), show_time(datetime(2026, 11, 20, 14, 30))
    ('2026-11-20', '2026-11-20 14:30')
    """
    return f"{moment:%Y-%m-%d}" if moment.time() == time.min else f"{moment:%Y-%m-%d %H:%M}"
