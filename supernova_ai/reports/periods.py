"""Stretches of time: the days, weeks and months of a time zone, and the hours of the rollups in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from supernova_ai.ledger.budgets import period

Per = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time from ``start`` until just before ``end``, both with their time zone."""

    name: str
    start: datetime
    end: datetime

    @property
    def hours(self) -> tuple[int, int]:
        """The first hour since the epoch that begins in it, and the first after it.

        Rollups know whole hours of UTC. In a zone half an hour off, the hour that runs over midnight counts
        to the day it begins in.
        """
        return math.ceil(self.start.timestamp() / 3600), math.ceil(self.end.timestamp() / 3600)


def spans(per: Per, start: datetime, until: datetime) -> Iterator[Period]:
    """Yield whole days, ISO weeks or months: from the one that holds ``start``, those begun before ``until``.

    Args:
        start: its time zone is that of the periods.
    """
    at = start
    while at < until:
        name, end = period(per, at)
        last = end - timedelta(days=1)
        first = {"day": last, "week": end - timedelta(days=7), "month": last.replace(day=1)}[per]
        yield Period(name, first, end)
        at = end


def latest(per: Per, days: int, now: datetime) -> list[Period]:
    """Return the periods that the last ``days`` days touch, today included; the last one is still running."""
    return list(spans(per, now - timedelta(days=days - 1), now + timedelta(microseconds=1)))
