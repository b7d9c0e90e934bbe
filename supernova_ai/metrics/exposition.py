"""The metrics as text: for a server that Prometheus asks, and as a file for its node exporter."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from supernova_ai.config import Config
from supernova_ai.metrics.collector import StoreCollector
from supernova_ai.reports.files import atomic_file
from supernova_ai.store import ReadOnlyStore, Store


class Exposition:
    """The metrics of one database. Keep it, as its collector.

    Args:
        store: returns the open database.
        config: returns the configuration in force.
    """

    def __init__(self, store: Callable[[], Store | ReadOnlyStore], config: Callable[[], Config]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)  # else it would read the database now
        self._registry.register(StoreCollector(store, config))

    def render(self, accept: str = "") -> tuple[str, str]:
        """Return the text and its media type: in OpenMetrics if the header ``Accept`` asks for it.

        Raises:
            StoreError: the database cannot be read.
        """
        encode, media_type = choose_encoder(accept)
        return encode(self._registry).decode(), media_type

    def write(self, path: Path) -> None:
        """Replace the file, which every user may read, in one step.

        Raises:
            StoreError: the database cannot be read.
            OSError: the file cannot be written. In both cases it stays as it was.
        """
        text, _ = self.render()
        with atomic_file(path) as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
