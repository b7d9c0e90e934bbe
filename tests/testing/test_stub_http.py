"""The stub provider as an HTTP server: its connections, paths and shutdown."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from supernova_ai.testing import TOXINS, Failure, Flood, Hang, Raw, Step, StubProvider, closed_port
from tests.testing.raw_client import connect

Make = Callable[..., StubProvider]


async def test_stream_has_usage_only_when_asked(stub_provider: Make) -> None:
    """OpenAI's stream ends with the usage only if stream_options request it."""
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
    """An unknown path or method is answered with 404, and does not use up the script."""
    stub = stub_provider(script=["for a chat"])
    answer = httpx.get(f"{stub.url}/v2/chat")
    assert answer.status_code == 404
    assert "GET /v2/chat" in answer.json()["error"]["message"]
    assert list(stub.script) == ["for a chat"]


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset, as if the client were killed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the stub's event loop logged; other threads may log too."""
    return [record.getMessage() for record in caplog.records if record.name == "asyncio"]


CHAT = b"""POST /api/chat HTTP/1.1\r\ncontent-length: 31\r\n\r\n{"model": "m", "stream": true }"""


@pytest.mark.proof
def test_clients_may_disconnect_at_any_byte(stub_provider: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A client may disconnect during its request or any toxin: others are served, nothing is logged."""
    stub = stub_provider()
    for sent in range(len(CHAT)):
        connection = connect(stub)
        connection.sendall(CHAT[:sent])
        reset(connection)
    cases = [(toxin.step, received) for toxin in TOXINS.values() for received in (0, 1, 200)]
    for number, (step, received) in enumerate(cases, start=1):
        stub.script.append(step)
        connection = connect(stub)
        connection.sendall(CHAT)
        stub.wait_for_requests(number)
        if step != Hang():
            with suppress(ConnectionResetError):
                connection.recv(received)
        reset(connection)
    assert httpx.post(f"{stub.url}/api/chat", json={}).status_code == 200
    stub.close()
    gc.collect()  # an unhandled error of a task is logged when the task is collected
    assert logged(caplog) == []


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01\r\n\r\n", b"POST /api/chat HTTP/1.1\r\ncontent-length: many\r\n\r\n", b"x" * 100_000],
    ids=["tls", "length", "endless-head"],
)
def test_invalid_http_closes_the_connection(
    nonsense: bytes, stub_provider: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are not an HTTP request close the connection, and nothing is logged."""
    stub = stub_provider()
    with connect(stub) as connection:
        connection.sendall(nonsense)
        with suppress(ConnectionResetError):  # if the stub left bytes unread
            assert connection.recv(1) == b""
    assert (stub.requests, logged(caplog)) == ([], [])


def test_a_body_that_is_not_json_is_recorded_as_text(stub_provider: Make) -> None:
    """A body that is not JSON is answered like an empty request, and recorded as text."""
    stub = stub_provider("Diversify.")
    answer = httpx.post(f"{stub.url}/v1/chat/completions", content=b"not JSON \xff")
    assert answer.json()["choices"][0]["message"]["content"] == "Diversify."
    assert stub.requests[0].body == "not JSON \N{REPLACEMENT CHARACTER}"


@pytest.mark.proof
def test_close_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Closing a stub during its answers ends its thread, its tasks and every socket."""
    steps: list[str | Step] = [Flood(), Hang(), Hang(2), TOXINS["slow_drip"].step, "idle"]
    gc.collect()  # what earlier tests left
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        stub = StubProvider(script=steps)
        connections = [connect(stub) for _ in steps]
        for connection in connections:
            connection.sendall(CHAT)
        stub.wait_for_requests(len(steps))
        with httpx.Client(verify=False) as client:
            for _ in range(50):  # until the flood has filled the socket's buffers
                client.get(f"{stub.url}/api/version")
        stub.close()
        gc.collect()
        for connection in connections:
            connection.close()
    assert "stub-provider" not in {thread.name for thread in threading.enumerate()}
    assert [str(warning.message) for warning in warned if warning.category is ResourceWarning] == []
    assert logged(caplog) == []


PROBES: dict[str, tuple[dict[str, str], set[str]]] = {
    "/v1/models": ({}, {"object", "data"}),
    "/v1/models?limit=1": ({"anthropic-version": "2023-06-01"}, {"data", "first_id", "last_id", "has_more"}),
    "/api/tags": ({}, {"models"}),
    "/api/version": ({}, {"version"}),
    "/api/whoami-v2": ({}, {"type", "id", "name", "fullname", "auth"}),
}
each_probe = pytest.mark.parametrize(
    ("path", "headers", "fields"), [(path, headers, fields) for path, (headers, fields) in PROBES.items()]
)


@each_probe
def test_probes_find_the_provider_healthy(
    path: str, headers: dict[str, str], fields: set[str], stub_provider: Make
) -> None:
    """Probes are answered in their provider's format, and do not use up the script of the chats."""
    stub = stub_provider(Failure(500), script=["for a chat"])
    answer = httpx.get(stub.url + path, headers=headers)
    assert (answer.status_code, set(answer.json())) == (200, fields)
    assert [request.path for request in stub.requests] == [path]
    assert (stub.chats, list(stub.script)) == ([], ["for a chat"])
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        stub.wait_for_requests(1, timeout=0)


@each_probe
def test_probes_can_fail(path: str, headers: dict[str, str], fields: set[str], stub_provider: Make) -> None:
    """A probe gets its given step, in the provider's format, until healthy again; chats are not affected."""
    stub = stub_provider("Diversify.", probe=TOXINS["key_echoed"].step)
    refused = httpx.get(stub.url + path, headers=headers | {"authorization": "Bearer sk-of-the-test"})
    assert (refused.status_code, "sk-of-the-test" in refused.text) == (401, True)
    stub.probe = TOXINS["close_midway"].step
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(stub.url + path, headers=headers)
    assert httpx.post(f"{stub.url}/api/chat", json={}).status_code == 200
    stub.probe = "healthy"
    assert set(httpx.get(stub.url + path, headers=headers).json()) == fields


def test_wait_for_requests_times_out(stub_provider: Make) -> None:
    """Waiting for a request that does not arrive ends with a TimeoutError that gives the count."""
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        stub_provider().wait_for_requests(1, timeout=0)


def test_close_is_final() -> None:
    """A closed stub refuses connections and ends hanging ones; closing it again has no effect."""
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
    """A closed port refuses connections."""
    with closed_port() as port, pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}")
