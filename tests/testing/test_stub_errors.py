"""The stub provider refusing, failing and miscounting, in each provider's own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai.testing import TOXINS, Answer, Failure, Refusal, StubProvider
from supernova_ai.types import Usage
from tests.testing.raw_client import DIALECTS, KEY, TEXT, Dialect, ask, documents, each_way, stream_text

Make = Callable[..., StubProvider]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 529])
def test_http_errors(status: int, dialect: Dialect, stub_provider: Make) -> None:
    """Each HTTP error has its status and a JSON body with the provider's error, also for a stream."""
    stub = stub_provider(TOXINS[f"http_{status}"].step)
    for streamed in (False, True):
        head, text, _ = ask(stub, dialect, streamed)
        assert head is not None
        assert (head.status_code, head.headers["content-type"]) == (status, "application/json")
        assert json.loads(text)["error"]
        assert "retry-after" not in head.headers


def test_retry_after(dialect: Dialect, stub_provider: Make) -> None:
    """One 429 says when to come back."""
    head, _, _ = ask(stub_provider(TOXINS["http_429_retry_after"].step), dialect, streamed=False)
    assert head is not None
    assert (head.status_code, head.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    ("reason", "provider", "status", "words"),
    [
        ("length", "openai", 400, "This model's maximum context length is"),
        ("length", "anthropic", 400, "prompt is too long: "),
        ("length", "ollama", 400, "exceeds the available context size"),
        ("content", "openai", 400, "Invalid prompt: your prompt was flagged"),
        ("content", "anthropic", 400, "Output blocked by content filtering policy"),
        ("content", "ollama", 400, "told to fail"),
        ("credit", "openai", 429, "You exceeded your current quota"),
        ("credit", "anthropic", 400, "Your credit balance is too low"),
        ("credit", "ollama", 400, "told to fail"),
    ],
)
def test_refusals(reason: Any, provider: str, status: int, words: str, stub_provider: Make) -> None:
    """A refusal has the provider's own status and words."""
    head, text, _ = ask(stub_provider(Refusal(reason)), DIALECTS[provider], streamed=True)
    assert head is not None
    assert head.status_code == status
    error = json.loads(text)["error"]
    assert words in (error if isinstance(error, str) else error["message"])


@pytest.mark.parametrize("after", [0, 2])
def test_error_event(after: int, dialect: Dialect, stub_provider: Make) -> None:
    """An error in a stream that began with status 200 is an event in the provider's shape, and the last."""
    stub = stub_provider(Failure(529, "too busy", after_tokens=after, text=TEXT))
    head, text, error = ask(stub, dialect, streamed=True)
    assert head is not None
    assert (head.status_code, error) == (200, None)
    said, _, event = text.partition(dialect.error)
    assert stream_text(said) == ("Money lent" if after else "")
    assert "too busy" in event
    assert len(documents(dialect.error + event)) == 1
    plain = ask(stub, dialect, streamed=False)
    assert plain.head is not None
    assert plain.head.status_code == 529


@pytest.mark.parametrize(
    ("usage", "counts"),
    [(Usage(10**12, 10**12), (10**12, 10**12)), (Usage(), (0, 0)), (Usage(-100, -50), (-100, -50))],
    ids=["absurd", "zero", "negative"],
)
@each_way
def test_wrong_usage(
    usage: Usage, counts: tuple[int, int], streamed: bool, dialect: Dialect, stub_provider: Make
) -> None:
    """Wrong numbers of tokens are said as ordered, in the answer or at the end of its stream."""
    _, text, _ = ask(stub_provider(Answer(TEXT, usage)), dialect, streamed)
    for name, count in zip(dialect.usage, counts, strict=True):
        assert f'"{name}": {count}' in text.rpartition(TEXT.split()[-1])[2]


@each_way
def test_missing_usage(streamed: bool, dialect: Dialect, stub_provider: Make) -> None:
    """Without usage no number of tokens is said anywhere, and the answer is whole."""
    _, text, _ = ask(stub_provider(Answer(TEXT, "missing")), dialect, streamed)
    assert not [name for name in dialect.usage if name in text]
    assert stream_text(text) == TEXT if streamed else TEXT in text


def test_key_is_echoed(dialect: Dialect, stub_provider: Make) -> None:
    """The key that a request carried comes back in the error's message, whatever header it was in."""
    head, text, _ = ask(stub_provider(TOXINS["key_echoed"].step), dialect, streamed=False)
    assert head is not None
    assert head.status_code == 401
    assert f"Incorrect API key provided: {KEY}." in text
