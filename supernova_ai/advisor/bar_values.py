"""Read the times and numbers of bars, as people and vendors write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, Literal

from supernova_ai.advisor.bar_formats import RawBar
from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest

DecimalMark = Literal[".", ","]
"""The character before the decimals of a number: 1,234.5 or 1.234,5."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {10**17: 10**9, 10**14: 10**6, 10**11: 10**3, 10**8: 1}
"""The smallest number that is read in nanoseconds, microseconds, milliseconds and seconds since 1970; each
is in 1973. A smaller number is a date such as 20261120, or no time."""

_FIRST_DATE, _LAST_DATE = 19000101, 21001231
_MISSING = ("", "nan", "null", "none", "na", "n/a", "-", "--")
_YEAR_LAST = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?!\d)(.*)")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})(?!\d)(.*)")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:[.,'’ \u00a0\u202f]\d{3})+")
_ONE_MARK = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


def is_missing(raw: Any) -> bool:
    """Whether a value is None, NaN, NA, NaT, or a text for nothing such as "" or "N/A"."""
    if isinstance(raw, str):
        return raw.strip().lower() in _MISSING
    if raw is None or type(raw).__name__ == "NAType":  # pandas.NA raises an error when compared
        return True
    try:
        return bool(raw != raw)
    except (TypeError, ValueError, ArithmeticError):
        return False


def read_times(raws: Sequence[Any], day_first: bool | None) -> list[datetime | None]:
    """Return the aware time of each bar; None if it is missing or cannot be read.

    Args:
        raws: the times as given.
        day_first: whether 11/01/2019 is 11 January; None: what the other dates show.

    Raises:
        InvalidRequest: the dates do not show it, or contradict each other.
    """
    if day_first is None:
        day_first = _is_day_first(raws)
    elif not isinstance(day_first, bool):
        raise InvalidRequest(f"day_first is {quoted(day_first)}: it must be True, False or None")
    return [_read_time(raw, day_first) for raw in raws]


def decimal_mark(raws: Sequence[RawBar], given: DecimalMark | None) -> DecimalMark:
    """Return the decimal mark of the numbers that are text: the given one, or what they show.

    Raises:
        InvalidRequest: the numbers do not show it, or contradict each other.
    """
    if given is not None:
        if given not in (".", ","):
            raise InvalidRequest(f"decimal is {quoted(given)}: it must be '.' or ','")
        return given
    seen: dict[DecimalMark, str] = {}
    unclear: tuple[str, str] | None = None
    for number, raw in enumerate(raws):
        for column, value in zip(RawBar._fields[1:], raw[1:], strict=True):
            if isinstance(value, str) and ("," in value or "." in value):
                text, place = _bare(value), f"bar {number}: {column} is {value!r}"
                if mark := _mark_of(text):
                    seen.setdefault(mark, place)
                elif "," in text and unclear is None:
                    unclear = place, text
    if len(seen) > 1:
        raise InvalidRequest(f"{seen['.']}, but {seen[',']}: write all numbers with the same decimal mark")
    if unclear and not seen:
        place, text = unclear
        raise InvalidRequest(
            f"{place}: is that {text.replace(',', '')} or {text.replace(',', '.')}? Add decimal='.' for the "
            f"first or decimal=',' for the second (in the terminal --decimal)"
        )
    return next(iter(seen), ".")


def read_number(raw: Any, mark: DecimalMark) -> float | None:
    """Return a number, also from text such as "$1,234.50" or "1 234,50"; None if it is none."""
    if isinstance(raw, str):
        whole, _, fraction = _bare(raw).partition(mark)
        if _THOUSANDS.fullmatch(whole):
            whole = re.sub(r"[^\d+-]", "", whole)
        if mark == "," and "." in whole:
            return None
        raw = f"{whole}.{fraction}" if fraction else whole
    try:
        return None if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError, OverflowError):
        return None


def _bare(text: str) -> str:
    return text.strip().replace("$", "", 1)


def _mark_of(text: str) -> DecimalMark | None:
    """Return the decimal mark that a number shows; None for 1,234 and 1.234, which show none."""
    marks = re.sub(r"[^.,]", "", text)
    if not marks or _ONE_MARK.fullmatch(text):
        return None
    last, other = (".", ",") if marks[-1] == "." else (",", ".")
    # The same mark twice separates thousands; of two different ones the last is the decimal mark.
    return other if len(marks) > 1 and set(marks) == {last} else last  # type: ignore[return-value]


def _is_day_first(raws: Sequence[Any]) -> bool:
    shown: dict[bool, str] = {}
    unclear = ""
    for number, raw in enumerate(raws):
        match = _YEAR_LAST.fullmatch(raw.strip()) if isinstance(raw, str) else None
        if match:
            first, second, place = int(match[1]), int(match[3]), f"bar {number}: its time is {raw!r}"
            if (first > 12) is not (second > 12):
                shown.setdefault(first > 12, place)
            days = f"{match[4]}-{second:02}-{first:02} or {match[4]}-{first:02}-{second:02}"
            unclear = unclear or (
                f"{place}: is that {days}? Add day_first=True for the first or day_first=False for the "
                f"second (in the terminal --day-first or --month-first)"
            )
    if len(shown) > 1:
        raise InvalidRequest(f"{shown[True]}, but {shown[False]}: write all dates as 2026-11-20")
    if unclear and not shown:
        raise InvalidRequest(unclear)
    return next(iter(shown), False)


def _read_time(raw: Any, day_first: bool) -> datetime | None:
    try:
        moment = None if is_missing(raw) else _any_time(raw, day_first)
        if moment and moment.tzinfo:
            moment.astimezone(UTC)  # raises an error at the ends of the calendar
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _any_time(raw: Any, day_first: bool) -> datetime | None:
    if isinstance(raw, str):
        return _time_of_text(raw.strip(), day_first)
    if type(raw).__name__ == "datetime64":  # numpy's
        raw = raw.astype("datetime64[us]").item()
    if hasattr(raw, "to_pydatetime"):  # a pandas Timestamp
        raw = raw.to_pydatetime()
    if isinstance(raw, datetime):
        return raw
    if isinstance(raw, date):
        return datetime.combine(raw, time.min)
    return _time_of_number(raw) if isinstance(raw, Real) else None


def _time_of_text(text: str, day_first: bool) -> datetime | None:
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return _time_of_number(float(text) if "." in text else int(text))
    if match := _YEAR_LAST.fullmatch(text):
        first, _, second, year, clock = match.groups()
        day, month = (first, second) if day_first else (second, first)
        text = f"{year}-{month:0>2}-{day:0>2}{clock}"
    elif match := _YEAR_FIRST.fullmatch(text):
        year, month, day, clock = match.groups()
        text = f"{year}-{month:0>2}-{day:0>2}{clock}"
    return datetime.fromisoformat(re.sub(r"[ T](\d:)", r" 0\1", text))


def _time_of_number(number: Any) -> datetime | None:
    number = int(number) if isinstance(number, Integral) else float(number)  # numpy's would overflow
    if _FIRST_DATE <= number <= _LAST_DATE:
        return datetime.fromisoformat(str(int(number)))
    for least, per_second in _PER_SECOND.items():
        if number >= least:
            # A fraction, because a float does not hold the nanoseconds of today exactly.
            return _EPOCH + timedelta(microseconds=round(Fraction(number) * 10**6 / per_second))
    return None
