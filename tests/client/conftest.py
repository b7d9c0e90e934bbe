from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import Supernova
from supernova_ai.testing import StubProvider
from tests import desk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "supernova.db"


@pytest.fixture
def open_nova(path: Path) -> Iterator[Callable[..., Supernova]]:
    """Open a client as ``desk.configure`` is told."""
    with ExitStack() as opened:

        def open_(*args: Any, **kwargs: Any) -> Supernova:
            nova = Supernova(desk.configure(path, *args, **kwargs), master=desk.MASTER)
            opened.callback(nova.close)
            return nova

        yield open_


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider("Diversify, always.")


@pytest.fixture
def nova(open_nova: Callable[..., Supernova], stub: StubProvider) -> Supernova:
    return open_nova({"openai": stub.url})
