from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from supernova_ai.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "supernova.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as store:
        yield store
