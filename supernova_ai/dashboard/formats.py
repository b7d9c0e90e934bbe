"""How templates write amounts, durations, shares and times."""

from __future__ import annotations

import math
from datetime import datetime

from markupsafe import Markup

from supernova_ai.money import rounded

NOTHING = "–"
"""Stands where there is no value."""


def usd(nano: int | None) -> str:
    """Write an amount of nano-USD."""
    return NOTHING if nano is None else rounded(nano)


def count(number: int | None) -> str:
    """Write a number.

    >>> count(12345)
    '12,345'
    """
    return NOTHING if number is None else f"{number:,}"


def short(number: int | float) -> str:
    """Write a large number with three digits.

    >>> short(999), short(12_345), short(999_500)
    ('999', '12.3k', '1M')
    """
    number = float(f"{number:.3g}")  # before the unit is chosen: 999,500 is 1M and not 1000k
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def duration(milliseconds: float | None) -> str:
    """Write a duration with its unit.

    >>> duration(860), duration(999.6), duration(75_400)
    ('860 ms', '1 s', '75.4 s')
    """
    if milliseconds is None:
        return NOTHING
    milliseconds = float(f"{milliseconds:.3g}")
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.9g} s"


def coded(text: str) -> Markup:
    """Write a text whose commands and settings stand between backticks.

    >>> coded("Run `a < b`.")
    Markup('Run <code>a &lt; b</code>.')
    """
    forms = Markup("{}"), Markup("<code>{}</code>")
    return Markup().join(forms[at % 2].format(part) for at, part in enumerate(text.split("`")))


def share(part: float | None, digits: int = 1) -> str:
    """Write a share of 0 to 1 in percent, rounded down: 100 % means all.

    >>> share(0.99999), share(1.0)
    ('99.9 %', '100 %')
    """
    if part is None:
        return NOTHING
    percent = math.floor(part * 100 * 10**digits + 1e-9) / 10**digits
    return f"{percent:g} %"


def clock(moment_ms: int | None, now: datetime) -> str:
    """Write a time in the time zone of ``now``, with the day unless it is today.

    >>> from datetime import UTC
    >>> now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    >>> clock(1_795_348_800_000, now), clock(1_795_000_000_000, now)
    ('12:00:00', '18 Nov 11:06')
    """
    if moment_ms is None:
        return NOTHING
    at = datetime.fromtimestamp(moment_ms / 1000, now.tzinfo)
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    return f"{at.day} {at:%b %H:%M}" if at.year == now.year else f"{at.day} {at:%b %Y}"
