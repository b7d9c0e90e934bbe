from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai.config import Budget
from supernova_ai.ledger import Entry, Hold, Ledger
from supernova_ai.money import to_nano, to_usd
from supernova_ai.store import Store
from supernova_ai.store.tables import WindowRow
from tests.holds import entry


@pytest.fixture
def clock() -> SimpleNamespace:
    """A clock that stands still: ``now`` in Unix seconds, a Sunday at noon."""
    return SimpleNamespace(now=datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp())


@pytest.fixture
def open_ledger(store: Store, clock: SimpleNamespace) -> Iterator[Callable[..., Ledger]]:
    """Open a ledger with these budgets; it is closed when the test ends."""
    with ExitStack() as opened:

        def open_(*budgets: Budget) -> Ledger:
            ledger = Ledger(store, budgets, clock=lambda: clock.now)
            opened.callback(ledger.close)
            return ledger

        yield open_


@pytest.fixture
def make_entry(clock: SimpleNamespace) -> Callable[..., Entry]:
    """Make an entry of this many USD, with defaults for the other columns."""
    number = count(1)

    def make(usd: str, **given: Any) -> Entry:
        return entry(f"attempt-{next(number)}", to_nano(usd), int(clock.now * 1000), **given)

    return make


@pytest.fixture
def take(make_entry: Callable[..., Entry]) -> Callable[..., Hold]:
    """Take a hold of this many USD."""

    def take(ledger: Ledger, usd: str, **given: Any) -> Hold:
        wanted = make_entry(usd, **given)
        return ledger.write(lambda database: ledger.hold(database, wanted)).result()

    return take


@pytest.fixture
def windows(store: Store) -> Callable[[], dict[tuple[str, str, str], tuple[Decimal, ...]]]:
    """Read every window by budget, subject and period: USD settled, held and lost."""

    def read() -> dict[tuple[str, str, str], tuple[Decimal, ...]]:
        rows = store.read(lambda database: list(WindowRow.select().order_by(WindowRow.id).execute(database)))
        return {
            (row.budget, row.subject, row.period): tuple(map(to_usd, (row.settled, row.held, row.lost)))
            for row in rows
        }

    return read
