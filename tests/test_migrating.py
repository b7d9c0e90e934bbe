"""The examples of docs/migrating.md: ours run as written, and do what the other library's do."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import default_client
from supernova_ai.testing import Raw, Received, StubProvider

PAGE = (Path(__file__).parent.parent / "docs" / "migrating.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n# (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PAIRS = [(*BLOCKS[n], BLOCKS[n + 1][1]) for n in range(0, len(BLOCKS), 2)]

MODULES = {"litellm": "litellm", "openai": "openai", "langchain": "langchain_openai"}
VERDICT = '{"action": "buy", "confidence": 0.7}'


def answer(request: Received) -> str | Raw:
    """Answer as a model would: call the tool first, then say the price; a verdict; or a text."""
    asked = request.json["messages"][-1]
    if "AAPL" in str(asked.get("content")) and request.json.get("tools"):
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "price", "arguments": '{"symbol": "AAPL"}'},
        }
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
        body = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-6.1-sol",
            "choices": choices,
        }
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        return Raw(200, "application/json", json.dumps(body | {"usage": usage}))
    if asked["role"] == "tool":
        return f"AAPL costs {asked['content']}."
    return VERDICT if request.json.get("response_format") else "A promise to pay."


@pytest.fixture
def stub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub_provider: Callable[..., StubProvider]
) -> Iterator[StubProvider]:
    """A stub as OpenAI, for the default client and for the other libraries."""
    provider = stub_provider(answer)
    (tmp_path / "supernova.yaml").write_text(
        f'providers: {{openai: {{api_base: "{provider.url}/v1"}}}}\nrouting: {{priority: [openai]}}\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPERNOVA_CONFIG", "supernova.yaml")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setattr(default_client, "_default", None)
    yield provider
    default_client.default().close()


def run(example: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    code = compile(example, "migrating.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if (running := eval(code, names)) is not None:
        asyncio.run(running)
    return names


def said(stub: StubProvider) -> list[dict[str, Any]]:
    """Return what each request had to say: messages without what is null, tools by their names."""
    return [
        {
            "messages": [
                {k: v for k, v in one.items() if v and k != "annotations"} for one in chat.json["messages"]
            ],
            "tools": [tool["function"]["name"] for tool in chat.json.get("tools", ())],
            "schema": (chat.json.get("response_format") or {}).get("json_schema"),
            "streamed": bool(chat.json.get("stream")),
        }
        for chat in stub.chats
    ]


def result(names: dict[str, Any]) -> tuple[Any, Any]:
    verdict = names.get("verdict")
    return names.get("text"), verdict and (verdict.action, verdict.confidence)


@pytest.mark.parametrize(("library", "theirs", "ours"), PAIRS)
def test_both_examples_do_the_same(
    library: str, theirs: str, ours: str, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our example sends the same messages, tools and schema as the other library's, with the same result."""
    here, sent_here = result(run(ours)), said(stub)
    assert any(here)
    if find_spec(MODULES[library]) is None:
        pytest.skip(f"{MODULES[library]} is not installed")
    stub.requests.clear()
    monkeypatch.setenv("OPENAI_BASE_URL", f"{stub.url}/v1")
    monkeypatch.setenv("OPENAI_API_BASE", f"{stub.url}/v1")
    assert result(run(theirs)) == here
    assert said(stub) == sent_here


def test_each_library_has_examples() -> None:
    """Every pair has the other library first and ours second."""
    assert [name for name, _ in BLOCKS[1::2]] == ["supernova_ai"] * len(PAIRS)
    assert {library for library, *_ in PAIRS} == MODULES.keys()
