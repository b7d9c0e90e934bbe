"""Schedules: the instants at which a job is due. All are Unix milliseconds.

A time of day that a change to summer time skips is due at the moment of the change. One that occurs twice in
autumn is due at its first occurrence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

_REACH_DAYS = {"day": 2, "week": 8, "month": 32}


class Schedule(Protocol):
    """When a job is due."""

    def latest(self, now_ms: int) -> int:
        """Return the last instant that is not after now."""

    def next(self, now_ms: int) -> int:
        """Return the first instant after now."""


@dataclass(frozen=True, slots=True)
class Every:
    """Due every so many seconds, counted from 1970: all processes agree on the instants."""

    seconds: float

    def latest(self, now_ms: int) -> int:
        """Return the last instant that is not after now."""
        period = round(self.seconds * 1000)
        return now_ms // period * period

    def next(self, now_ms: int) -> int:
        """Return the first instant after now."""
        return self.latest(now_ms) + round(self.seconds * 1000)

    def __str__(self) -> str:
        minutes, seconds = divmod(self.seconds, 60)
        if seconds:
            return f"every {self.seconds:g} s"
        return "every minute" if minutes == 1 else "every hour" if minutes == 60 else f"every {minutes:g} min"


@dataclass(frozen=True, slots=True)
class At:
    """Due at a time of day such as ``03:00``: each day, on Mondays, or on the first day of each month."""

    at: str
    time_zone: str
    per: Literal["day", "week", "month"] = "day"

    def latest(self, now_ms: int) -> int:
        """Return the last instant that is not after now."""
        return max(instant for instant in self._around(now_ms) if instant <= now_ms)

    def next(self, now_ms: int) -> int:
        """Return the first instant after now."""
        return min(instant for instant in self._around(now_ms) if instant > now_ms)

    def __str__(self) -> str:
        days = {"day": "daily", "week": "Mondays", "month": "monthly"}[self.per]
        return f"{days} {self.at}" if self.time_zone == "UTC" else f"{days} {self.at} {self.time_zone}"

    def _around(self, now_ms: int) -> Iterator[int]:
        zone = ZoneInfo(self.time_zone)
        today = datetime.fromtimestamp(now_ms / 1000, zone).date()
        reach = _REACH_DAYS[self.per]
        for days in range(-reach, reach + 1):
            day = today + timedelta(days=days)
            if self.per == "day" or (day.weekday() == 0 if self.per == "week" else day.day == 1):
                yield _instant(day, time.fromisoformat(self.at), zone)


def _instant(day: date, at: time, zone: ZoneInfo) -> int:
    wall = datetime.combine(day, at, zone)
    seconds = int(wall.timestamp())
    if datetime.fromtimestamp(seconds, zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
        # The clock jumps over it: find the second at which it jumps. The later ``fold`` is before the jump.
        around = range(int(wall.replace(fold=1).timestamp()), seconds + 1)
        after = datetime.fromtimestamp(seconds, zone).utcoffset()
        seconds = around[
            bisect_left(
                around, True, key=lambda second: datetime.fromtimestamp(second, zone).utcoffset() == after
            )
        ]
    return seconds * 1000
