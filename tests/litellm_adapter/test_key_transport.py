"""The transport that puts keys on requests: a request that waited for a connection asks before it is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import aiohttp
import httpx
import pytest
from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport

from supernova_ai.litellm_adapter.key_transport import KeyNotSent, KeyTransport, placeholder_for
from supernova_ai.secret import Secret
from supernova_ai.testing import Answer, StubProvider
from tests.waiting import until

Stub = Callable[..., StubProvider]

TRANSPORTS: dict[str, Callable[[], httpx.AsyncBaseTransport]] = {
    "aiohttp": lambda: LiteLLMAiohttpTransport(
        lambda: aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    ),
    "httpx": lambda: httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1)),
}
"""LiteLLM's transport, and the one that it takes if that is switched off; each with one connection."""

KEY = Secret("sk-openai-0123456789abcdef")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Callable[[], KeyTransport]:
    return lambda: KeyTransport(TRANSPORTS[request.param]())


async def ask(client: httpx.AsyncClient, stub: StubProvider, placeholder: str) -> httpx.Response:
    return await client.post(
        f"{stub.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {placeholder}"},
        json={"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    )


async def test_the_key_is_sent_if_it_may_be(
    transport: Callable[[], KeyTransport], stub_provider: Stub
) -> None:
    """It takes the place of its placeholder, after it was asked for once; the request itself has no key."""
    stub = stub_provider()
    asked: list[None] = []

    async def yes() -> bool:
        asked.append(None)
        return True

    async with httpx.AsyncClient(transport=transport()) as client:
        answer = await ask(client, stub, placeholder_for(KEY, yes))
    assert (answer.status_code, len(asked)) == (200, 1)
    assert stub.requests[0].key == KEY.reveal()
    assert KEY.reveal() not in str(answer.request.headers.raw)


async def test_a_key_revoked_while_its_request_waits_is_not_sent(
    transport: Callable[[], KeyTransport], stub_provider: Stub
) -> None:
    """A request that waits for a connection is not sent with a key that is revoked meanwhile."""
    gate = threading.Event()
    stub = stub_provider(Answer("Diversify.", gate=gate))
    revoked = False

    async def may_be_sent() -> bool:
        return not revoked

    other = Secret("sk-openai-fedcba9876543210")
    async with httpx.AsyncClient(transport=transport()) as client:
        first = asyncio.create_task(ask(client, stub, placeholder_for(other)))
        await until(lambda: len(stub.chats) == 1)
        second = asyncio.create_task(ask(client, stub, placeholder_for(KEY, may_be_sent)))
        for _ in range(20):
            await asyncio.sleep(0)  # it waits for the only connection
        revoked = True
        gate.set()
        assert (await first).status_code == 200
        with pytest.raises(KeyNotSent):
            await second
        assert (await ask(client, stub, placeholder_for(other))).status_code == 200  # the connection is free
    assert {request.key for request in stub.requests} == {other.reveal()}
