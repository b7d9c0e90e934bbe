from __future__ import annotations

from collections.abc import Callable

import pytest

from supernova_ai import Supernova
from supernova_ai.testing import StubProvider


@pytest.fixture(scope="session", autouse=True)
def _warm(warm: set[str]) -> None:
    pass


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider("Diversify, always.")


@pytest.fixture
def nova(open_nova: Callable[..., Supernova], stub: StubProvider) -> Supernova:
    return open_nova({"openai": stub.url})
