"""The whole stack with the real local model. Its text is poor: the tests assert shapes and counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from supernova_ai import AuthenticationFailed, ContextTooLong, InvalidAnswer, NoAnswer, Supernova
from supernova_ai.demo.local_model import LocalModel, LocalProcess
from supernova_ai.store.tables import AttemptRow

pytestmark = pytest.mark.proof

Open = Callable[..., Supernova]
Rows = Callable[[], list[AttemptRow]]

each_dialect = pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface"])
each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


def local(url: str) -> dict[str, Any]:
    model = LocalModel.name
    return {"url": url, "models": {"standard": model}, "prices": {model: {"input": "2", "output": "5"}}}


@each_dialect
@each_way
async def test_real_answer_is_settled(
    provider: str, streaming: bool, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """In each dialect a real answer has its finish reason and usage, and is settled at their exact cost."""
    nova = open_nova({provider: local(local_model.url)})
    pieces: list[str] = []
    reply = await nova.chat("What is a bond?", max_tokens=12, on_token=pieces.append if streaming else None)
    (row,) = attempts()
    assert reply.content.strip()
    assert (reply.finish_reason, reply.cost_basis) == ("length", "exact")
    assert (reply.usage.completion, row.state) == (12, "settled")
    assert 10 < reply.usage.prompt < 200
    assert row.cost == reply.usage.prompt * 2000 + 12 * 5000
    assert row.cost <= row.held
    if streaming:
        assert "".join(pieces) == reply.content
        assert 1 < len(pieces) <= 12


@each_dialect
async def test_real_stream_left_early_is_estimated(
    provider: str, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """A real stream that the caller leaves after three pieces is settled at an estimate below its hold."""
    nova = open_nova({provider: local(local_model.url)})
    async with nova.stream("What is a bond?", max_tokens=200) as stream:
        for _ in range(3):
            await anext(stream)
    (row,) = attempts()
    assert (row.state, row.basis) == ("settled", "estimated")
    assert 1 <= row.completion <= 12
    assert 0 < row.cost < row.held


@each_dialect
@each_way
async def test_real_refusals(provider: str, streaming: bool, open_nova: Open, attempts: Rows) -> None:
    """A real server's refusal of a key raises AuthenticationFailed with its status, and costs nothing."""
    with LocalModel(api_keys=["the-right-one"]) as model:
        nova = open_nova({provider: local(model.url)})
        with pytest.raises(AuthenticationFailed) as raised:
            await nova.chat("What is a bond?", streaming=streaming)
    assert raised.value.status == 401
    assert [row.state for row in attempts()] == ["released"]


@each_dialect
async def test_real_context_is_exceeded(
    provider: str, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """A prompt that is longer than the model's context raises ContextTooLong, and costs nothing."""
    nova = open_nova({provider: local(local_model.url)})
    with pytest.raises(ContextTooLong):
        await nova.chat("bonds and shares " * 2000, max_tokens=5)
    assert [(row.state, row.error) for row in attempts()] == [("released", "ContextTooLong")]


async def test_real_stream_resumes_when_its_server_is_killed(
    open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """If a real server is killed in mid-stream, the second one resumes the text, and both are charged."""
    doomed, question = LocalProcess(), "What is a bond, and who buys them?"
    try:
        nova = open_nova({"openai": local(doomed.url), "huggingface": local(local_model.url)})
        async with nova.stream(question, max_tokens=60, temperature=0) as stream:
            pieces = [await anext(stream) for _ in range(5)]
            doomed.kill()
            pieces += [piece async for piece in stream]
    finally:
        doomed.kill()
    assert stream.reply.content == "".join(pieces)
    assert len(pieces) > 5
    first, second = attempts()
    assert (first.provider, first.state, first.basis) == ("openai", "settled", "estimated")
    assert (second.provider, second.state, second.basis) == ("huggingface", "settled", "exact")
    assert 0 < first.cost < first.held
    assert first.completion + second.completion <= 61


class Verdict(BaseModel):
    action: Literal["buy", "hold", "sell"]
    certain: bool


@each_dialect
@each_way
async def test_real_structured_answer(
    provider: str, streaming: bool, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """The server lets the model write nothing but the schema, which its OpenAI API takes as a grammar."""
    nova = open_nova({provider: local(local_model.url)})
    if provider == "anthropic":  # this server takes no schema there, and the model cannot follow words
        with pytest.raises(InvalidAnswer) as raised:
            await nova.chat("Buy AAPL?", response_model=Verdict, max_tokens=80, streaming=streaming)
        assert raised.value.request_id
        assert {row.state for row in attempts()} == {"settled"}
        return
    reply = await nova.chat("Buy AAPL?", response_model=Verdict, max_tokens=80, streaming=streaming)
    assert reply.parsed == Verdict.model_validate_json(reply.content)
    assert (reply.finish_reason, reply.cost_basis) == ("stop", "exact")
    (row,) = attempts()
    assert row.cost == reply.usage.prompt * 2000 + reply.usage.completion * 5000
    assert row.cost <= row.held


@pytest.mark.parametrize("provider", ["openai", "huggingface"])
@each_way
async def test_real_tool_call(
    provider: str, streaming: bool, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """A real model calls a tool with arguments of its schema, gets the result, and answers in a schema."""

    def price(symbol: Literal["AAPL", "KO"]) -> float:
        """Return the price of a share."""
        return {"AAPL": 241.5, "KO": 70.25}[symbol]

    nova = open_nova({provider: local(local_model.url)})
    asked = {"role": "user", "content": "What is the price of AAPL?"}
    reply = await nova.chat(
        messages=[asked],
        tools=[price],
        tool_choice="required",
        max_tokens=60,
        streaming=streaming,
        extra={provider: {"logit_bias": LocalModel.CALL_BIAS}},
    )
    assert reply.tool_calls
    assert {call.name for call in reply.tool_calls} == {"price"}
    assert reply.tool_calls[0].parsed()["symbol"] in ("AAPL", "KO")
    assert (reply.content, reply.cost_basis) == ("", "exact")
    first = replace(reply, tool_calls=reply.tool_calls[:1])  # the last may be cut at max_tokens
    (call,) = first.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": str(price(**call.parsed()))}
    said = await nova.chat(messages=[asked, first.message, result], response_model=Verdict, max_tokens=80)
    assert isinstance(said.parsed, Verdict)
    called, answered = attempts()
    assert (called.state, answered.state) == ("settled", "settled")
    for row in (called, answered):
        assert row.cost == row.prompt * 2000 + row.completion * 5000
        assert row.cost <= row.held


async def test_real_model_in_the_loop(open_nova: Open, local_model: LocalModel, attempts: Rows) -> None:
    """``run_tools`` runs what a real model calls, in real rounds under one request."""

    def price(symbol: Literal["AAPL", "KO"]) -> float:
        """Return the price of a share."""
        return 241.5

    nova = open_nova({"openai": local(local_model.url)})
    try:
        reply = await nova.run_tools(
            "What is the price of AAPL?",
            tools=[price],
            max_rounds=2,
            max_tokens=60,
            extra={"openai": {"logit_bias": LocalModel.CALL_BIAS}},
        )
    except NoAnswer as error:  # told to call nothing, it may write only the token that begins a call
        runs = error.tool_runs
    else:
        runs = reply.tool_runs
    rows = attempts()
    assert len({row.request for row in rows}) == 1
    assert [row.state for row in rows] == ["settled", "settled"]
    assert runs
    assert runs[0].result == "241.5"
