from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from supernova_ai import Supernova
from supernova_ai.serve import create_app
from supernova_ai.testing import Raw, Received
from tests.client.conftest import _warm, nova, stub
from tests.waiting import comes_true

__all__ = ["_warm", "nova", "stub"]

TOKEN = "a-token-of-this-test"
HELLO = [{"role": "user", "content": "What now?"}]

Ask = Callable[..., Any]


def http_client(nova: Supernova, **options: Any) -> TestClient:
    """Return a client of an application, without a socket. It sends the token."""
    app = create_app(nova, token=TOKEN, **options)
    headers = {"authorization": f"Bearer {TOKEN}"}
    return TestClient(app, base_url="http://127.0.0.1", headers=headers)


@pytest.fixture
def http(nova: Supernova) -> TestClient:
    return http_client(nova)


@pytest.fixture
def ask(http: TestClient) -> Ask:
    """Ask for a completion with these fields, and these headers; gives the response."""

    def post(headers: dict[str, str] | None = None, **fields: Any) -> Any:
        body = {"model": "default", "messages": HELLO} | fields
        return http.post("/v1/chat/completions", json=body, headers=headers)

    return post


@pytest.fixture
def serve() -> Iterator[Callable[[Starlette], str]]:
    """Serve an application on loopback until the test ends; gives its address."""
    with ExitStack() as stopping:

        def run(app: Starlette) -> str:
            listener = stopping.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            stopping.callback(thread.join)
            stopping.callback(setattr, server, "should_exit", True)
            assert comes_true(lambda: server.started or not thread.is_alive())
            return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        yield run


@pytest.fixture
def address(serve: Callable[[Starlette], str], nova: Supernova) -> str:
    return serve(create_app(nova, token=TOKEN))


def calling(name: str, arguments: dict[str, Any]) -> Callable[[Received], Raw]:
    """Return a reply of the stub that calls a tool, plain or streamed as it is asked."""

    def answer(request: Received) -> Raw:
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": "call_1", "type": "function", "function": function}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        frame = {"id": "c1", "created": 1, "model": request.json["model"]}
        if not request.json.get("stream"):
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
            choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            body = {**frame, "object": "chat.completion", "choices": [choice], "usage": usage}
            return Raw(200, "application/json", json.dumps(body))
        delta = {"role": "assistant", "tool_calls": [{"index": 0, **call}]}
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
            {"choices": [], "usage": usage},
        ]
        lines = [json.dumps({**frame, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
        events = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
        return Raw(200, "text/event-stream", events)

    return answer


def quoting(name: str, arguments: dict[str, Any], answer: str) -> Callable[[Received], Any]:
    """Return a reply of the stub that first calls a tool, and then answers with its result."""

    def reply(request: Received) -> Any:
        results = [one["content"] for one in request.json["messages"] if one["role"] == "tool"]
        return answer.format(*results) if results else calling(name, arguments)(request)

    return reply
