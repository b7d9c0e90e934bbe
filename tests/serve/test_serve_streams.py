"""Streamed completions: their events, errors within them, and clients that hang up."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from supernova_ai import Supernova
from supernova_ai.testing import Answer, Cut, Failure, Hang, StubProvider
from tests import clients
from tests.serve.conftest import HELLO, TOKEN, Ask, calling
from tests.serve.test_serve_chat import STRUCTURED, TOOL
from tests.waiting import comes_true


def events(response: Any) -> list[Any]:
    """Return the data of the events, read from JSON except for the end."""
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def deltas(found: list[Any]) -> list[Any]:
    return [event["choices"][0]["delta"] for event in found if event != "[DONE]" and event["choices"]]


def test_events_of_a_stream(ask: Ask, path: Any) -> None:
    """The role comes first, then the text in pieces, why it ends, the usage if asked, and the end."""
    found = events(ask(stream=True, stream_options={"include_usage": True}))
    assert deltas(found) == [
        {"role": "assistant", "content": ""},
        {"content": "Diversify,"},
        {"content": " always."},
        {},
    ]
    *_, last, usage, end = found
    (row,) = clients.attempts(path)
    assert {event["id"] for event in found[:-1]} == {f"chatcmpl-{row.request}"}
    assert {event["object"] for event in found[:-1]} == {"chat.completion.chunk"}
    assert (last["choices"][0]["finish_reason"], last["model"]) == ("stop", "openai/gpt-4o-mini")
    assert last["supernova"]["request_id"] == row.request
    assert (usage["choices"], usage["usage"]["completion_tokens"], end) == ([], 2, "[DONE]")


@pytest.mark.parametrize("model", ["default", "premium", "openai/gpt-4o-mini"])
def test_first_chunks_name_the_model_as_asked(ask: Ask, model: str) -> None:
    """Until it is known which model answered, the events have the name in the request: a tier too."""
    first, *_ = events(ask(stream=True, model=model))
    assert first["model"] == model


def test_no_usage_unless_asked(ask: Ask) -> None:
    """Without ``include_usage`` no event has usage."""
    assert not any("usage" in event for event in events(ask(stream=True)))


def test_calls_of_tools_come_whole(ask: Ask, stub: StubProvider) -> None:
    """A call is one delta: it is given out only whole, so that no half of one is executed."""
    stub.reply = calling("price", {"symbol": "AAPL"})
    found = events(ask(stream=True, tools=[TOOL]))
    (call,) = next(delta["tool_calls"] for delta in deltas(found) if "tool_calls" in delta)
    assert call["index"] == 0
    assert call["function"] == {"name": "price", "arguments": '{"symbol": "AAPL"}'}
    assert found[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_structured_answer_comes_in_one_piece(ask: Ask, stub: StubProvider) -> None:
    """It may be asked for once more, so its text comes when it is right."""
    stub.script.extend(['{"action": "wait"}', '{"action": "sell"}'])
    found = deltas(events(ask(stream=True, response_format=STRUCTURED)))
    assert found == [{"role": "assistant", "content": ""}, {"content": '{"action": "sell"}'}, {}]


def test_an_error_before_the_first_token_has_its_status(ask: Ask, stub: StubProvider) -> None:
    """Nothing was sent yet, so the answer is an error like any other."""
    stub.reply = Failure(429)
    response = ask(stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert ask(stream=True, temperature=9).json()["error"]["param"] == "temperature"


def test_an_error_after_the_first_token_is_an_event(ask: Ask, stub: StubProvider) -> None:
    """The last event is the error, in OpenAI's form, and there is no regular end."""
    stub.reply = Cut(2)
    response = ask(stream=True)
    *_, error = events(response)
    assert error["error"]["code"] == "stream_interrupted"
    assert "\nevent: error\ndata: " in response.text
    assert "[DONE]" not in response.text


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "plain"])
def test_a_client_that_hangs_up_ends_the_call(
    streamed: bool, address: str, nova: Supernova, stub: StubProvider, path: Any
) -> None:
    """The provider's call ends and its hold too: a stream costs what arrived, a plain call its hold."""
    stub.reply = Hang(after_tokens=2) if streamed else Answer("Diversify.", gate=Event())
    body = json.dumps({"model": "default", "messages": HELLO, "stream": streamed}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    port = int(address.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head.encode() + body)
        if streamed:
            read = b""
            while b'"content": "This"' not in read:
                read += client.recv(4096)
        else:
            stub.wait_for_requests(1)
    assert comes_true(lambda: [row.state for row in clients.attempts(path)] in (["settled"], ["lost"]))
    (row,) = clients.attempts(path)
    assert (row.state, row.basis) == (("settled", "estimated") if streamed else ("lost", "bound"))
    assert clients.window(path).held == 0


def test_a_client_that_reads_to_the_end_and_leaves(
    address: str, stub: StubProvider, path: Any, ask: Callable[..., Any]
) -> None:
    """Closing a connection after the answer is nothing special: the cost is exact."""
    ask(stream=True)
    assert [(row.state, row.basis) for row in clients.attempts(path)] == [("settled", "exact")]
