"""What the proofs share: attempts without providers, and what must hold after each proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from peewee import Database, SqliteDatabase

from supernova_ai.ledger import End, Hold, Ledger
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import Usage
from supernova_ai.upkeep.verify import verify_ledger
from tests import books
from tests.entries import entry


def place_hold(ledger: Ledger, name: str, amount: int, **given: Any) -> Callable[[Database], Hold]:
    """Return the operation that places this hold."""
    return lambda database: ledger.hold(database, entry(name, amount, ledger.now_ms(), **given))


def settled(cost: int, now_ms: int) -> End:
    """Return the end of an attempt that cost so many nano-USD."""
    return End("settled", cost, "exact", Usage(prompt=100, completion=20), now_ms, latency_ms=cost % 1000)


def attempts(store: Store) -> dict[str, Any]:
    """Read every attempt's row by its id."""
    rows: Iterable[Any] = store.read(lambda database: list(AttemptRow.select().execute(database)))
    return {row.id: row for row in rows}


def check(store: Store) -> None:
    """Assert that the database is intact and the ledger is consistent, also for ``ledger verify``."""

    def operation(database: Database) -> None:
        if isinstance(database, SqliteDatabase):
            assert database.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
        books.check(database)

    store.read(operation)
    assert verify_ledger(store, (), folder=Path("no archives")).problems == ()
