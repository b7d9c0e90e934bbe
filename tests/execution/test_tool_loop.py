"""The loop of ``run_tools``: rounds under one request, functions that run together, and how it ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from supernova_ai import (
    BudgetExceeded,
    InvalidRequest,
    ProviderTimeout,
    ProviderUnavailable,
    Supernova,
    ToolCall,
)
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Failure, Hang, Received, Reset, StubProvider
from supernova_ai.types import Usage
from tests import clients
from tests.waiting import SENT_S, until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]

CLOSES = {"AAPL": 241.5, "KO": 70.25}


def price(symbol: str) -> float:
    """Return the closing price of a share."""
    return CLOSES[symbol]


async def news(topic: str) -> list[str]:
    """Return the headlines."""
    return [f"{topic} up"]


def call(name: str, call_id: str = "call_1", **arguments: Any) -> ToolCall:
    return ToolCall(call_id, name, json.dumps(arguments))


def calling(*calls: ToolCall, text: str = "") -> Answer:
    return Answer(text, tool_calls=calls, usage=Usage(prompt=50, completion=10))


ASKED = calling(call("price", symbol="AAPL"))


def told(request: Received) -> list[str]:
    """Return what the request tells of the results of tools."""
    return [one["content"] for one in request.body["messages"] if one["role"] == "tool"]


async def test_rounds_are_one_request(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """Each round is an attempt under one request id; cost and usage of the reply are those of all."""
    stub = stub_provider(
        Answer("It rose.", usage=Usage(prompt=90, completion=5)),
        script=[ASKED, calling(call("news", "call_2", topic="rates"), text="And the news?")],
    )
    reply = await open_nova({"openai": stub.url}).run_tools(
        "Did AAPL rise?", tools=[price, news], user_id="ann"
    )
    assert (reply.content, reply.finish_reason, reply.tool_calls) == ("It rose.", "stop", ())
    assert [(run.round, run.call.name, run.result, run.error) for run in reply.tool_runs] == [
        (1, "price", "241.5", None),
        (2, "news", '["rates up"]', None),
    ]
    rows = attempts()
    assert [row.request for row in rows] == [reply.request_id] * 3
    assert {(row.state, row.user) for row in rows} == {("settled", rows[0].user)}
    assert [attempt.id for attempt in reply.attempts] == [row.id for row in rows]
    assert reply.cost * 10**9 == sum(row.cost for row in rows) == sum(balance())
    assert reply.usage == Usage(prompt=190, completion=25)
    first, second, third = (request.body["messages"] for request in stub.chats)
    assert second[: len(first)] == first
    assert second[len(first)]["tool_calls"][0]["function"]["arguments"] == '{"symbol": "AAPL"}'
    assert third[-2]["content"] == "And the news?"
    assert told(stub.chats[-1]) == ["241.5", '["rates up"]']


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
async def test_every_provider_takes_its_rounds(provider: str, open_nova: Open, stub_provider: Stub) -> None:
    """Calls and results go back in each provider's form, also with an answer in the schema at the end."""

    class Verdict(BaseModel):
        rose: bool

    two = calling(call("price", symbol="AAPL"), call("price", "call_2", symbol="KO"))
    stub = stub_provider('{"rose": true}', script=[two])
    nova = open_nova({provider: stub.url})
    reply = await nova.run_tools("Did they rise?", tools=[price], response_model=Verdict)
    assert reply.parsed == Verdict(rose=True)
    assert [run.result for run in reply.tool_runs] == ["241.5", "70.25"]
    sent = json.dumps(stub.chats[1].body["messages"])
    assert sent.index("241.5") < sent.index("70.25")


async def test_functions_of_one_answer_run_together(open_nova: Open, stub_provider: Stub) -> None:
    """Plain functions wait for each other on threads, async ones on the loop; results keep the order."""
    threads, turn = threading.Barrier(2), asyncio.Event()

    def plain(n: int) -> int:
        threads.wait(30)
        return n

    async def wait() -> str:
        await turn.wait()
        return "waited"

    async def go() -> str:
        turn.set()
        return "went"

    calls = [call("plain", "1", n=1), call("wait", "2"), call("plain", "3", n=2), call("go", "4")]
    stub = stub_provider("Done.", script=[calling(*calls)])
    reply = await open_nova({"openai": stub.url}).run_tools("Go.", tools=[plain, wait, go])
    assert [run.result for run in reply.tool_runs] == ["1", "waited", "2", "went"]
    assert told(stub.chats[1]) == ["1", "waited", "2", "went"]


async def test_plain_function_does_not_block_the_loop(open_nova: Open, stub_provider: Stub) -> None:
    """While a plain function waits, other tasks of the caller's loop go on."""
    gate = threading.Event()

    def patient() -> bool:
        return gate.wait(30)

    async def open_gate() -> None:
        await until(lambda: stub.chats)
        gate.set()

    stub = stub_provider("Done.", script=[calling(call("patient"))])
    reply, _ = await asyncio.gather(
        open_nova({"openai": stub.url}).run_tools("Wait.", tools=[patient]), open_gate()
    )
    assert reply.tool_runs[0].result == "true"


async def test_model_is_told_of_errors(open_nova: Open, stub_provider: Stub) -> None:
    """Errors of functions, wrong arguments and unknown tools are sent to the model, which continues."""

    async def broken() -> None:
        raise asyncio.CancelledError

    calls = [
        call("price", "1", symbol="XYZ"),
        call("price", "2", ticker="AAPL"),
        ToolCall("3", "price", '{"symbol": '),
        call("quote", "4", symbol="AAPL"),
        call("broken", "5"),
    ]
    stub = stub_provider("I could not.", script=[calling(*calls)])
    reply = await open_nova({"openai": stub.url}).run_tools("What now?", tools=[price, broken])
    errors = [run.error for run in reply.tool_runs]
    assert told(stub.chats[1]) == [f"Error: {error}" for error in errors]
    missing, wrong, cut, unknown, cancelled = map(str, errors)
    assert missing == "KeyError: 'XYZ'"
    assert wrong.startswith("wrong arguments: ")
    assert "symbol: Missing required argument" in wrong
    assert "Invalid JSON" in cut
    assert unknown == "there is no tool 'quote'; the tools are price, broken"
    assert cancelled == "CancelledError: "
    assert reply.content == "I could not."


@pytest.mark.parametrize("provider", ["openai", "huggingface"])
async def test_call_that_was_cut_is_told(provider: str, open_nova: Open, stub_provider: Stub) -> None:
    """A call that max_tokens cut is not run; the next provider, too, can read the message with it."""
    cut = Answer(
        tool_calls=[call("price", "1", symbol="AAPL"), ToolCall("2", "price", '{"symbol": "KO", "n": 1}')]
    )
    first, second = stub_provider(Failure(503), script=[cut]), stub_provider("It rose.")
    nova = open_nova({provider: first.url, "anthropic": second.url})
    reply = await nova.run_tools("Did they?", tools=[price], max_tokens=6)
    whole, broken = reply.tool_runs
    assert (whole.result, whole.error) == ("241.5", None)
    assert "Invalid JSON" in str(broken.error)
    blocks = second.chats[0].body["messages"][1]["content"]
    assert [block["input"] for block in blocks if block["type"] == "tool_use"] == [{"symbol": "AAPL"}, {}]


async def test_last_round_calls_nothing(open_nova: Open, stub_provider: Stub) -> None:
    """``max_rounds`` bounds the answers; in the last one tools are switched off, and no call is run."""
    stub = stub_provider(ASKED)
    reply = await open_nova({"openai": stub.url}).run_tools("Did it?", tools=[price], max_rounds=3)
    assert [request.body.get("tool_choice") for request in stub.chats] == [None, None, "none"]
    assert len(reply.tool_runs) == 2
    assert [one.name for one in reply.tool_calls] == ["price"]
    assert all(request.body["tools"] for request in stub.chats)


async def test_last_round_at_a_model_without_tool_choice(open_nova: Open, stub_provider: Stub) -> None:
    """With ``unsupported: refuse`` a model that cannot be told to call nothing is asked all the same."""
    stub = stub_provider("It rose.", script=[ASKED])
    nova = open_nova({"ollama": stub.url}, routing={"unsupported": "refuse"})
    assert (await nova.run_tools("Did it?", tools=[price], max_rounds=2)).content == "It rose."


async def test_required_tool_is_for_the_first_round(open_nova: Open, stub_provider: Stub) -> None:
    """``tool_choice`` is for the first answer: else the model could never answer in words."""
    stub = stub_provider("It rose.", script=[ASKED])
    await open_nova({"openai": stub.url}).run_tools("Did it?", tools=[price], tool_choice="required")
    assert [request.body.get("tool_choice") for request in stub.chats] == ["required", None]


@pytest.mark.parametrize("rounds", [0, 51, 2.5, True, "3"])
async def test_wrong_rounds_are_refused(rounds: Any, open_nova: Open, stub_provider: Stub) -> None:
    """``max_rounds`` is a whole number from 1 to 50."""
    stub = stub_provider()
    with pytest.raises(InvalidRequest, match="max_rounds must be a whole number from 1 to 50"):
        await open_nova({"openai": stub.url}).run_tools("Did it?", tools=[price], max_rounds=rounds)
    assert stub.chats == []


async def test_max_cost_is_for_all_rounds(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A round that could exceed ``max_cost`` is refused; the error has the calls that were made."""
    stub = stub_provider("It rose.", script=[ASKED])
    nova = open_nova({"openai": stub.url}, routing={"min_tokens": 1000})
    worst = (await nova.quote("Did it?", tools=[price], max_tokens=1000)).worst_case["openai/gpt-4o-mini"]
    assert worst is not None
    cap = worst + Decimal("0.000001")
    with pytest.raises(BudgetExceeded) as raised:
        await nova.run_tools("Did it?", tools=[price], max_cost=cap, max_tokens=1000)
    assert raised.value.budget == "max_cost"
    assert [run.result for run in raised.value.tool_runs] == ["241.5"]
    (row,) = attempts()
    assert raised.value.request_id == row.request
    assert balance() == (row.cost, 0, 0)
    assert row.cost <= cap * 10**9


async def test_deadline_covers_functions(open_nova: Open, stub_provider: Stub, balance: Balance) -> None:
    """``timeout`` ends a function that hangs; the calls that ended before are in the error."""
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    stub = stub_provider("Done.", script=[calling(call("hang", "1"), call("price", "2", symbol="AAPL"))])
    with pytest.raises(ProviderTimeout, match=r"the tools did not end within 1.5 s") as raised:
        await open_nova({"openai": stub.url}).run_tools("Wait.", tools=[hang, price], timeout=1.5)
    assert ended == ["cancelled"]
    assert [run.call.name for run in raised.value.tool_runs] == ["price"]
    assert raised.value.request_id
    assert balance()[1] == 0


async def test_deadline_covers_rounds(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A round that hangs ends at the deadline of the whole call; only its own hold is lost."""
    stub = stub_provider(Hang(), script=[ASKED])
    with pytest.raises(ProviderTimeout, match=rf"within {SENT_S + 1:g} s") as raised:
        await open_nova({"openai": stub.url}).run_tools("Wait.", tools=[price], timeout=SENT_S + 1)
    assert [row.state for row in attempts()] == ["settled", "lost"]
    assert len(raised.value.tool_runs) == 1
    assert balance()[1] == 0


async def test_cancelling_the_call_cancels_its_functions(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A cancelled call cancels async functions, asks nothing more, and leaves no hold."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stub = stub_provider(calling(call("hang")))
    running = asyncio.create_task(open_nova({"openai": stub.url}).run_tools("Wait.", tools=[hang]))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()
    assert [row.state for row in attempts()] == ["settled"]
    assert (len(stub.chats), balance()[1]) == (1, 0)


async def test_failed_round_has_the_calls_before(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """The error of a round that failed has what was called, under the request's id."""
    stub = stub_provider(Failure(503), script=[ASKED])
    with pytest.raises(ProviderUnavailable) as raised:
        await open_nova({"openai": stub.url}).run_tools("Did it?", tools=[price])
    assert [run.result for run in raised.value.tool_runs] == ["241.5"]
    settled, released = attempts()
    assert (settled.state, released.state) == ("settled", "released")
    assert settled.request == released.request == raised.value.request_id
    assert balance() == (settled.cost, 0, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [("openai", "anthropic"), ("anthropic", "openai"), ("ollama", "anthropic"), ("anthropic", "ollama")],
)
async def test_failover_in_the_middle(
    first: str, second: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If a provider fails after a round, the next gets the calls and results, and no function runs twice."""
    ran: list[str] = []

    def quote(symbol: str) -> str:
        ran.append(symbol)
        return "241.50 USD"

    two = [call("quote", "call_1", symbol="AAPL"), call("quote", "call_2", symbol="KO")]
    failing = stub_provider(
        Reset(), script=[Answer("Let me look.", tool_calls=two, reasoning="I need prices.")]
    )
    good = stub_provider("They rose.")
    nova = open_nova({first: failing.url, second: good.url})
    reply = await nova.run_tools("Did they?", tools=[quote], reasoning_effort="low", max_tokens=4000)
    assert (reply.content, reply.provider) == ("They rose.", second)
    assert sorted(ran) == ["AAPL", "KO"]
    assert [(row.provider, row.state) for row in attempts()] == [
        (first, "settled"),
        (first, "lost"),
        (second, "settled"),
    ]
    sent = json.dumps(good.chats[0].body["messages"])
    assert sent.count("241.50 USD") == 2
    assert "Let me look." in sent
    if second != "anthropic":
        assert "signature" not in sent  # of Anthropic's reasoning, which no other provider knows
    else:
        # Anthropic refuses to reason on where the call of a tool came without its own reasoning.
        assert "thinking" not in good.chats[0].body
        assert reply.dropped == ("reasoning_effort",)


async def test_anthropic_gets_its_reasoning_back(open_nova: Open, stub_provider: Stub) -> None:
    """Signed reasoning goes back with the results, unchanged, before the text and the call."""
    stub = stub_provider(
        "It rose.", script=[Answer("Let me look.", tool_calls=ASKED.tool_calls, reasoning="I need it.")]
    )
    nova = open_nova({"anthropic": stub.url})
    reply = await nova.run_tools("Did it?", tools=[price], reasoning_effort="low", max_tokens=4000)
    blocks = stub.chats[1].body["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use"]
    assert (blocks[0]["thinking"], blocks[0]["signature"]) == ("I need it.", "c3R1Yg==")
    assert stub.chats[1].body["thinking"] == stub.chats[0].body["thinking"]
    assert reply.dropped == ()


async def test_session_keeps_question_and_last_answer(open_nova: Open, stub_provider: Stub) -> None:
    """The history of a session has the text of the question and of the last answer, without the calls."""
    stub = stub_provider("It rose.", script=[ASKED])
    nova = open_nova({"openai": stub.url}, sessions={"history": True})
    await nova.run_tools("Did it?", tools=[price], session_id="s")
    await nova.chat("Sure?", session_id="s")
    said = [one["content"] for one in stub.chats[-1].body["messages"] if one["role"] != "system"]
    assert said == ["Did it?", "It rose.", "Sure?"]


async def test_ids_of_calls_without_one_differ_between_rounds(open_nova: Open, stub_provider: Stub) -> None:
    """Anthropic refuses two calls with one id: calls that came without an id get one that is new."""
    nameless = calling(ToolCall("", "price", '{"symbol": "KO"}'))
    stub = stub_provider("They rose.", script=[nameless, nameless])
    await open_nova({"openai": stub.url}).run_tools("Did they?", tools=[price])
    ids = [one["tool_call_id"] for one in stub.chats[-1].body["messages"] if one["role"] == "tool"]
    assert len(set(ids)) == 2
    assert all(ids)


async def test_cached_answer_needs_no_rounds(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """An answer in words to the first round is cached; one that calls tools is not."""
    stub = stub_provider("I know: it rose.", script=[ASKED])
    nova = open_nova({"openai": stub.url}, cache={"type": "memory"})
    for _ in range(2):
        await nova.run_tools("Did it?", tools=[price])
    assert len(stub.chats) == 3  # two rounds, and again the first one
    reply = await nova.run_tools("Did it?", tools=[price])
    assert (reply.cached, reply.tool_runs) == (True, ())
    assert len(clients.attempts(path)) == 4
