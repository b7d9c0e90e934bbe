"""Chat completions: what of a request reaches the provider, and what of the reply the client."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.testclient import TestClient

from supernova_ai import InvalidRequest, Supernova, Usage
from supernova_ai.serve import create_app
from supernova_ai.serve.chat_requests import FIELDS, REFUSED
from supernova_ai.serve.headers import OPTIONS, options_of
from supernova_ai.testing import Answer, Raw, StubProvider
from tests import clients
from tests.serve.conftest import HELLO, Ask, calling, http_client

TOOL = {
    "type": "function",
    "function": {"name": "price", "parameters": {"type": "object", "properties": {"symbol": {}}}},
}
VERDICT = {
    "type": "object",
    "properties": {"action": {"enum": ["buy", "sell"]}},
    "required": ["action"],
    "additionalProperties": False,
}
STRUCTURED = {"type": "json_schema", "json_schema": {"name": "Verdict", "schema": VERDICT, "strict": True}}


def test_an_answer_has_openai_s_form(ask: Ask, stub: StubProvider, path: Path) -> None:
    """It has the text, the usage with its details, and under ``supernova`` what OpenAI has no place for."""
    stub.reply = Answer("Diversify.", usage=Usage(prompt=100, completion=20, cached=40, reasoning=5))
    response = ask()
    (row,) = clients.attempts(path)
    body = response.json()
    assert response.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["model"] == "openai/gpt-4o-mini"
    assert body["id"] == f"chatcmpl-{row.request}"
    message = {"role": "assistant", "content": "Diversify.", "refusal": None}
    assert body["choices"] == [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]
    assert body["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    more = body["supernova"]
    assert (more["request_id"], more["provider"], more["tier"]) == (row.request, "openai", "standard")
    assert Decimal(more["cost_usd"]) * 10**9 == row.cost > 0
    assert response.headers["x-supernova-request-id"] == response.headers["x-request-id"] == row.request
    assert response.headers["x-supernova-cost-usd"] == more["cost_usd"]


def test_parameters_reach_the_provider(ask: Ask, stub: StubProvider) -> None:
    """Each field goes on under its name; the two names of the longest answer mean the same."""
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
        "top_logprobs": 2,
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
    }
    assert ask(**fields, max_completion_tokens=50, metadata={"desk": "fx"}).status_code == 200
    sent = stub.chats[-1].json
    assert {name: sent[name] for name in fields} == fields
    assert sent["messages"] == HELLO
    assert sent["max_tokens"] == 50


def test_fields_without_effect_are_accepted_and_named(ask: Ask, stub: StubProvider) -> None:
    """What every client may send is no error; what has no effect is listed as dropped."""
    neutral = {"n": 1, "modalities": ["text"], "logit_bias": {}, "store": False, "seed": None}
    assert ask(**neutral).json()["supernova"]["dropped"] == []
    assert ask(store=True, prompt_cache_key="k").json()["supernova"]["dropped"] == [
        "prompt_cache_key",
        "store",
    ]
    assert not {"store", "n", "prompt_cache_key"} & stub.chats[-1].json.keys()


def test_a_model_chooses_the_tier_or_the_deployment(open_nova: Any, stub: StubProvider) -> None:
    """It is the name of a tier, a configured model with or without its provider, or "default"."""
    models = {"economy": "gpt-4o-mini", "standard": "gpt-4o", "premium": "gpt-4.1"}
    http = http_client(open_nova({"openai": {"url": stub.url, "models": models}}))

    def asked(model: str, **headers: str) -> Any:
        body = {"model": model, "messages": HELLO}
        response = http.post("/v1/chat/completions", json=body, headers=headers)
        return response.json().get("model") or response.json()["error"]

    assert asked("default") == "openai/gpt-4o"
    assert asked("economy") == "openai/gpt-4o-mini"
    assert asked("gpt-4.1") == asked("openai/gpt-4.1") == "openai/gpt-4.1"
    assert asked("default", **{"x-supernova-tier": "premium"}) == "openai/gpt-4.1"
    both = asked("economy", **{"x-supernova-tier": "premium"})
    assert both["message"] == "model 'economy' and x-supernova-tier are two tiers: give one"


def test_headers_say_for_whom_it_is(ask: Ask, path: Path) -> None:
    """User, team, tags and task come from headers, which take precedence over the field ``user``."""
    headers = {
        "x-supernova-user": "ann",
        "x-supernova-team": "desks",
        "x-supernova-tags": "desk=fx, book=a",
        "x-supernova-task": "summary",
        "x-supernova-tier": "standard",
    }
    assert ask(headers, user="bob").status_code == 200
    assert ask(user="bob").status_code == 200
    rows = clients.attempts(path)
    assert [(row.user, row.team, row.task) for row in rows] == [
        ("ann", "desks", "summary"),
        ("bob", None, "chat"),
    ]
    assert json.loads(rows[0].tags or "") == {"book": "a", "desk": "fx"}


def test_a_header_limits_the_cost(ask: Ask, stub: StubProvider) -> None:
    """``x-supernova-max-cost`` is the most that the call may cost."""
    response = ask({"x-supernova-max-cost": "0.000000001"})
    assert response.status_code == 402
    assert response.json()["error"]["budget"] == "max_cost"
    assert stub.chats == []


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x-supernova-usr": "ann"}, "Did you mean 'x-supernova-user'?"),
        ({"x-supernova-user": " "}, "x-supernova-user is empty: leave it out"),
        ({"x-supernova-tags": "desk"}, "x-supernova-tags must be names with one value each, such as desk=fx"),
        ({"x-supernova-tags": "desk=fx,desk=eq"}, "x-supernova-tags must be names with one value each"),
        ({"x-supernova-team": "x" * 70}, "x-supernova-team must have 1 to 64 characters, not 70"),
        ({"x-supernova-tier": "gold"}, "x-supernova-tier 'gold' is not known"),
        ({"x-supernova-max-cost": "much"}, "x-supernova-max-cost must be an amount of USD"),
        ({"x-supernova-task": "other"}, "x-supernova-task 'other' is not configured"),
    ],
)
def test_a_wrong_header_is_refused(ask: Ask, headers: dict[str, str], message: str) -> None:
    """A misspelt header would leave a budget out, so it is an error, which names the header."""
    response = ask(headers)
    error = response.json()["error"]
    assert response.status_code == 400
    assert message in error["message"]
    assert error["param"] in (*headers, None)


def test_headers_are_utf_8() -> None:
    """A header is read as UTF-8; other bytes, and a header that is given twice, are refused."""

    def options(*users: bytes) -> Any:
        return options_of(Headers(raw=[(b"x-supernova-user", user) for user in users]))

    assert options("Zoë".encode()) == {"user_id": "Zoë"}
    with pytest.raises(InvalidRequest, match="must be in UTF-8"):
        options("Zoë".encode("latin-1"))
    with pytest.raises(InvalidRequest, match="given twice"):
        options(b"ann", b"bob")


def test_calls_of_tools(ask: Ask, stub: StubProvider) -> None:
    """The calls have OpenAI's form, and their results are sent back as messages."""
    stub.reply = calling("price", {"symbol": "AAPL"})
    choice = ask(tools=[TOOL]).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "price", "arguments": '{"symbol": "AAPL"}'}
    stub.reply = "It is at 190."
    result = {"role": "tool", "tool_call_id": call["id"], "content": "190"}
    answer = ask(tools=[TOOL], messages=[*HELLO, choice["message"], result]).json()
    assert answer["choices"][0]["message"]["content"] == "It is at 190."
    assert stub.chats[-1].json["messages"][-1]["content"] == "190"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_half_a_character_in_a_structured_answer(stream: bool, ask: Ask, stub: StubProvider) -> None:
    """JSON can escape half a character, which no client could be sent: it becomes U+FFFD."""
    stub.reply = '{"word": "\\ud83d \\ud83d\\ude00"}'
    response = ask(response_format={"type": "json_object"}, stream=stream)
    assert response.status_code == 200
    assert '{\\"word\\": \\"\ufffd 😀\\"}' in response.text


def test_half_a_character_in_logprobs(ask: Ask, stub: StubProvider) -> None:
    """A token may be half a character: its text becomes U+FFFD, as that of the answer does."""
    token = {"token": "\ud83d", "logprob": -0.5, "bytes": [240, 159], "top_logprobs": []}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "\ud83d"},
        "finish_reason": "length",
        "logprobs": {"content": [token]},
    }
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    stub.reply = Raw(200, "application/json", json.dumps(body | {"choices": [choice]}))
    answered = ask(logprobs=True, max_tokens=1).json()["choices"][0]
    assert answered["message"]["content"] == "\ufffd"
    assert answered["logprobs"]["content"] == [token | {"token": "\ufffd"}]


def test_a_structured_answer_is_plain_json(ask: Ask, stub: StubProvider) -> None:
    """The schema reaches the provider, and the answer is its JSON without a fence around it."""
    stub.reply = '```json\n{"action": "buy"}\n```'
    content = ask(response_format=STRUCTURED).json()["choices"][0]["message"]["content"]
    assert json.loads(content) == {"action": "buy"}
    sent = stub.chats[-1].json["response_format"]["json_schema"]
    assert (sent["name"], sent["schema"]["properties"]) == ("Verdict", VERDICT["properties"])


def test_a_structured_answer_is_mended_once(ask: Ask, stub: StubProvider) -> None:
    """An answer that does not fit is asked for once more; then it is an error of the provider."""
    stub.script.extend(['{"action": "wait"}', '{"action": "sell"}'])
    content = ask(response_format=STRUCTURED).json()["choices"][0]["message"]["content"]
    assert json.loads(content) == {"action": "sell"}
    stub.reply = "no"
    response = ask(response_format=STRUCTURED)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "invalid_answer")


def test_any_json_object(ask: Ask, stub: StubProvider) -> None:
    """``json_object`` asks for some JSON object, ``text`` for a text."""
    stub.reply = '{"any": 1}'
    content = ask(response_format={"type": "json_object"}).json()["choices"][0]["message"]["content"]
    assert json.loads(content) == {"any": 1}
    assert ask(response_format={"type": "text"}).status_code == 200
    assert "response_format" not in stub.chats[-1].json


def test_models_are_listed(http: TestClient) -> None:
    """The list has the configured models and the tiers; each can be asked for by its name."""
    listed = http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert {model["id"]: model["owned_by"] for model in listed["data"]} == {
        "openai/gpt-4o-mini": "openai",
        "standard": "supernova",
        "default": "supernova",
    }
    for model in listed["data"]:
        assert http.get(f"/v1/models/{model['id']}").json() == model
    missing = http.get("/v1/models/openai/gpt-9")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_a_session_goes_on(open_nova: Any, stub: StubProvider) -> None:
    """With a session, the conversation before is sent too."""
    http = http_client(open_nova({"openai": stub.url}, sessions={"history": True}))
    headers = {"x-supernova-session": "s1", "x-supernova-user": "ann"}
    for words in ("What now?", "And then?"):
        body = {"model": "default", "messages": [{"role": "user", "content": words}]}
        assert http.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    said = [message["content"] for message in stub.chats[-1].json["messages"]]
    assert said == ["What now?", "Diversify, always.", "And then?"]


def test_a_mounted_application_needs_no_start(nova: Supernova) -> None:
    """A program mounts the application below a path of its own, behind its own authentication."""
    program = Starlette(routes=[Mount("/llm", create_app(nova, token=None, hosts=None))])
    answer = TestClient(program).post(
        "/llm/v1/chat/completions", json={"model": "default", "messages": HELLO}
    )
    assert answer.json()["choices"][0]["message"]["content"] == "Diversify, always."


def test_the_page_lists_fields_and_headers() -> None:
    """docs/serve.md names every field that is taken, and every header."""
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    taken = page.partition("These fields have OpenAI's meaning")[2].partition("Any other field")[0]
    named = set(re.findall(r"`(\w+)`", taken)) | {"model"}
    assert named == set(FIELDS) - set(REFUSED)
    assert re.findall(r"^\| `x-supernova-([\w-]+)` \|", page, re.MULTILINE) == list(OPTIONS)


def test_the_example_of_a_program(
    stub: StubProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The example in docs/serve.md, an application of FastAPI with this one mounted, runs as it is."""
    (tmp_path / "config").mkdir()
    settings = f'providers: {{openai: {{api_base: "{stub.url}/v1"}}}}'
    (tmp_path / "config" / "supernova.yaml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    (example,) = (one for one in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S) if "FastAPI" in one)
    names: dict[str, Any] = {}
    exec(example, names)
    body = {"model": "default", "messages": HELLO}
    answer = TestClient(names["program"]).post("/llm/v1/chat/completions", json=body)
    names["nova"].close()
    assert answer.json()["choices"][0]["message"]["content"] == "Diversify, always."
