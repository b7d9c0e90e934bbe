from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supernova_ai import Supernova, SupernovaSync
from supernova_ai.testing import StubProvider
from tests import clients


@pytest.fixture(scope="session", autouse=True)
def _warm(warm: set[str]) -> None:
    pass


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider("Diversify, always.")


@pytest.fixture
def nova(open_nova: Callable[..., Supernova], stub: StubProvider) -> Supernova:
    return open_nova({"openai": stub.url})


@pytest.fixture
def open_sync(path: Path) -> Iterator[Callable[[StubProvider], SupernovaSync]]:
    """Open a client without async over one stub as OpenAI."""
    opened: list[SupernovaSync] = []

    def open_(stub: StubProvider) -> SupernovaSync:
        config = clients.configure(path, {"openai": stub.url})
        opened.append(SupernovaSync(config, master=clients.MASTER))
        return opened[-1]

    yield open_
    for nova in opened:
        nova.close()
