"""The stub provider breaking off, falling silent, garbling and flooding: what arrives is what was ordered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from supernova_ai.testing import TOXINS, Answer, Cut, Flood, Garbled, Hang, Reset, StubProvider
from tests.testing.raw_client import (
    TEXT,
    Dialect,
    ask,
    connect,
    documents,
    each_way,
    read_all,
    request_bytes,
    stream_text,
)

Make = Callable[..., StubProvider]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (Reset, httpx.ReadError),
        (Cut, httpx.RemoteProtocolError),
        (lambda after, text: Cut(after, complete=True, text=text), None),
    ],
    ids=["reset", "closed", "cut"],
)
@each_way
def test_breaks_where_it_is_told(
    make: Callable[..., Any],
    error: type[Exception] | None,
    streamed: bool,
    dialect: Dialect,
    stub_provider: Make,
) -> None:
    """A reset, a close and a cut come right after the headers, or after some of the answer and no more."""
    stub = stub_provider(script=[TEXT, make(0, text=TEXT), make(2, text=TEXT)])
    whole, at_once, midway = (ask(stub, dialect, streamed) for _ in range(3))
    for heard in (at_once, midway):
        assert heard.head is not None
        assert heard.head.status_code == 200
        assert type(heard.error) is (error or type(None))
    assert at_once.text == ""
    assert 0 < len(midway.text) < len(whole.text)
    assert whole.text.startswith(midway.text)
    if streamed:
        assert dialect.last not in midway.text
        assert stream_text(midway.text) == "Money lent"


def test_reset_before_the_headers(dialect: Dialect, stub_provider: Make) -> None:
    """A reset at once gives nothing, not even a status."""
    head, text, error = ask(stub_provider(Reset()), dialect, streamed=True)
    assert (head, text) == (None, "")
    assert isinstance(error, httpx.ReadError)


@pytest.mark.parametrize(
    ("step", "last"),
    [
        (Hang(), {False: b"", True: b""}),
        (Hang(0), {False: b"\r\n\r\n", True: b"\r\n\r\n"}),
        (Hang(2, TEXT), {False: b"{", True: b"lent"}),
    ],
    ids=["before", "after-headers", "midway"],
)
def test_hangs_where_it_is_told(
    step: Hang, last: dict[bool, bytes], dialect: Dialect, stub_provider: Make
) -> None:
    """A provider falls silent at once, after the headers, or in the middle, with the connection open."""
    stub = stub_provider(step)
    for streamed in (False, True):
        with connect(stub) as line:
            line.sendall(request_bytes(dialect, streamed))
            heard = b""
            while last[streamed] not in heard:
                heard += line.recv(65_536)
            line.settimeout(0.05)
            with pytest.raises(TimeoutError):
                read_all(line)


@each_way
def test_garbled_json(streamed: bool, dialect: Dialect, stub_provider: Make) -> None:
    """A plain body, or exactly one event of a stream that goes on, is no JSON."""
    head, text, error = ask(stub_provider(Garbled(1, TEXT)), dialect, streamed)
    assert head is not None
    assert error is None
    if not streamed:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        return
    (broken,) = (line for line in text.splitlines() if "lent" in line)
    with pytest.raises(json.JSONDecodeError):
        documents(broken)
    assert stream_text(text.replace(broken, "")) == "Money to a state."
    assert dialect.last in text


@each_way
def test_slow_drip(streamed: bool, dialect: Dialect, stub_provider: Make) -> None:
    """A pause passes before each token of a stream, or each byte of a plain body; all of it arrives."""
    stub = stub_provider(Answer(TEXT, pause=0.001), script=[TEXT])
    at_once = ask(stub, dialect, streamed)
    began = time.monotonic()
    dripped = ask(stub, dialect, streamed)
    assert dripped.text == at_once.text
    assert time.monotonic() - began >= 0.001 * (5 if streamed else len(at_once.text))


@each_way
def test_html_and_nothing(streamed: bool, dialect: Dialect, stub_provider: Make) -> None:
    """A page of HTML and an empty body both come with status 200."""
    stub = stub_provider(script=[TOXINS["html_page"].step, TOXINS["empty_body"].step])
    page, nothing = ask(stub, dialect, streamed), ask(stub, dialect, streamed)
    assert page.head is not None
    assert page.head.headers["content-type"].startswith("text/html")
    assert page.text.startswith("<!DOCTYPE html>")
    assert nothing.head is not None
    assert (nothing.head.status_code, nothing.text, nothing.error) == (200, "", None)


@each_way
def test_flood(streamed: bool, dialect: Dialect, stub_provider: Make) -> None:
    """A flood is a valid answer whose one token has the size that was ordered."""
    _, text, error = ask(stub_provider(Flood(200_000)), dialect, streamed)
    assert error is None
    assert text.count("x") >= 200_000
    if streamed:
        assert stream_text(text) == "x" * 200_000
        assert dialect.last in text
    else:
        assert "x" * 200_000 in str(json.loads(text))


@each_way
def test_endless_flood(streamed: bool, dialect: Dialect, stub_provider: Make) -> None:
    """A flood without a size goes on until the client hangs up, and others are served meanwhile."""
    stub = stub_provider(TEXT, script=[Flood()])
    with connect(stub) as line:
        line.sendall(request_bytes(dialect, streamed))
        heard = 0
        while heard < 1_000_000:
            heard += len(line.recv(65_536))
        assert ask(stub, dialect, streamed).error is None
