"""What several pages let people choose."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from supernova_ai.dashboard.page import Reading
from supernova_ai.reports.periods import Period


class Span(NamedTuple):
    """The last so many hours, drawn in steps of some hours."""

    title: str
    hours: int
    step: int


SPANS = {
    "day": Span("24 hours", 24, 1),
    "week": Span("7 days", 7 * 24, 3),
    "month": Span("30 days", 30 * 24, 12),
}


def span_of(reading: Reading) -> tuple[Span, Period]:
    """Return the span that the address asks for, and the period, which ends with the present hour."""
    span = SPANS[reading.one_of("span", SPANS, "day")]
    end = reading.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return span, Period(f"last {span.title}", end - timedelta(hours=span.hours), end)
