"""Checks of what a caller gives beside the bars; each error names the part and says what is right."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any

from supernova_ai.characters import quoted, visible
from supernova_ai.errors import InvalidRequest
from supernova_ai.money import decimal

MOST = 1e15
"""The largest number that is read."""

_DATE = "a date such as 2026-11-20"


def wrong(what: str, given: object, right: str) -> InvalidRequest:
    """Return the error for a wrong part, such as ``wrong("option has strike", 0, "a price above zero")``."""
    return InvalidRequest(f"{what} {quoted(given)}: it must be {right}")


def number(what: str, given: object, right: str, low: float = -MOST, high: float = MOST) -> float:
    """Return a number, also of numpy or a Decimal, as the int or float that has the same digits."""
    if isinstance(given, bool) or not isinstance(given, Real | Decimal):
        raise wrong(what, given, "a number")
    try:
        exact = decimal(given)  # type: ignore[arg-type]  # every number has a text
    except ValueError:
        raise wrong(what, given, right) from None
    if not low <= exact <= high:
        raise wrong(what, given, right)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def line(what: str, given: object, most: int, *, braces: bool = True) -> str:
    """Return a text of one line without spaces at its ends."""
    right = f"a text of 1 to {most} characters on one line{'' if braces else ', without braces'}"
    text = given.strip() if isinstance(given, str) else ""
    if not 0 < len(text) <= most or "\n" in text or "\t" in text or visible(text, prose=True) != text:
        raise wrong(what, given, right)
    if not braces and ("{" in text or "}" in text):
        raise wrong(what, given, right)
    return text


def moment(what: str, given: object) -> date:
    """Return a day, or a time in UTC, that is given as such or as ISO text."""
    found, is_day = _read_moment(what, given)
    if is_day:
        return found.date()
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        raise wrong(what, given, _DATE) from None


def day(what: str, given: object) -> date:
    """Return a day that is given as such, as a time of this day, or as ISO text."""
    return _read_moment(what, given)[0].date()


def not_later(what: str, given: date, today: date) -> None:
    """Refuse a day or time that is in the future everywhere; ``today`` is that of UTC."""
    day = given.date() if isinstance(given, datetime) else given
    if day > today + timedelta(days=1):
        raise InvalidRequest(f"{what} {day}, and today is {today}: it must not be later")


def _read_moment(what: str, given: object) -> tuple[datetime, bool]:
    text = given.isoformat() if isinstance(given, date) else given
    try:
        return datetime.fromisoformat(text), len(text) <= len("2026-11-20")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise wrong(what, given, _DATE) from None


def one_of(what: str, given: object, known: Iterable[str]) -> None:
    """Refuse what is not one of these words."""
    words = tuple(known)
    if not isinstance(given, str) or given not in words:
        raise wrong(what, given, f"one of {', '.join(words)}")


def parts(what: str, given: object, known: Collection[str]) -> Mapping[str, Any]:
    """Return a mapping whose names are all known."""
    names = ", ".join(known)
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{what} is {quoted(given)}: give a dict of {names}")
    if unknown := [name for name in given if name not in known]:
        raise InvalidRequest(f"{what} has {quoted(unknown[0])}: known are {names}")
    return given
