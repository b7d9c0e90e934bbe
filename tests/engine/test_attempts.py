"""One attempt at each provider, and everything that can happen to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supernova_ai import (
    AuthenticationFailed,
    ContextTooLong,
    ModelNotFound,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    Supernova,
)
from supernova_ai.store.tables import Attempt, Window
from supernova_ai.testing import Answer, Failure, Hang, Reset, StubProvider, closed_port
from supernova_ai.types import Usage

PROVIDERS = ["openai", "anthropic", "ollama", "huggingface"]
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

each_provider = pytest.mark.parametrize("provider", PROVIDERS)
each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[Attempt]]
Find = Callable[..., Window]


def balance(window: Window) -> tuple[int, int, int]:
    return window.settled, window.held, window.lost


@each_provider
@each_way
async def test_answer_is_settled(
    provider: str,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    window: Find,
) -> None:
    """An answer settles its attempt at the provider's usage, exactly; reply, row and window agree."""
    stub = stub_provider(Answer("Diversify.", usage=Usage(prompt=40, completion=7)))
    nova = open_nova({provider: stub.url})
    reply = await nova.chat("What now?", streaming=streaming)
    (row,) = attempts()
    assert (reply.content, reply.finish_reason, reply.cost_basis) == ("Diversify.", "stop", "exact")
    assert (row.state, row.prompt, row.completion, row.error) == ("settled", 40, 7, None)
    assert balance(window()) == (row.cost, 0, 0)
    assert row.cost == reply.cost * 10**9
    assert row.cost <= row.held
    assert (row.cost > 0) is (provider != "ollama")
    assert len(stub.requests) == 1


@each_provider
@each_way
@pytest.mark.parametrize("status", REFUSALS)
async def test_refusal_is_released(
    provider: str,
    streaming: bool,
    status: int,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    window: Find,
) -> None:
    """An HTTP error is the error class of its status, in the provider's words; its money is free at once."""
    stub = stub_provider(Failure(status, 'No "such" luck.'))
    nova = open_nova({provider: stub.url})
    with pytest.raises(REFUSALS[status], match='No "such" luck') as raised:
        await nova.chat("What now?", streaming=streaming)
    assert type(raised.value) is REFUSALS[status]
    assert raised.value.status == status
    assert "{" not in str(raised.value)
    assert "litellm" not in str(raised.value).lower()
    (row,) = attempts()
    assert (row.state, row.cost, row.error) == ("released", 0, REFUSALS[status].__name__)
    assert balance(window()) == (0, 0, 0)
    assert len(stub.requests) == 1


@each_provider
@each_way
async def test_reset_before_the_answer_is_lost(
    provider: str,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    window: Find,
) -> None:
    """A connection that breaks after the request went out: nobody knows the cost, the hold stays counted."""
    stub = stub_provider(Reset())
    nova = open_nova({provider: stub.url})
    with pytest.raises(ProviderUnavailable) as raised:
        await nova.chat("What now?", streaming=streaming)
    assert raised.value.status is None
    (row,) = attempts()
    assert (row.state, row.cost, row.basis) == ("lost", row.held, "bound")
    assert balance(window()) == (0, 0, row.held)
    assert len(stub.requests) == 1


@each_provider
@each_way
async def test_silence_is_lost(
    provider: str,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    window: Find,
) -> None:
    """A provider that never answers is given up after its timeout, and its hold stays counted."""
    stub = stub_provider(Hang())
    nova = open_nova({provider: {"url": stub.url, "timeout": {"total": 0.2, "stream": 0.2}}})
    with pytest.raises(ProviderTimeout) as raised:
        await nova.chat("What now?", streaming=streaming)
    assert raised.value.status is None
    (row,) = attempts()
    assert (row.state, row.error) == ("lost", "ProviderTimeout")
    assert balance(window()) == (0, 0, row.held)
    assert len(stub.requests) == 1


@each_provider
@each_way
async def test_closed_port_is_released(
    provider: str, streaming: bool, open_nova: Open, attempts: Rows, window: Find
) -> None:
    """A provider that cannot be reached was sent nothing: the money is free at once."""
    with closed_port() as port:
        nova = open_nova({provider: f"http://127.0.0.1:{port}"})
        with pytest.raises(ProviderUnavailable):
            await nova.chat("What now?", streaming=streaming)
    (row,) = attempts()
    assert (row.state, row.cost) == ("released", 0)
    assert balance(window()) == (0, 0, 0)
