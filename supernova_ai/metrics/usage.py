"""What attempts took and cost, from the rollups: sums over all time, by deployment without its key slot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from peewee import Database, fn

from supernova_ai.config import Config
from supernova_ai.health import is_provider_fault
from supernova_ai.ledger.rollups import HOURS
from supernova_ai.metrics import catalog
from supernova_ai.metrics.catalog import Metric, Sample
from supernova_ai.money import to_usd
from supernova_ai.store.tables import LatencyRow, UsageRow
from supernova_ai.upkeep.booking import TASK as BILLED

_Sums = Counter[tuple[Any, ...]]

_SUMS: dict[Metric, Any] = {
    catalog.LOST: UsageRow.lost,
    catalog.COST: UsageRow.cost,
    catalog.INPUT_TOKENS: UsageRow.prompt_tokens,
    catalog.OUTPUT_TOKENS: UsageRow.completion_tokens,
    catalog.CACHED_TOKENS: UsageRow.cached_tokens,
    catalog.CACHE_WRITE_TOKENS: UsageRow.cache_write_tokens,
    catalog.REASONING_TOKENS: UsageRow.reasoning_tokens,
}

_RESULTS = ("answered", "failed", "other", "cached")


class AllTime:
    """The sums of a rollup over all of its hours.

    Those of hours before yesterday are read once a day: a late change of theirs is seen then.

    Args:
        query: returns the sums of the hours that meet a condition.
        hour: the rollup's column.
    """

    def __init__(self, query: Callable[[Database, Any], _Sums], hour: Any) -> None:
        self._query = query
        self._hour = hour
        self._before = -1
        self._past: _Sums = Counter()

    def read(self, database: Database, hour: int) -> _Sums:
        """Return the sums; ``hour`` is the current one, since the epoch."""
        yesterday = (hour // HOURS["day"] - 1) * HOURS["day"]
        if yesterday != self._before:
            self._past, self._before = self._query(database, self._hour < yesterday), yesterday
        return self._past + self._query(database, self._hour >= yesterday)


def _usage(database: Database, hours: Any) -> _Sums:
    by = (UsageRow.provider, UsageRow.model, UsageRow.tier, UsageRow.error)
    columns = (UsageRow.attempts, UsageRow.cached, UsageRow.settled, *_SUMS.values())
    query = UsageRow.select(*by, *map(fn.SUM, columns)).where(hours).group_by(*by)
    sums: _Sums = Counter()
    for provider, model, tier, error, *values in query.tuples().execute(database):
        # A bill may name any model; those of attempts are configured, or once were.
        labels = (provider, BILLED if tier == BILLED else model, tier)
        attempts, cached, settled, *amounts = map(int, values)
        answered = 0 if error else settled - cached
        rest = "failed" if is_provider_fault(error) else "other"
        sums[catalog.ATTEMPTS, *labels, "answered"] += answered
        sums[catalog.ATTEMPTS, *labels, "cached"] += cached
        sums[catalog.ATTEMPTS, *labels, rest] += attempts - cached - answered
        if error:
            sums[catalog.FAILURES, *labels, error] += attempts
        for metric, amount in zip(_SUMS, amounts, strict=True):
            sums[metric, *labels] += amount
    return sums


def _latencies(database: Database, hours: Any) -> _Sums:
    by = (LatencyRow.what, LatencyRow.provider, LatencyRow.model, LatencyRow.bucket)
    query = LatencyRow.select(*by, fn.SUM(LatencyRow.attempts)).where(hours).group_by(*by)
    return Counter({tuple(key): int(count) for *key, count in query.tuples().execute(database)})


class Usage:
    """The metrics of usage and latency. A configured model that was not asked yet has zeros."""

    def __init__(self) -> None:
        self._usage = AllTime(_usage, UsageRow.hour)
        self._latencies = AllTime(_latencies, LatencyRow.hour)

    def read(self, database: Database, config: Config, hour: int) -> Iterator[Sample]:
        """Yield the samples; ``hour`` is the current one, since the epoch."""
        sums = self._usage.read(database, hour)
        for name, provider in config.providers.items():
            for tier, model in provider.models.items():
                for metric in _SUMS:
                    sums[metric, name, model, tier] += 0
                for result in _RESULTS:
                    sums[catalog.ATTEMPTS, name, model, tier, result] += 0
        for (metric, *labels), amount in sums.items():
            yield Sample(metric, labels, float(to_usd(amount)) if metric is catalog.COST else amount)
        yield from self._histograms(database, hour)

    def _histograms(self, database: Database, hour: int) -> Iterator[Sample]:
        buckets: defaultdict[tuple[str, str, str], dict[int, int]] = defaultdict(dict)
        for (what, provider, model, bucket), count in self._latencies.read(database, hour).items():
            buckets[what, provider, model][bucket] = count
        for (what, *labels), counts in buckets.items():
            yield Sample(catalog.DURATION if what == "answer" else catalog.FIRST_TOKEN, labels, counts)
