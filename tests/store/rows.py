"""Operations that write and read rows, for tests of the store."""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database

from supernova_ai.store import Store
from supernova_ai.store.tables import MetaRow


def insert(name: str) -> Callable[[Database], str]:
    """Return an operation that adds a row and returns its name."""

    def operation(database: Database) -> str:
        MetaRow.insert(name=name, value="x").execute(database)
        return name

    return operation


def names(store: Store) -> set[str]:
    """Return the committed names, read over another connection than the writer's."""
    return {row.name for row in store.read(lambda database: list(MetaRow.select().execute(database)))} - {
        "store"
    }
