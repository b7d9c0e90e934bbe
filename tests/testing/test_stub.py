"""The stub provider, read by LiteLLM as the real one would be."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import litellm
import openai
import pytest

from supernova_ai.testing import Answer, Cut, Failure, Hang, Reset, StubProvider
from supernova_ai.types import ToolCall, Usage
from tests.waiting import SENT_S

Make = Callable[..., StubProvider]


class Dialect(NamedTuple):
    model: str
    base: str
    path: str
    key_header: str


DIALECTS = {
    "openai": Dialect("openai/gpt-5-mini", "/v1", "/v1/chat/completions", "authorization"),
    "huggingface": Dialect("huggingface/some/model", "", "/v1/chat/completions", "authorization"),
    "anthropic": Dialect("anthropic/claude-sonnet-4-5", "", "/v1/messages", "x-api-key"),
    "ollama": Dialect("ollama_chat/some-model", "", "/api/chat", "authorization"),
}
USAGE = Usage(prompt=100, completion=50, cached=40, cache_write=10, reasoning=20)
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a bond?"}]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


@pytest.fixture(autouse=True)
def _litellm_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    # For a model it does not know, LiteLLM asks huggingface.co, or Ollama's /api/show.
    monkeypatch.setattr(litellm.utils, "_get_max_position_embeddings", lambda model_name: None)
    litellm.register_model({DIALECTS["ollama"].model: {"litellm_provider": "ollama_chat", "mode": "chat"}})


async def ask(stub: StubProvider, dialect: Dialect, **arguments: Any) -> Any:
    return await litellm.acompletion(
        model=dialect.model,
        api_base=stub.url + dialect.base,
        api_key="sk-of-the-test",
        messages=MESSAGES,
        max_retries=0,
        **arguments,
    )


async def ask_streamed(stub: StubProvider, dialect: Dialect) -> list[Any]:
    stream = await ask(stub, dialect, stream=True, stream_options={"include_usage": True})
    return [chunk async for chunk in stream]


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def counted(usage: Any) -> Usage:
    """Read LiteLLM's usage back into ours."""
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt=usage.prompt_tokens,
        completion=usage.completion_tokens,
        cached=getattr(prompt, "cached_tokens", None) or 0,
        cache_write=getattr(prompt, "cache_creation_tokens", None) or 0,
        reasoning=getattr(completion, "reasoning_tokens", None) or 0,
    )


def expressible(usage: Usage, dialect: Dialect) -> Usage:
    """What of the usage a dialect can say."""
    if "ollama" in dialect.model:
        return Usage(usage.prompt, usage.completion)
    if "anthropic" in dialect.model:
        return usage
    return Usage(usage.prompt, usage.completion, usage.cached, reasoning=usage.reasoning)


async def test_plain_answer(stub_provider: Make, dialect: Dialect) -> None:
    """A plain answer has the text, the finish reason and every class of tokens the dialect knows."""
    reply = await ask(stub_provider(Answer("Money lent to a state.", usage=USAGE)), dialect)
    assert reply.choices[0].message.content == "Money lent to a state."
    assert reply.choices[0].finish_reason == "stop"
    assert counted(reply.usage) == expressible(USAGE, dialect)


async def test_streamed_answer(stub_provider: Make, dialect: Dialect) -> None:
    """A streamed answer comes word by word, with the same finish reason and usage as a plain one."""
    chunks = await ask_streamed(stub_provider(Answer("Money lent to a state.", usage=USAGE)), dialect)
    words = [chunk for chunk in chunks if text_of([chunk])]
    assert text_of(chunks) == "Money lent to a state."
    assert len(words) == 5
    assert [finish for c in chunks if c.choices and (finish := c.choices[0].finish_reason)] == ["stop"]
    assert counted(chunks[-1].usage) == expressible(USAGE, dialect)


async def test_usage_is_counted_in_words(stub_provider: Make, dialect: Dialect) -> None:
    """Without a usage given, the prompt and the answer are counted in words."""
    reply = await ask(stub_provider("Money lent."), dialect)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (6, 2)


CALLS = (ToolCall("call_1", "price", '{"symbol": "AAPL"}'), ToolCall("call_2", "news", "{}"))


def calls_in(messages: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Join the pieces of tool calls in LiteLLM's messages or deltas: each name with its arguments."""
    joined: list[list[str]] = []
    for call in (call for message in messages for call in message.tool_calls or ()):
        if call.function.name:
            joined.append([call.function.name, ""])
        joined[-1][1] += call.function.arguments or ""
    return [(name, json.loads(arguments)) for name, arguments in joined]


async def test_tool_calls(stub_provider: Make, dialect: Dialect) -> None:
    """Calls come after the reasoning and the text, plain and in pieces, and are why the answer ends."""
    answer = Answer("Let me look.", tool_calls=CALLS, reasoning="I need a price.")
    stub = stub_provider(answer)
    message = (whole := await ask(stub, dialect)).choices[0].message
    chunks = [chunk for chunk in await ask_streamed(stub, dialect) if chunk.choices]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert message.content == text_of(chunks) == "Let me look."
    assert calls_in([message]) == calls_in(deltas) == [("price", {"symbol": "AAPL"}), ("news", {})]
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert message.reasoning_content == thought == "I need a price."
    finishes = [finish for chunk in chunks if (finish := chunk.choices[0].finish_reason)]
    assert [whole.choices[0].finish_reason] == finishes == ["tool_calls"]
    assert whole.usage.completion_tokens == 4 + 3 + (1 + 2) + (1 + 1)


async def test_stream_that_breaks_in_a_tool_call(stub_provider: Make) -> None:
    """A step that breaks after some tokens takes an answer with calls instead of a text."""
    stub = stub_provider(Cut(2, complete=True, text=Answer(tool_calls=CALLS)))
    stream = await ask(stub, DIALECTS["openai"], stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
    arguments = [call.function.arguments for delta in deltas for call in delta.tool_calls or ()]
    assert "".join(filter(None, arguments)) == '{"symbol":'


async def test_logprobs(stub_provider: Make) -> None:
    """Each token of OpenAI's answer has a probability where the request asks for them."""
    stub = stub_provider("Money lent.")
    whole = await ask(stub, DIALECTS["huggingface"], logprobs=True)
    assert [one.token for one in whole.choices[0].logprobs.content] == ["Money", " lent."]
    assert not hasattr((await ask(stub, DIALECTS["huggingface"])).choices[0], "logprobs")


async def test_max_tokens_cuts_the_answer(stub_provider: Make, dialect: Dialect) -> None:
    """An answer longer than max_tokens is cut there and says so."""
    reply = await ask(stub_provider("Money lent to a state."), dialect, max_tokens=2)
    assert reply.choices[0].message.content == "Money lent"
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 2


async def test_requests_are_kept_as_received(stub_provider: Make, dialect: Dialect) -> None:
    """A request is kept with its path, its key as sent, and its JSON body."""
    stub = stub_provider()
    await ask(stub, dialect)
    (request,) = stub.requests
    assert (request.method, request.path) == ("POST", dialect.path)
    assert request.headers[dialect.key_header].endswith("sk-of-the-test")
    assert "What is a bond?" in str(request.body["messages"])


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, litellm.BadRequestError),
        (401, litellm.AuthenticationError),
        (429, litellm.RateLimitError),
        (503, litellm.ServiceUnavailableError),
    ],
)
async def test_failures(stub_provider: Make, dialect: Dialect, status: int, error: type[Exception]) -> None:
    """A failure in each dialect's own shape is what LiteLLM takes it for, with its status and headers."""
    stub = stub_provider(Failure(status, headers={"retry-after": "7"}))
    for streamed in (False, True):
        with pytest.raises(error) as raised:
            await ask(stub, dialect, stream=streamed)
        assert raised.value.status_code == status  # type: ignore[attr-defined]
        headers = raised.value.litellm_response_headers  # type: ignore[attr-defined]
        assert headers["retry-after"] == "7"


async def test_failure_says_its_message(stub_provider: Make, dialect: Dialect) -> None:
    """The message of a failure reaches the caller."""
    with pytest.raises(
        litellm.InternalServerError if "hugg" not in dialect.model else litellm.APIError
    ) as raised:
        await ask(stub_provider(Failure(500, "the oven is cold")), dialect)
    assert "the oven is cold" in str(raised.value)


async def test_script_then_reply(stub_provider: Make, dialect: Dialect) -> None:
    """The script is used up in order, then the reply is given for ever."""
    stub = stub_provider("last", script=["first", Answer("second")])
    said = [(await ask(stub, dialect)).choices[0].message.content for _ in range(4)]
    assert said == ["first", "second", "last", "last"]


async def test_hang_times_out(stub_provider: Make, dialect: Dialect) -> None:
    """A provider that hangs is a timeout for the caller."""
    stub = stub_provider(Hang())
    with pytest.raises(litellm.Timeout):
        await ask(stub, dialect, timeout=SENT_S)
    assert len(stub.requests) == 1


async def test_reset_before_the_answer(stub_provider: Make, dialect: Dialect) -> None:
    """A connection reset before the answer is a server-side error for the caller."""
    with pytest.raises(openai.APIError) as raised:  # the root of LiteLLM's errors
        await ask(stub_provider(Reset()), dialect)
    assert raised.value.status_code == 500  # type: ignore[attr-defined]


async def test_reset_in_the_stream(stub_provider: Make, dialect: Dialect) -> None:
    """A stream that is reset gives the tokens sent until then, and an error."""
    stub = stub_provider(Reset(after_tokens=2, text="Money lent to a state."))
    stream = await ask(stub, dialect, stream=True)
    received = []

    async def read() -> None:
        async for chunk in stream:
            received.append(chunk)

    with pytest.raises(litellm.exceptions.MidStreamFallbackError):
        await read()
    assert text_of(received) == "Money lent"


async def test_gate_holds_a_stream(stub_provider: Make, dialect: Dialect) -> None:
    """A gate holds the stream after its first token until it is set."""
    gate = threading.Event()
    stream = await ask(stub_provider(Answer("Money lent.", gate=gate)), dialect, stream=True)
    text = ""
    while not text:
        text = text_of([await anext(stream)])
    assert text == "Money"
    gate.set()
    assert text_of([chunk async for chunk in stream]) == " lent."


async def test_gate_holds_a_plain_answer(stub_provider: Make, dialect: Dialect) -> None:
    """A gate holds a plain answer until it is set, and the request can be seen meanwhile."""
    gate = threading.Event()
    stub = stub_provider(Answer("Money lent.", gate=gate))
    call = asyncio.create_task(ask(stub, dialect))
    await asyncio.to_thread(stub.wait_for_requests, 1)
    assert not call.done()
    gate.set()
    assert (await call).choices[0].message.content == "Money lent."
