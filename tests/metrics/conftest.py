from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from supernova_ai.config import Config
from supernova_ai.metrics.exposition import Exposition
from supernova_ai.store import Store
from tests.ledger.conftest import clock, make_entry, open_ledger, take

__all__ = ["clock", "make_entry", "open_ledger", "take"]

MODELS = {"models": {"standard": "gpt", "economy": "gpt-mini"}, "keys": ["primary"]}
CONFIG = Config.model_validate(
    {
        "providers": {"openai": MODELS},
        "routing": {"priority": ["openai"]},
        "budgets": [
            {"name": "daily", "limit": 10, "per": "day"},
            {"name": "each", "limit": 4, "per": "week", "user": "*"},
        ],
        "backup": {"schedule": "weekly"},
    }
)

Value = Callable[..., float | None]


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the values of an exposition by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def exposition(store: Store, clock: SimpleNamespace) -> Exposition:
    """The metrics of the store, whose time is the clock's."""
    store.now = lambda: clock.now  # type: ignore[assignment]
    return Exposition(lambda: store, lambda: CONFIG)


@pytest.fixture
def value(exposition: Exposition) -> Value:
    """Scrape, and read the value of a metric with these labels, in any order; None if there is none."""

    def read(metric: str, /, **labels: Any) -> float | None:
        return parsed(exposition.render()[0]).get((metric, frozenset(labels.items())))

    return read
