"""Periods: the days, weeks and months of a time zone, and the hours of the rollups in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from supernova_ai.ledger.budgets import period_at

Per = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Period:
    """The time from ``start`` until just before ``end``, both with their time zone."""

    name: str
    start: datetime
    end: datetime

    @property
    def hours(self) -> tuple[int, int]:
        """The first hour that begins in the period, and the first after it, both since the epoch.

        Rollups have whole hours of UTC. In a time zone that is half an hour off, the hour across midnight
        counts to the day in which it begins.
        """
        return math.ceil(self.start.timestamp() / 3600), math.ceil(self.end.timestamp() / 3600)


def periods_between(per: Per, start: datetime, until: datetime) -> Iterator[Period]:
    """Yield whole days, ISO weeks or months, from the one that contains ``start`` until ``until``.

    Args:
        start: its time zone is the periods' time zone.
        until: the last period begins before it.
    """
    at = start
    while at < until:
        name, end = period_at(per, at)
        last = end - timedelta(days=1)
        first = {"day": last, "week": end - timedelta(days=7), "month": last.replace(day=1)}[per]
        yield Period(name, first, end)
        at = end


def latest_periods(per: Per, days: int, now: datetime) -> list[Period]:
    """Return the periods that contain the last ``days`` days, today included; the last one has not ended."""
    return list(periods_between(per, now - timedelta(days=days - 1), now + timedelta(microseconds=1)))
