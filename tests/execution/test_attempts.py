"""One attempt at each provider: what each outcome raises or returns, and how the hold ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import pytest

from supernova_ai import (
    AuthenticationFailed,
    ContextTooLong,
    ModelNotFound,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    Reply,
    RequestRejected,
    Supernova,
)
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Failure, Hang, Reset, StubProvider, closed_port
from supernova_ai.types import Usage
from tests.waiting import SENT_S

REFUSALS: dict[int, type[ProviderError]] = {
    400: RequestRejected,
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: ModelNotFound,
    413: ContextTooLong,
    429: RateLimited,
    500: ProviderUnavailable,
    503: ProviderUnavailable,
    529: ProviderUnavailable,
}

PROVIDERS = ["openai", "anthropic", "ollama", "huggingface"]

each_provider = pytest.mark.parametrize(
    ("provider", "streaming"),
    [
        pytest.param(provider, streaming, id=f"{provider}-{'streamed' if streaming else 'plain'}")
        for provider, streaming in product(PROVIDERS, (False, True))
    ],
)

Ask = Callable[..., Awaitable[Reply]]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]


@pytest.fixture
def ask(provider: str, streaming: bool, open_nova: Callable[..., Supernova]) -> Ask:
    """Send one call to the provider at the given URL, plain or streamed."""

    async def ask(url: str, **settings: Any) -> Reply:
        return await open_nova({provider: {"url": url, **settings}}).chat("What now?", streaming=streaming)

    return ask


@each_provider
async def test_answer_is_settled(
    provider: str, ask: Ask, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """An answer settles its attempt at the exact cost of the reported usage; reply, row and window agree."""
    stub = stub_provider(Answer("Diversify.", usage=Usage(prompt=40, completion=7)))
    reply = await ask(stub.url)
    (row,) = attempts()
    assert (reply.content, reply.finish_reason, reply.cost_basis) == ("Diversify.", "stop", "exact")
    assert (row.state, row.prompt, row.completion, row.error) == ("settled", 40, 7, None)
    assert balance() == (row.cost, 0, 0)
    assert row.cost == reply.cost * 10**9
    assert row.cost <= row.held
    assert (row.cost > 0) is (provider != "ollama")
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("provider", "streaming", "status"),
    # Streamed or not, a status is told in the same way: a few are enough.
    [*product(PROVIDERS, [False], REFUSALS), *product(PROVIDERS, [True], [401, 429, 503])],
)
async def test_refusal_is_released(
    status: int, ask: Ask, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """An HTTP error raises the class of its status with the provider's message, and releases the hold."""
    stub = stub_provider(Failure(status, 'No "such" luck.'))
    with pytest.raises(REFUSALS[status], match='No "such" luck') as raised:
        await ask(stub.url)
    assert type(raised.value) is REFUSALS[status]
    assert raised.value.status == status
    assert "{" not in str(raised.value)
    assert "litellm" not in str(raised.value).lower()
    (row,) = attempts()
    assert (row.state, row.cost, row.error) == ("released", 0, REFUSALS[status].__name__)
    assert balance() == (0, 0, 0)
    assert len(stub.requests) == 1


@each_provider
async def test_reset_before_the_answer_is_lost(
    ask: Ask, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A connection that breaks after the request was sent ends the attempt as lost: its cost is unknown."""
    stub = stub_provider(Reset())
    with pytest.raises(ProviderUnavailable) as raised:
        await ask(stub.url)
    assert raised.value.status is None
    (row,) = attempts()
    assert (row.state, row.cost, row.basis) == ("lost", row.held, "bound")
    assert balance() == (0, 0, row.held)
    assert len(stub.requests) == 1


@each_provider
async def test_silence_is_lost(ask: Ask, stub_provider: Stub, attempts: Rows, balance: Balance) -> None:
    """A provider that never answers times out, and the attempt ends as lost."""
    stub = stub_provider(Hang())
    with pytest.raises(ProviderTimeout) as raised:
        await ask(stub.url, timeout={"total": SENT_S, "first_token": SENT_S})
    assert raised.value.status is None
    (row,) = attempts()
    assert (row.state, row.error) == ("lost", "ProviderTimeout")
    assert balance() == (0, 0, row.held)
    assert len(stub.requests) == 1


@each_provider
async def test_closed_port_is_released(ask: Ask, attempts: Rows, balance: Balance) -> None:
    """A refused connection releases the hold, because nothing was sent."""
    with closed_port() as port, pytest.raises(ProviderUnavailable):
        await ask(f"http://127.0.0.1:{port}")
    (row,) = attempts()
    assert (row.state, row.cost) == ("released", 0)
    assert balance() == (0, 0, 0)
