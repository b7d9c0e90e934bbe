"""The page Errors: how many, of which classes and kinds, since when, and whom they affect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from peewee import fn

from supernova_ai import health
from supernova_ai.dashboard.charts import Chart, Series
from supernova_ai.dashboard.page import Page, Part, Reading
from supernova_ai.dashboard.pages.choices import SPANS, span_of
from supernova_ai.reports.breakdown import lines
from supernova_ai.store.tables import UsageRow

_COLOURS = ("c2", "c1", "c4", "c5", "c6")
_KINDS = 100


def _classes(reading: Reading) -> Mapping[str, Any]:
    span, period = span_of(reading)
    first, after = period.hours
    found = health.error_classes(reading.database, since_ms=int(period.start.timestamp() * 1000))
    (whole,) = lines(reading.database, period)
    query = UsageRow.select(UsageRow.hour, UsageRow.error, fn.SUM(UsageRow.attempts)).where(
        (UsageRow.hour >= first) & (UsageRow.hour < after) & (UsageRow.error != "")
    )
    counts: Counter[tuple[str, int]] = Counter()
    for hour, error, count in (
        query.group_by(UsageRow.hour, UsageRow.error).tuples().execute(reading.database)
    ):
        counts[error, (hour - first) // span.step] += int(count)
    starts = [hour * 3600 for hour in range(first, after, span.step)]
    series = [
        Series(row.error, [counts[row.error, step] for step in range(len(starts))], colour, "stack")
        for row, colour in zip(found, _COLOURS, strict=False)
    ]
    every = "hour" if span.step == 1 else f"{span.step} hours"
    return {
        "rows": [(row, health.NOTES.get(row.error)) for row in found],
        "attempts": whole.attempts,
        "span": span,
        "every": every,
        "chart": Chart(
            f"Errors of each class, every {every} of the last {span.title}", starts, series, "count"
        ),
    }


def _kinds(reading: Reading) -> Mapping[str, Any]:
    _, period = span_of(reading)
    since_ms = int(period.start.timestamp() * 1000)
    found = health.patterns(reading.database, since_ms=since_ms, now_ms=reading.now_ms)
    return {"rows": found[:_KINDS], "more": len(found) - _KINDS}


ERRORS = Page(
    "errors",
    "Errors",
    (
        Part("classes", "Classes", _classes, takes=("span",)),
        Part("kinds", "Kinds of failures", _kinds, takes=("span",)),
    ),
    choices={"span": [(name, span.title) for name, span in SPANS.items()]},
)
