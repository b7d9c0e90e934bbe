from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supernova_ai.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """For what is about SQLite's file."""
    return tmp_path / "data" / "supernova.db"


@pytest.fixture
def where(new_database: Callable[[], str]) -> str:
    """The path or URL of the store: every test that uses it runs on both engines."""
    return new_database()


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store(where) as store:
        yield store
