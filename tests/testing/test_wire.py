"""Recorded exchanges, and the stub compared with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from supernova_ai.testing import Answer, Exchange, Failure, StubProvider, exchanges
from tests.testing.raw_client import documents

RECORDED = list(exchanges())
PATHS = {
    "openai": "/v1/chat/completions",
    "huggingface": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "ollama": "/api/chat",
}
each_exchange = pytest.mark.parametrize(
    "exchange", [pytest.param(exchange, id=exchange.name) for exchange in RECORDED]
)


def fields(value: Any, at: str = "") -> set[str]:
    """Return the paths of all fields of a document."""
    if isinstance(value, list):
        return {name for item in value for name in fields(item, at)}
    if not isinstance(value, dict):
        return set()
    return {f"{at}.{key}" for key in value} | {
        name for key, item in value.items() for name in fields(item, f"{at}.{key}")
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record = {
        "id": "1",
        "provider": "ollama",
        "status": 200,
        "content_type": "application/json",
        "headers": {"x-a": "b"},
        "request": {"model": "m"},
        "response": {"done": True},
        "licence": "MIT",
    }
    (tmp_path / "b.json").write_text(json.dumps(record | {"response": '{"done": true}\n'}))
    (tmp_path / "a.json").write_text(json.dumps(record))
    return tmp_path


def test_exchanges_are_read_in_order(folder: Path) -> None:
    """Exchanges are sorted by name, and streams are distinguished from plain answers."""
    plain, stream = exchanges(folder)
    assert (plain.name, plain.streamed, plain.provider) == ("a", False, "ollama")
    assert (stream.name, stream.streamed, stream.answer.body) == ("b", True, '{"done": true}\n')
    assert plain.answer.body == '{"done": true}'


def test_folder_is_named_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SUPERNOVA_WIRE_DIR names the folder; without it there are no exchanges."""
    assert list(exchanges()) == []
    monkeypatch.setenv("SUPERNOVA_WIRE_DIR", str(folder))
    assert [exchange.name for exchange in exchanges()] == ["a", "b"]


@each_exchange
def test_the_stub_serves_recorded_answers(
    exchange: Exchange, stub_provider: Callable[..., StubProvider]
) -> None:
    """The stub sends a recorded answer with its status, type, headers and every byte."""
    stub = stub_provider(exchange.answer)
    answer = httpx.post(stub.url + PATHS[exchange.provider], json=exchange.request)
    assert answer.status_code == exchange.status
    assert answer.text == exchange.answer.body
    assert exchange.headers.items() | {("content-type", exchange.content_type)} <= set(answer.headers.items())


@pytest.mark.skipif(not RECORDED, reason="SUPERNOVA_WIRE_DIR names no recorded exchanges")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
def test_the_stub_sends_no_invented_field(
    provider: str, streamed: bool, stub_provider: Callable[..., StubProvider]
) -> None:
    """Every field that the stub sends was also sent by the real provider."""
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": streamed}
    request["stream_options"] = {"include_usage": True}
    stub = stub_provider(Answer("Good day to you."), script=[Failure(400)] if not streamed else [])
    bodies = [httpx.post(stub.url + PATHS[provider], json=request).text for _ in range(2)]
    real = {
        name
        for exchange in RECORDED
        if exchange.provider == provider
        for document in documents(exchange.answer.body)
        for name in fields(document)
    }
    # No recording has Ollama's error body, which is {"error": …} by its documentation.
    known = real | ({".error"} if provider == "ollama" else set())
    sent = {name for body in bodies for document in documents(body) for name in fields(document)}
    assert sent
    assert sent - known == set()
