"""The store's tests: where its file is, and operations that write and read rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from peewee import Database

from supernova_ai.store import Store
from supernova_ai.store.tables import MetaRow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a folder that does not exist yet."""
    return tmp_path / "data" / "supernova.db"


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
