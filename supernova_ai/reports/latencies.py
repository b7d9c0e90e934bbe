"""Latencies: percentiles of answers and first tokens over time, from the hourly histograms.

A percentile is interpolated within its bucket, on a logarithmic scale, so that curves over time have no
steps. ``breakdown`` gives the upper end of the same bucket.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from peewee import Database, fn

from supernova_ai.ledger.rollups import bucket_ms
from supernova_ai.reports.periods import Period
from supernova_ai.store.bulk import run
from supernova_ai.store.tables import LatencyRow

What = Literal["answer", "first"]

Histogram = Counter[int]
"""How many answers or first tokens took as long as each bucket says."""


@dataclass(frozen=True, slots=True)
class Histograms:
    """The histograms of a period: of each step of some hours, and of each provider and model.

    ``starts`` are the Unix seconds at which the steps begin.
    """

    starts: list[int]
    by_step: Mapping[tuple[What, int], Histogram]
    by_provider: Mapping[tuple[What, str, int], Histogram]
    by_model: Mapping[tuple[What, str, str], Histogram]


def histograms(database: Database, period: Period, step: int) -> Histograms:
    """Return the histograms of a period, over steps of so many hours."""
    first, after = period.hours
    columns = (LatencyRow.hour, LatencyRow.provider, LatencyRow.model, LatencyRow.what, LatencyRow.bucket)
    query = LatencyRow.select(*columns, fn.SUM(LatencyRow.attempts)).group_by(*columns)
    query = query.where((LatencyRow.hour >= first) & (LatencyRow.hour < after) & (LatencyRow.attempts > 0))
    by_step: defaultdict[tuple[What, int], Histogram] = defaultdict(Counter)
    by_provider: defaultdict[tuple[What, str, int], Histogram] = defaultdict(Counter)
    by_model: defaultdict[tuple[What, str, str], Histogram] = defaultdict(Counter)
    for hour, provider, model, what, bucket, count in query.tuples().execute(database):
        number = (hour - first) // step
        by_step[what, number][bucket] += int(count)
        by_provider[what, provider, number][bucket] += int(count)
        by_model[what, provider, model][bucket] += int(count)
    starts = [hour * 3600 for hour in range(first, after, step)]
    return Histograms(starts, by_step, by_provider, by_model)


def percentile(histogram: Mapping[int, int] | None, percent: int) -> float | None:
    """Return the milliseconds below which this percentage stays; None without measurements.

    >>> round(percentile({20: 1, 22: 1}, 50)), percentile({}, 50)
    (1024, None)
    """
    rank = sum((histogram or {}).values()) * percent / 100
    for bucket, count in sorted((histogram or {}).items()):
        if rank <= count:
            return float(bucket_ms(bucket - 1) * math.sqrt(2) ** (rank / count))
        rank -= count
    return None


def tokens_per_second(database: Database, *, since_ms: int) -> dict[tuple[str, str], float]:
    """Return the tokens per second of each provider's model, over its answers sent since ``since_ms``."""
    rows = run(
        database,
        "SELECT provider, model, SUM(completion_tokens), SUM(latency_ms) FROM attempt "
        "WHERE started_ms >= ? AND state = 'settled' AND error_class IS NULL AND completion_tokens > 0 "
        "AND latency_ms > 0 GROUP BY provider, model",
        since_ms,
    ).fetchall()
    return {(provider, model): 1000 * int(tokens) / int(took) for provider, model, tokens, took in rows}
