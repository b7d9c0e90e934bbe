"""A client that shows every byte of the stub provider's answer, as no client library does.

HuggingFace's router has OpenAI's API, so the dialect of OpenAI covers both.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from supernova_ai.testing import StubProvider

KEY = "sk-of-the-test-0123456789"
TEXT = "Money lent to a state."


class Dialect(NamedTuple):
    """An API: its path, key headers, last event of a stream, error event, and names of the token counts."""

    path: str
    key: Mapping[str, str]
    last: str
    error: str
    usage: tuple[str, str]


DIALECTS = {
    "openai": Dialect(
        "/v1/chat/completions",
        {"authorization": f"Bearer {KEY}"},
        "[DONE]",
        'data: {"error": {"message": ',
        ("prompt_tokens", "completion_tokens"),
    ),
    "anthropic": Dialect(
        "/v1/messages",
        {"x-api-key": KEY, "anthropic-version": "2023-06-01"},
        "message_stop",
        'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"',
        ("input_tokens", "output_tokens"),
    ),
    "ollama": Dialect(
        "/api/chat",
        {"authorization": f"Bearer {KEY}"},
        '"done": true',
        '{"error": "',
        ("prompt_eval_count", "eval_count"),
    ),
}

each_way = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


class RawAnswer(NamedTuple):
    """The part of an answer that arrived, and the error that ended it early."""

    head: httpx.Response | None
    text: str
    error: httpx.TransportError | None


def request_body(streamed: bool) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "What is a bond?"}],
        "stream": streamed,
        "stream_options": {"include_usage": True},
    }


def ask(stub: StubProvider, dialect: Dialect, streamed: bool) -> RawAnswer:
    """Send a request, and read the answer to its end."""
    head, text = None, ""
    try:
        # Nothing is encrypted, and loading certificates takes longer than most of these tests.
        with (
            httpx.Client(verify=False) as client,
            client.stream(
                "POST", stub.url + dialect.path, json=request_body(streamed), headers=dialect.key
            ) as head,
        ):
            for piece in head.iter_text():
                text += piece
    except httpx.TransportError as error:
        return RawAnswer(head, text, error)
    return RawAnswer(head, text, None)


def connect(stub: StubProvider) -> socket.socket:
    address = urlsplit(stub.url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


def request_bytes(dialect: Dialect, streamed: bool) -> bytes:
    """Return the bytes of an HTTP request."""
    body = json.dumps(request_body(streamed))
    return f"POST {dialect.path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def documents(text: str) -> list[Any]:
    """Read the JSON documents of a plain body, an event stream or lines of JSON."""
    lines = [line.removeprefix("data: ") for line in text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def stream_text(stream: str) -> str:
    """Join the tokens of a stream in any dialect."""
    text = ""
    for event in documents(stream):
        choice = (event.get("choices") or [{}])[0].get("delta", {})
        text += choice.get("content") or event.get("delta", {}).get("text") or ""
        text += event.get("message", {}).get("content") or "" if "done" in event else ""
    return text


def read_all(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass
