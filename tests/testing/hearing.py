"""Ask the stub provider as no client library does, and hear every byte of what comes.

HuggingFace's router is asked as OpenAI is, so OpenAI's dialect stands for both.
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
    """Where a provider is asked, how it carries a key, ends a stream, says an error in one, and counts."""

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


class Heard(NamedTuple):
    """What of an answer arrived, and what ended it if not its end."""

    head: httpx.Response | None
    text: str
    error: httpx.TransportError | None


def request_of(streamed: bool) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "What is a bond?"}],
        "stream": streamed,
        "stream_options": {"include_usage": True},
    }


def hear(stub: StubProvider, dialect: Dialect, streamed: bool) -> Heard:
    """Ask, and listen to the end."""
    head, text = None, ""
    try:
        # Nothing is encrypted here, and to load the certificates takes longer than most of these tests.
        with (
            httpx.Client(verify=False) as client,
            client.stream(
                "POST", stub.url + dialect.path, json=request_of(streamed), headers=dialect.key
            ) as head,
        ):
            for piece in head.iter_text():
                text += piece
    except httpx.TransportError as error:
        return Heard(head, text, error)
    return Heard(head, text, None)


def dial(stub: StubProvider) -> socket.socket:
    address = urlsplit(stub.url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


def bytes_of(dialect: Dialect, streamed: bool) -> bytes:
    """The request as it goes over the wire."""
    body = json.dumps(request_of(streamed))
    return f"POST {dialect.path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def documents(text: str) -> list[Any]:
    """Read the JSON documents of an event stream or lines of JSON."""
    lines = [line.removeprefix("data: ") for line in text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def words_of(text: str) -> str:
    """Join the tokens of a stream, in whatever dialect."""
    said = ""
    for event in documents(text):
        choice = (event.get("choices") or [{}])[0].get("delta", {})
        said += choice.get("content") or event.get("delta", {}).get("text") or ""
        said += event.get("message", {}).get("content") or "" if "done" in event else ""
    return said


def read_all(line: socket.socket) -> None:
    while line.recv(65_536):
        pass
