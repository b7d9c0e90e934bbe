from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import Supernova
from supernova_ai.store import Store
from supernova_ai.store.tables import Attempt, Window
from tests import books, desk


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """Import LiteLLM before the first test, so that no test's time is spent on it."""
    import supernova_ai.engine  # noqa: F401


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "supernova.db"


@pytest.fixture
def open_nova(path: Path) -> Iterator[Callable[..., Supernova]]:
    """Open a client as ``desk.configure`` is told; after the test its books must add up."""
    with ExitStack() as opened:

        def open_(*args: Any, **kwargs: Any) -> Supernova:
            nova = Supernova(desk.configure(path, *args, **kwargs), master=desk.MASTER)
            opened.callback(nova.close)
            return nova

        yield open_
    if path.exists():
        with Store(path) as store:
            store.read(books.check)


@pytest.fixture
def attempts(path: Path) -> Callable[[], list[Attempt]]:
    return lambda: desk.attempts(path)


@pytest.fixture
def window(path: Path) -> Callable[[], Window]:
    return lambda: desk.window(path)
