"""What the proofs have in common: attempts without providers, and processes that are cheap to start."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from peewee import Database, SqliteDatabase

from supernova_ai.ledger import End, Entry, Hold, Ledger
from supernova_ai.ledger.verify import verify
from supernova_ai.store import Store
from supernova_ai.store.tables import Attempt
from supernova_ai.types import Usage
from tests import books

FORK = multiprocessing.get_context("fork")


def entry(name: str, amount: int, now_ms: int, **given: Any) -> Entry:
    """An attempt that may cost so many nano-USD; the rest is ordinary unless given."""
    ordinary: dict[str, Any] = {
        "request": "request",
        "process": "",
        "user_id": None,
        "session_id": None,
        "task": "chat",
        "tier": "standard",
        "provider": "openai",
        "model": "gpt",
        "key_slot": "primary",
        "prompt_name": None,
        "prompt_hash": None,
        "config_version": "c",
        "price_version": "p",
    }
    return Entry(id=name, held_nano=amount, started_ms=now_ms, **ordinary | given)


def placing(ledger: Ledger, name: str, amount: int, **given: Any) -> Callable[[Database], Hold]:
    """The operation that takes such a hold."""
    return lambda database: ledger.place(database, entry(name, amount, ledger.now_ms(), **given))


def settled(cost: int, now_ms: int) -> End:
    """The end of an attempt that cost so many nano-USD."""
    return End("settled", cost, "exact", Usage(prompt=100, completion=20), now_ms, latency_ms=cost % 1000)


def attempts(store: Store) -> dict[str, Any]:
    """Read every attempt's row by its id."""
    rows: Iterable[Any] = store.read(lambda database: list(Attempt.select().execute(database)))
    return {row.id: row for row in rows}


def check(store: Store) -> None:
    """Assert that the database is whole and its books are right, also in the eyes of ``ledger verify``."""

    def operation(database: Database) -> None:
        if isinstance(database, SqliteDatabase):
            assert database.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
        books.check(database)

    store.read(operation)
    assert verify(store, (), folder=Path("no archives")).problems == ()
