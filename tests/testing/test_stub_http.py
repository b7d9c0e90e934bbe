"""The stub provider as a server: its connections, its paths, its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from supernova_ai.testing import Hang, Raw, StubProvider, closed_port

Make = Callable[..., StubProvider]


async def test_stream_has_usage_only_when_asked(stub_provider: Make) -> None:
    """OpenAI's stream ends with the usage only if stream_options ask for it."""
    stub = stub_provider()
    body = {"model": "m", "messages": [], "stream": True}
    async with httpx.AsyncClient(base_url=stub.url) as client:
        without = await client.post("/v1/chat/completions", json=body)
        body["stream_options"] = {"include_usage": True}
        asked = await client.post("/v1/chat/completions", json=body)
    assert "prompt_tokens" not in without.text
    assert "prompt_tokens" in asked.text
    assert without.text.endswith("data: [DONE]\n\n")
    assert asked.text.endswith("data: [DONE]\n\n")


async def test_one_connection_carries_many_requests(stub_provider: Make) -> None:
    """Connections are kept alive, also after a stream."""
    stub = stub_provider()
    streamed = {"model": "m", "messages": [], "stream": True}
    opened = []

    async def trace(name: str, info: dict[str, Any]) -> None:
        if name == "connection.connect_tcp.started":
            opened.append(info)

    async with httpx.AsyncClient(base_url=stub.url) as client:
        for body in (streamed, {"model": "m", "messages": []}, streamed):
            answer = await client.post("/v1/chat/completions", json=body, extensions={"trace": trace})
            assert answer.status_code == 200
    assert len(opened) == 1
    assert len(stub.requests) == 3


def test_raw_is_served_as_it_is(stub_provider: Make) -> None:
    """A raw answer has exactly the given status, content type, headers and body."""
    stub = stub_provider(Raw(418, "text/plain", "I am a teapot: ☕", {"x-kind": "pot"}))
    answer = httpx.post(f"{stub.url}/v1/messages", json={})
    assert (answer.status_code, answer.text) == (418, "I am a teapot: ☕")
    assert (answer.headers["content-type"], answer.headers["x-kind"]) == ("text/plain", "pot")


def test_unknown_paths_are_not_found(stub_provider: Make) -> None:
    """A path or method that no chat API has is answered with 404, and takes nothing from the script."""
    stub = stub_provider(script=["for a chat"])
    answer = httpx.get(f"{stub.url}/v2/chat")
    assert answer.status_code == 404
    assert "GET /v2/chat" in answer.json()["error"]["message"]
    assert list(stub.script) == ["for a chat"]


def test_wait_for_requests_gives_up(stub_provider: Make) -> None:
    """Waiting for a request that does not come ends with a TimeoutError that counts."""
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        stub_provider().wait_for_requests(1, timeout=0)


def test_close_is_final() -> None:
    """A closed stub refuses connections, ends what hangs, and closing it again does nothing."""
    stub = StubProvider(Hang())
    errors: list[Exception] = []

    def hang() -> None:
        try:
            httpx.post(f"{stub.url}/api/chat", json={}, timeout=10)
        except httpx.TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    stub.wait_for_requests(1)
    stub.close()
    thread.join()
    stub.close()
    assert [type(error) for error in errors] == [httpx.RemoteProtocolError]
    with pytest.raises(httpx.ConnectError):
        httpx.get(stub.url)


def test_closed_port_refuses() -> None:
    """A closed port refuses connections at once."""
    with closed_port() as port, pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}")
