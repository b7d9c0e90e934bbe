from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from peewee import Database

from supernova_ai.ledger import End
from supernova_ai.store import Store
from supernova_ai.types import Outcome, Usage
from tests.holds import end_hold, entry, insert_hold

NOW = int(datetime(2026, 11, 22, 12, 30, tzinfo=UTC).timestamp() * 1000)
"""A Sunday at 12:30 UTC."""

Put = Callable[..., None]


@pytest.fixture
def put(store: Store) -> Put:
    """Add ended attempts to the ledger, sent ``ago_s`` seconds before ``NOW``; by default answered."""
    number = count(1)

    def put_(
        ago_s: int = 60,
        *,
        error: str | None = None,
        state: Outcome = "settled",
        latency_ms: int | None = 100,
        first_token_ms: int | None = None,
        times: int = 1,
        basis: Any = "exact",
        failure: Any = None,
        **given: Any,
    ) -> None:
        started = NOW - ago_s * 1000

        def operation(database: Database) -> None:
            for _ in range(times):
                wanted = entry(f"attempt-{next(number):05}", 0, started, **given)
                hold = insert_hold(database, wanted, now_ms=started)
                end = End(
                    state, 0, basis, Usage(), started + 1000, latency_ms, first_token_ms, error, None, failure
                )
                assert end_hold(database, hold, end)

        store.write(operation).result()

    return put_
