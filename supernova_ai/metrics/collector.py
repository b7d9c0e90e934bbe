"""The collector: every metric, from the database, which it only reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

from peewee import Database
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from supernova_ai import __version__
from supernova_ai.config import Config
from supernova_ai.ledger import pending_ends
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.metrics import catalog, state
from supernova_ai.metrics.catalog import Sample
from supernova_ai.metrics.usage import Usage
from supernova_ai.store import ReadOnlyStore, Store


class StoreCollector(Collector):
    """Reads the metrics of all processes that share a database. Keep it: it remembers sums of the past.

    A counter never falls, as Prometheus expects. If a correction lowers a sum, its counter stands still
    until the sum is higher again.

    Args:
        store: returns the open database.
        config: returns the configuration in force.
    """

    def __init__(self, store: Callable[[], Store | ReadOnlyStore], config: Callable[[], Config]) -> None:
        self._store = store
        self._config = config
        self._usage = Usage()
        self._highest: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()  # two scrapes at once would read twice as much

    def collect(self) -> Iterator[Family]:
        """Yield every metric.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._lock:
            store = self._store()
            samples = store.read(partial(self._read, config=self._config(), now_ms=store.now_ms()))
            samples.append(Sample(catalog.PENDING_ENDS, (), pending_ends(store)))
            samples.append(Sample(catalog.BUILD, (__version__, "SQLite" if store.file else "PostgreSQL"), 1))
        yield from catalog.families(samples)

    def _read(self, database: Database, config: Config, now_ms: int) -> list[Sample]:
        return [
            *map(self._rising, self._usage.read(database, config, now_ms // HOUR_MS)),
            *state.holds(database, config),
            *state.budgets(database, config, now_ms),
            *state.circuits(database, config, now_ms),
            *state.keys(database, config),
            *state.alerts(database),
            *state.jobs(database, config, now_ms),
            *state.set_aside_ends(database),
        ]

    def _rising(self, sample: Sample) -> Sample:
        if sample.metric.kind != "counter" or isinstance(sample.value, dict):
            return sample
        key = (sample.metric.name, *sample.labels)
        self._highest[key] = max(sample.value, self._highest.get(key, 0))
        return sample._replace(value=self._highest[key])
