"""Providers without code of ours: any name that LiteLLM knows works in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai import ProviderUnavailable, Supernova
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Reset, StubProvider
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]

ONCE = [
    "azure_ai",
    "databricks",
    "deepseek",
    "fireworks_ai",
    "mistral",
    "openrouter",
    "together_ai",
    "xai",
]
each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


def settings(url: str) -> dict[str, Any]:
    prices = {"some-model": {"input": "1", "output": "1"}}
    return {"url": f"{url}/v1", "models": {"standard": "some-model"}, "prices": prices, "keys": ["primary"]}


@pytest.mark.parametrize("provider", [*ONCE, "cerebras", "perplexity"])
@each_way
async def test_answers_with_its_key(
    provider: str,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Callable[[], list[AttemptRow]],
) -> None:
    """A provider that is only a name in the configuration gets its key, and its answer is settled."""
    stub = stub_provider("Diversify, always.")
    reply = await open_nova({provider: settings(stub.url)}).chat("What now?", streaming=streaming)
    assert reply.content == "Diversify, always."
    (request,), (row,) = stub.requests, attempts()
    assert request.headers["authorization"] == f"Bearer {clients.key_of(provider)}"
    assert (row.provider, row.state) == (provider, "settled")
    assert row.cost > 0


@pytest.mark.parametrize("provider", ONCE)
async def test_is_sent_once(provider: str, open_nova: Open, stub_provider: Stub) -> None:
    """A broken connection is not retried by an HTTP client, which the ledger would not see."""
    stub = stub_provider(Reset())
    with pytest.raises(ProviderUnavailable):
        await open_nova({provider: settings(stub.url)}).chat("What now?")
    assert len(stub.requests) == 1
