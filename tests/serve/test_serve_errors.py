"""Errors in OpenAI's form, and hostile input: nothing is sent, and nothing is a failure of the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from supernova_ai import InvalidRequest, Supernova, errors
from supernova_ai.serve import failures
from supernova_ai.serve.chat_requests import FIELDS, ChatRequest
from supernova_ai.serve.request_bodies import MAX_BYTES
from supernova_ai.testing import Failure, Refusal, StubProvider
from tests.serve.conftest import HELLO, Ask, http_client
from tests.serve.test_serve_chat import TOOL


def test_a_budget_says_what_is_left_and_when_it_resets(
    open_nova: Callable[..., Supernova], stub: StubProvider
) -> None:
    """A request that no budget bears is a 402 with the amounts in USD; nothing is sent."""
    budget = {"name": "ann", "limit": "0.0000001", "per": "day", "user": "ann"}
    http = http_client(open_nova({"openai": stub.url}, budgets=[budget]))
    headers = {"x-supernova-user": "ann"}
    response = http.post(
        "/v1/chat/completions", json={"model": "default", "messages": HELLO}, headers=headers
    )
    error = response.json()["error"]
    assert response.status_code == 402
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert error["budget"].startswith("ann")
    assert (Decimal(error["left"]), Decimal(error["limit"])) == (Decimal("1e-7"), Decimal("1e-7"))
    assert (error["spent"], error["held"], error["temporary"]) == ("0", "0", False)
    assert "T" in error["resets_at"]
    assert Decimal(error["needed"]) > 0
    assert "is too low for this request" in error["message"]
    assert stub.chats == []


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        (Failure(401), 502, "provider_authentication_failed"),
        (Failure(429, headers={"retry-after": "7"}), 429, "rate_limit_exceeded"),
        (Failure(500), 502, "provider_unavailable"),
        (Refusal("length"), 400, "context_length_exceeded"),
        (Refusal("content"), 400, "content_filter"),
        (Refusal("credit"), 502, "provider_account_refused"),
    ],
)
def test_failures_of_a_provider(ask: Ask, stub: StubProvider, step: Any, status: int, code: str) -> None:
    """Each has a status and a code; a refused key is no 401, which is about the token of this server."""
    stub.reply = step
    response = ask()
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["request_id"] == response.headers["x-supernova-request-id"]
    assert response.headers["x-should-retry"] == "false"
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)


def test_every_error_has_an_answer() -> None:
    """Errors of a call are in the table; only those of this machine are failures of the server."""
    ours = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SupernovaError)
    }
    internal = {kind for kind in ours if not issubclass(kind, tuple(kind for kind, _ in failures.FAILURES))}
    assert {kind.__name__ for kind in internal} == {
        "BackupError",
        "ConfigError",
        "ExtraMissing",
        "KeyCorrupt",
        "KeyFormatError",
        "KeyNotFound",
        "KeyRevoked",
        "MasterKeyError",
        "SchemaTooNew",
        "StoreError",
        "SupernovaError",
        "UnsupportedLoop",
        "VaultError",
    }


def test_a_failure_of_the_server_goes_to_the_log(
    ask: Ask, nova: Supernova, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told the class alone; the log has the place, and no message, which may have a prompt."""

    async def broken(**_: Any) -> Any:
        raise RuntimeError("the prompt was: What now?")

    monkeypatch.setattr(nova, "chat", broken)
    response = ask()
    assert response.status_code == 500
    assert response.json()["error"]["message"] == "the server failed: RuntimeError. Its log has the reason"
    assert "What now?" not in response.text + caplog.text
    assert "serve.request.failed" in caplog.text
    assert "test_serve_errors.py" in caplog.text


@pytest.mark.parametrize(
    ("fields", "status", "param", "message"),
    [
        ({"model": "gpt-9"}, 404, "model", "is not configured; choose one of"),
        ({"model": 5}, 400, "model", "must be a text"),
        ({"model": None}, 400, "model", "is missing"),
        ({"messages": []}, 400, "messages", "must not be empty"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, 400, "messages", "messages[0]: role must be"),
        ({"temperature": "hot"}, 400, "temperature", "must be a number from 0 to 2"),
        ({"temprature": 1}, 400, "temprature", "Did you mean 'temperature'?"),
        ({"n": 2}, 400, "n", "is refused: it multiplies the answers"),
        ({"web_search_options": {}}, 400, "web_search_options", "is refused: searches have prices"),
        ({"functions": []}, 400, "functions", "is refused: give 'tools'"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 400, "max_tokens", "different values"),
        ({"stream": "yes"}, 400, "stream", "must be True or False"),
        ({"stream_options": []}, 400, "stream_options", "must be an object"),
        ({"metadata": {"a": 1}}, 400, "metadata", "must be an object of texts"),
        ({"user": "x" * 300}, 400, "user", "user has 300 characters"),
        ({"response_format": {"type": "xml"}}, 400, "response_format", "must have the type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}},
            400,
            "response_format",
            "the schema must have 'type': 'object'",
        ),
        ({"tools": [{"type": "web_search"}]}, 400, "tools", "type must be 'function'"),
        ({"tools": [TOOL], "tool_choice": "cost"}, 400, "tool_choice", "one of the tools price"),
    ],
)
def test_a_wrong_field_is_named(
    ask: Ask, stub: StubProvider, fields: dict[str, Any], status: int, param: str, message: str
) -> None:
    """The error names the field in ``param``, and says what would be right; nothing is sent."""
    response = ask(**fields)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert message in error["message"]
    assert error["code"] == ("model_not_found" if status == 404 else None)
    assert stub.chats == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"temperature": NaN}',
        b'{"model": "\\ud800"}',
        b'{"messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"seed": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_json_is_refused(http: TestClient, body: bytes) -> None:
    """What is not one JSON object is a 400: broken, NaN, half characters, too deep, too long numbers."""
    response = http.post("/v1/chat/completions", content=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_that_is_too_long_is_refused(http: TestClient) -> None:
    """It is refused by its announced length, and if that is missing, where the limit is passed."""
    announced = http.post("/v1/chat/completions", content=b" " * (MAX_BYTES + 1))
    unannounced = http.post("/v1/chat/completions", content=iter([b" " * 2**20] * 33))
    for response in (announced, unannounced):
        assert (response.status_code, response.json()["error"]["message"]) == (
            413,
            "the body is longer than 32 MiB",
        )


def test_other_paths_and_methods(http: TestClient) -> None:
    """They are errors in OpenAI's form too."""
    missing = http.post("/v1/responses", json={}).json()["error"]
    assert missing["type"] == "invalid_request_error"
    assert missing["message"].startswith("this server has no path '/v1/responses': it answers POST /v1/chat/")
    assert http.get("/v1/chat/completions").status_code == 405


_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**70, 1e308, "", "auto", "x\0", [], [[]], {}, {"type": []}]
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), _VALUES, max_size=4))
def test_any_field_is_read_or_refused(body: dict[str, Any]) -> None:
    """Whatever the values, the request is read, or the error is one of ours."""
    try:
        asked = ChatRequest.of({"model": "default", "messages": HELLO} | body, {})
    except InvalidRequest:
        return
    assert isinstance(asked.stream, bool)


def schema_of(value: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "A", "schema": {"type": "object"} | value}}


@pytest.mark.parametrize("reference", ["#/$defs/none", "{url}/v1/models"], ids=["missing", "elsewhere"])
def test_a_schema_that_leads_nowhere_is_refused(ask: Ask, stub: StubProvider, reference: str) -> None:
    """A reference leads into the schema itself: it cannot make the server fetch an address."""
    part = {"$ref": reference.format(url=stub.url)}
    response = ask(response_format=schema_of({"properties": {"a": part}}))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "response_format")
    assert "the schema has nothing at its '$ref'" in response.json()["error"]["message"]
    assert stub.requests == []


@pytest.mark.parametrize(
    "schema", [{"$ref": "#"}, {"$dynamicRef": "{url}/v1/models"}], ids=["endless", "elsewhere"]
)
def test_a_schema_that_cannot_be_applied(ask: Ask, stub: StubProvider, schema: dict[str, str]) -> None:
    """The answer cannot be checked, which the error says; nothing is fetched for it."""
    stub.reply = json.dumps({"a": 1})
    response = ask(
        response_format=schema_of({name: value.format(url=stub.url) for name, value in schema.items()})
    )
    assert response.json()["error"]["code"] == "invalid_answer"
    assert "The schema cannot be applied" in response.json()["error"]["message"]
    assert stub.requests == stub.chats


def test_the_page_lists_every_error() -> None:
    """The table in docs/serve.md has each status with its codes, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", page, re.MULTILINE)
    listed = {(int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    known = {(found.status, found.code) for _, found in failures.FAILURES if found.code}
    others = {(401, "invalid_api_key"), (500, "internal_error")}
    assert listed == known | others
