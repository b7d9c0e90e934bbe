"""Bars: read from any accepted format, checked and mended before anything is computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median_low
from typing import Any, Literal, NamedTuple

from supernova_ai.advisor.bar_checks import WrongBar, check_prices, check_time
from supernova_ai.advisor.bar_files import read_file
from supernova_ai.advisor.bar_formats import RawBar, raw_bars
from supernova_ai.advisor.bar_values import DecimalMark, decimal_mark, is_missing, read_times
from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest

Repair = Literal["clip", "drop"]
"""What is done with wrong bars: clip what is slightly wrong, or leave out every wrong bar."""

PeriodUnit = Literal["minute", "hour", "day", "week", "month"]

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_FEW, _SHARE = 3, 0.1  # more wrong bars than either are no slips: the columns may be in another order
_LONG_PERIODS: tuple[tuple[PeriodUnit, timedelta, timedelta], ...] = (
    ("day", _DAY, 2 * _HOUR),  # a day of 23 or 25 hours, where the clocks change
    ("week", 7 * _DAY, 2 * _DAY),  # a week that begins or ends with a holiday
    ("month", 30.5 * _DAY, 4.5 * _DAY),  # months from their first or last weekday
)
_REGULAR, _SHORTER = 0.6, 0.05  # the least share of steps that are the period, the most that are shorter


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
    ``repairs`` says for each mended bar what was wrong and what was done. ``read_at`` is the time by which a
    bar had to be over.
    """

    bars: tuple[Bar, ...]
    period: timedelta
    gaps: tuple[tuple[datetime, datetime], ...] = ()
    unfinished: datetime | None = None
    repairs: tuple[str, ...] = ()
    read_at: datetime | None = field(default=None, compare=False)

    @property
    def age(self) -> timedelta | None:
        """How long ago the last bar ended, if newer bars should exist; None if it is not old."""
        if self.read_at is None:
            return None
        ended = self.bars[-1].time + self.period
        age = self.read_at - ended
        return age if age > _longest_step(ended, self.read_at, self.period) else None


class Period(NamedTuple):
    """The period of a bar, such as ``Period(15, "minute")``. The length of a day, week or month is 1."""

    length: int
    unit: PeriodUnit


def read_bars(
    data: Any,
    *,
    now: datetime | None = None,
    repair: Repair | None = "clip",
    day_first: bool | None = None,
    decimal: DecimalMark | None = None,
) -> History:
    """Read bars of any accepted format, check them, and mend what is slightly wrong.

    Bars may be newest first. A time without a zone is UTC; if every time is midnight, the times are dates,
    whatever the zone. A last bar whose period is not over is left out.

    Args:
        data: dicts, rows, ``Bar`` objects, a dict of lists, a frame of pandas or polars, a numpy array, or
            the JSON of a vendor; docs/bars.md lists them.
        now: the time (aware) by which a bar must be over; None: the present.
        repair: "clip" leaves out bars without prices, and moves an open or close that is at most 0.5 %
            outside of high and low to them; "drop" leaves out every wrong bar; None refuses all of them.
        day_first: whether 11/01/2019 is 11 January; None: what the other dates show.
        decimal: the decimal mark of numbers that are text, "." or ","; None: what they show.

    Raises:
        InvalidRequest: a value is missing, impossible or ambiguous; the message names the bar, from 0.
    """
    if repair not in (None, "clip", "drop"):
        raise InvalidRequest(f"repair is {quoted(repair)}: it must be 'clip', 'drop' or None")
    raws = list(raw_bars(data))
    times = read_times([raw.time for raw in raws], day_first)
    numbered, repairs = _checked_bars(raws, times, decimal_mark(raws, decimal), repair)
    _check_order(numbered)
    bars = sorted((bar for _, bar in numbered), key=lambda bar: bar.time)
    if len(bars) < 2:
        raise InvalidRequest(f"{len(bars)} bars are too few: give at least 2, and 201 for every indicator")
    period = median_low([after.time - before.time for before, after in pairwise(bars)])
    now = now or datetime.now(UTC)
    unfinished = _unfinished(bars, period, now)
    finished = tuple(bars[:-1] if unfinished else bars)
    return History(finished, period, tuple(_gaps(finished, period)), unfinished, repairs, now)


def load_csv(
    path: str | Path,
    *,
    now: datetime | None = None,
    repair: Repair | None = "clip",
    day_first: bool | None = None,
    decimal: DecimalMark | None = None,
) -> History:
    """Read bars from a file: CSV or other delimited text, or JSON; see ``read_bars``.

    Raises:
        InvalidRequest: the file cannot be read, or a bar is wrong; bar 0 is the first line after the header.
    """
    rows = read_file(path)
    try:
        return read_bars(rows, now=now, repair=repair, day_first=day_first, decimal=decimal)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None


def period_of(times: Sequence[datetime]) -> Period | None:
    """Return the period of bars with these times, oldest first; None if they have no clear one.

    It is the median step. Nights, weekends, holidays and missing bars are longer steps, and do not matter
    while most steps are the period.

    >>> period_of([datetime(2026, 11, 20, 9, minute) for minute in (0, 15, 30, 45)])
    Period(length=15, unit='minute')
    """
    steps = [after - before for before, after in pairwise(times)]
    if len(steps) < 2:
        return None
    step = median_low(steps)
    shortest = longest = step
    if step < 20 * _HOUR:
        unit: PeriodUnit = "minute" if step < _HOUR else "hour"
        one, most = (_MINUTE, 60) if unit == "minute" else (_HOUR, 24)
        length, rest = divmod(step, one)
        if rest or not length or most % length:  # such as 7 minutes
            return None
        period = Period(length, unit)
    else:
        found = next((row for row in _LONG_PERIODS if abs(step - row[1]) <= row[2]), None)
        if found is None:
            return None
        unit, usual, tolerance = found
        shortest, longest, period = usual - tolerance, usual + tolerance, Period(1, unit)
    regular = sum(shortest <= each <= longest for each in steps)
    shorter = sum(each < shortest for each in steps)
    return period if regular >= _REGULAR * len(steps) and shorter <= _SHORTER * len(steps) else None


def _checked_bars(
    raws: Sequence[RawBar], times: Sequence[datetime | None], mark: DecimalMark, repair: Repair | None
) -> tuple[list[tuple[int, Bar]], tuple[str, ...]]:
    """Return the right and mended bars with their numbers, and what was mended."""
    are_dates = all(moment.time() == time.min for moment in times if moment)
    numbered: list[tuple[int, Bar]] = []
    empty: list[int] = []
    repairs: dict[int, str] = {}
    for number, (raw, moment) in enumerate(zip(raws, times, strict=True)):
        if moment:
            moment = moment.replace(tzinfo=UTC) if are_dates else moment.astimezone(UTC)
        if repair and all(map(is_missing, raw.prices)):
            empty.append(number)
            continue
        try:
            moment = check_time(raw, moment)
            prices, clipped = check_prices(raw, mark, clip=repair == "clip")
        except WrongBar as wrong:
            if repair != "drop":
                raise _bar_error(
                    number, moment, f"{wrong.problem}: {wrong.right}. repair='drop' leaves such bars out"
                ) from None
            repairs[number] = f"{_place(number, moment)}: {wrong.problem}; left out"
            continue
        numbered.append((number, Bar(moment, *prices)))
        if clipped:
            repairs[number] = f"{_place(number, moment)}: {', '.join(clipped)}"
    if len(repairs) > max(_FEW, _SHARE * (len(raws) - len(empty))):
        raise InvalidRequest(
            f"{len(repairs)} of {len(raws)} bars are wrong, which is too many to mend. The first is "
            f"{next(iter(repairs.values()))}. Are the columns in another order?"
        )
    repairs |= _without_prices(empty, times)
    return numbered, tuple(repairs[number] for number in sorted(repairs))


def _without_prices(numbers: Iterable[int], times: Sequence[datetime | None]) -> Iterator[tuple[int, str]]:
    """Yield a repair for each run of bars that had no prices."""
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        first, last = members[0], members[-1]
        which = _place(first, times[first]) if first == last else f"bars {first} to {last}"
        yield first, f"{which}: no prices; left out"


def _check_order(bars: Sequence[tuple[int, Bar]]) -> None:
    newest_first = bool(bars) and bars[-1][1].time < bars[0][1].time
    for (previous, before), (number, bar) in pairwise(bars):
        if before.time == bar.time:
            raise _bar_error(number, bar.time, f"it has the time of bar {previous}: give each bar once")
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
        if after.time - before.time > _longest_step(before.time, after.time, period):
            yield before.time, after.time


def _longest_step(before: datetime, after: datetime, period: timedelta) -> timedelta:
    """Return the longest time between two bars that is no gap: nights, weekends and holidays are none."""
    longest = 5 * period
    return max(longest, 4 * _DAY) if period < _DAY and before.date() != after.date() else longest


def _bar_error(number: int, moment: datetime | None, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{_place(number, moment)}: {problem}")


def _place(number: int, moment: datetime | None) -> str:
    return f"bar {number} ({format_time(moment)})" if moment else f"bar {number}"


def format_time(moment: datetime) -> str:
    """Return the date if the time is midnight, else the date and time to the minute.

    >>> format_time(datetime(2026, 11, 20)), format_time(datetime(2026, 11, 20, 14, 30))
    ('2026-11-20', '2026-11-20 14:30')
    """
    return f"{moment:%Y-%m-%d}" if moment.time() == time.min else f"{moment:%Y-%m-%d %H:%M}"
