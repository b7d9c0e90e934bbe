from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supernova_ai.store.tables import AttemptRow, WindowRow
from tests import clients, databases, recount


@pytest.fixture(scope="session", autouse=True)
def _warm(warm: set[str]) -> None:
    pass


@pytest.fixture(autouse=True)
def _books_add_up(path: Path) -> Iterator[None]:
    """Check after each test, when its clients are closed, that the ledger is consistent."""
    yield
    if path.exists():
        databases.read(path, recount.check)


@pytest.fixture
def attempts(path: Path) -> Callable[[], list[AttemptRow]]:
    return lambda: clients.attempts(path)


@pytest.fixture
def window(path: Path) -> Callable[[], WindowRow]:
    return lambda: clients.window(path)


@pytest.fixture
def balance(path: Path) -> Callable[[], tuple[int, int, int]]:
    """Read the amounts settled, held and lost in the daily budget's window, in nano-USD."""

    def read() -> tuple[int, int, int]:
        window = clients.window(path)
        return window.settled, window.held, window.lost

    return read
