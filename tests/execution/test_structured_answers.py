"""Structured answers: by the provider's schema, by a tool call or in words; mended once, within budgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel, field_validator
from typing_extensions import TypedDict

from supernova_ai import InvalidAnswer, Supernova, ToolCall
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Cut, Failure, Hang, Raw, StubProvider
from supernova_ai.types import Usage
from tests.waiting import SENT_S

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]


class Verdict(BaseModel):
    action: Literal["buy", "hold", "sell"]
    confidence: float
    note: str | None = None


class Stock(TypedDict):
    action: str


@dataclass
class Order:
    action: str
    count: int = 1


SCHEMA = {
    "type": "object",
    "title": "V",
    "properties": {"action": {"type": "string"}},
    "required": ["action"],
}
GOOD = '{"action": "buy", "confidence": 0.5}'
BAD = '{"action": "wait", "confidence": 0.5}'
VERDICT = Verdict(action="buy", confidence=0.5)

each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


@pytest.mark.parametrize(
    ("model", "parsed"),
    [(Verdict, VERDICT), (Stock, {"action": "buy"}), (Order, Order("buy")), (SCHEMA, {"action": "buy"})],
    ids=["model", "typed dict", "dataclass", "schema"],
)
@each_way
async def test_answer_is_the_object(
    model: Any, parsed: Any, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """The schema goes in OpenAI's own parameter, and the answer is read into the type."""
    text = GOOD if model is Verdict else '{"action": "buy"}'
    stub = stub_provider(text)
    reply = await open_nova({"openai": stub.url}).chat("And?", response_model=model, streaming=streaming)
    assert (reply.parsed, reply.content) == (parsed, text)
    sent = stub.chats[0].body["response_format"]
    assert (sent["type"], sent["json_schema"]["strict"]) == ("json_schema", model is not SCHEMA)
    assert "action" in sent["json_schema"]["schema"]["properties"]


@each_way
async def test_schema_in_words(streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """A model that LiteLLM knows to take no schema gets it in words, and nothing is reported as dropped."""
    stub = stub_provider(f"```json\n{GOOD}\n```")
    settings = {"url": stub.url, "models": {"standard": "gpt-4"}}
    nova = open_nova({"openai": settings}, routing={"unsupported": "refuse"})
    reply = await nova.chat("And?", response_model=Verdict, streaming=streaming)
    assert (reply.parsed, reply.dropped) == (VERDICT, ())
    body = stub.chats[0].body
    assert "response_format" not in body
    assert body["messages"][0]["role"] == "system"
    assert "Answer with one JSON object of this JSON schema" in body["messages"][0]["content"]
    assert '"confidence"' in body["messages"][0]["content"]


@each_way
@pytest.mark.parametrize("provider", ["anthropic", "ollama", "huggingface"])
async def test_other_dialects(provider: str, streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """Each provider gets the schema where it has a place for it."""
    stub = stub_provider(GOOD)
    reply = await open_nova({provider: stub.url}).chat("And?", response_model=Verdict, streaming=streaming)
    assert reply.parsed == VERDICT
    body = stub.chats[0].body
    place = {"anthropic": "output_format", "ollama": "format", "huggingface": "response_format"}[provider]
    assert "confidence" in json.dumps(body.get(place) or body.get("output_config"))


@pytest.mark.parametrize(
    ("provider", "model"), [("groq", "llama-3.1-8b-instant"), ("anthropic", "claude-3-haiku-20240307")]
)
@each_way
async def test_tool_call_that_litellm_makes_of_a_schema(
    provider: str, model: str, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """Where a provider has only tools, LiteLLM asks for a call of its own, and reads it as the answer."""

    def answer(request: Any) -> Answer:
        (tool,) = request.body["tools"]
        return Answer(tool_calls=[ToolCall("c", tool.get("function", tool)["name"], GOOD)])

    stub = stub_provider(answer)
    url = stub.url + ("/v1" if provider == "groq" else "")
    prices = {model: {"input": "1", "output": "2"}}
    settings = {"url": url, "models": {"standard": model}, "keys": ["primary"], "prices": prices}
    reply = await open_nova({provider: settings}).chat("And?", response_model=Verdict, streaming=streaming)
    assert (reply.parsed, reply.tool_calls) == (VERDICT, ())
    assert json.loads(reply.content) == json.loads(GOOD)
    assert (reply.finish_reason, len(stub.chats)) == ("stop", 1)


async def test_tool_calls_come_before_the_object(open_nova: Open, stub_provider: Stub) -> None:
    """An answer that calls tools has no object yet, and is not asked for again."""

    def price(symbol: str) -> float:
        """Return a price."""
        return 1.0

    stub = stub_provider(Answer("Let me look.", tool_calls=[ToolCall("c", "price", '{"symbol": "A"}')]))
    reply = await open_nova({"openai": stub.url}).chat("And?", response_model=Verdict, tools=[price])
    assert reply.parsed is None
    assert (len(reply.tool_calls), len(stub.chats)) == (1, 1)


@each_way
async def test_wrong_answer_is_asked_for_once_more(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """The model is told what is wrong; both attempts are of one request, and charged."""
    stub = stub_provider(GOOD, script=[BAD])
    reply = await open_nova({"openai": stub.url}).chat("And?", response_model=Verdict, streaming=streaming)
    assert (reply.parsed, reply.content) == (VERDICT, GOOD)
    first, second = (request.body["messages"] for request in stub.chats)
    assert second[: len(first)] == first
    assert second[-2] == {"role": "assistant", "content": BAD}
    assert "action: Input should be 'buy', 'hold' or 'sell'" in second[-1]["content"]
    rows = attempts()
    assert [row.state for row in rows] == ["settled", "settled"]
    assert {row.request for row in rows} == {reply.request_id}
    assert reply.cost * 10**9 == sum(row.cost for row in rows) == sum(balance())
    assert len(reply.attempts) == 2


@each_way
async def test_answer_that_stays_wrong(streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """After one more try the error has the text, each problem with its place, and the request's id."""
    stub = stub_provider(BAD)
    with pytest.raises(InvalidAnswer, match="action: Input should be") as raised:
        await open_nova({"openai": stub.url}).chat("And?", response_model=Verdict, streaming=streaming)
    assert len(stub.chats) == 2
    assert (raised.value.text, raised.value.provider, raised.value.model) == (BAD, "openai", "gpt-4o-mini")
    (problem,) = raised.value.problems
    assert (problem["loc"], problem["input"]) == (("action",), "wait")
    assert raised.value.request_id


async def test_repair_is_within_max_cost(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A second try that ``max_cost`` does not bear is not sent; the error keeps the text and says why."""
    stub = stub_provider(Answer(BAD, usage=Usage(prompt=400, completion=100)))
    nova = open_nova({"openai": stub.url}, routing={"min_tokens": 1000})
    worst = (await nova.quote("And?", response_model=Verdict, max_tokens=1000)).worst_case[
        "openai/gpt-4o-mini"
    ]
    assert worst is not None
    with pytest.raises(InvalidAnswer) as raised:
        await nova.chat("And?", response_model=Verdict, max_tokens=1000, max_cost=worst + Decimal("0.000001"))
    assert raised.value.text == BAD
    (note,) = [one for one in raised.value.__notes__ if "asking once more failed" in one]
    assert "max_cost" in note
    assert [row.state for row in attempts()] == ["settled"]
    assert balance()[1] == 0


async def test_repair_is_within_the_budget(open_nova: Open, stub_provider: Stub, balance: Balance) -> None:
    """A budget that is used up refuses the second try, and the first answer is the error's."""
    stub = stub_provider(Answer(BAD, usage=Usage(prompt=400, completion=1000)))
    budgets = [{"name": "daily", "limit": "0.0022", "per": "day"}]
    nova = open_nova({"openai": stub.url}, routing={"min_tokens": 1000, "wait": 0}, budgets=budgets)
    with pytest.raises(InvalidAnswer) as raised:
        await nova.chat("And?", response_model=Verdict, max_tokens=1000)
    assert any("asking once more failed: budget 'daily'" in note for note in raised.value.__notes__)
    assert len(stub.chats) == 1
    settled, held, lost = balance()
    assert (held, lost) == (0, 0)
    assert settled <= 2_200_000


@each_way
async def test_repair_is_within_the_timeout(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A second try that hangs ends at the call's deadline; its hold is lost, the first answer stays."""
    stub = stub_provider(Hang(), script=[BAD])
    nova = open_nova({"openai": stub.url})
    with pytest.raises(InvalidAnswer) as raised:
        await nova.chat("And?", response_model=Verdict, timeout=SENT_S + 1, streaming=streaming)
    assert (raised.value.text, raised.value.__notes__) == (
        BAD,
        [f"asking once more failed: no whole answer within {SENT_S + 1:g} s"],
    )
    assert raised.value.request_id
    assert [row.state for row in attempts()] == ["settled", "lost"]
    assert balance()[1] == 0


async def test_failed_repair_keeps_the_first_answer(
    open_nova: Open, stub_provider: Stub, balance: Balance
) -> None:
    """If the second try fails, the error is that of the first answer, with the failure in a note."""
    stub = stub_provider(Failure(503), script=[BAD])
    with pytest.raises(InvalidAnswer) as raised:
        await open_nova({"openai": stub.url}).chat("And?", response_model=Verdict)
    assert raised.value.text == BAD
    assert any("asking once more failed" in note for note in raised.value.__notes__)
    assert balance()[1] == 0


async def test_another_provider_may_mend(open_nova: Open, stub_provider: Stub) -> None:
    """If the first provider fails at the second try, the next one is asked."""
    first, second = stub_provider(Failure(503), script=[BAD]), stub_provider(GOOD)
    nova = open_nova({"openai": first.url, "anthropic": second.url})
    reply = await nova.chat("And?", response_model=Verdict)
    assert (reply.parsed, reply.provider) == (VERDICT, "anthropic")


@each_way
async def test_cut_off_answer_is_not_asked_for_again(
    streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """An answer that ``max_tokens`` cut would be cut again: the error says what to do."""
    stub = stub_provider(GOOD)
    with pytest.raises(InvalidAnswer, match="cut off at 2 tokens; ask for more max_tokens"):
        await open_nova({"openai": stub.url}).chat(
            "And?", response_model=Verdict, max_tokens=2, streaming=streaming
        )
    assert len(stub.chats) == 1


async def test_refusal_is_not_asked_for_again(open_nova: Open, stub_provider: Stub) -> None:
    """A model that refuses would refuse again; its words are the reason."""
    message = {"role": "assistant", "content": None, "refusal": "I cannot advise."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "usage": usage}
    stub = stub_provider(Raw(200, "application/json", json.dumps(head | {"choices": [choice]})))
    with pytest.raises(InvalidAnswer, match="the model refused: I cannot advise"):
        await open_nova({"openai": stub.url}).chat("And?", response_model=Verdict)
    assert len(stub.chats) == 1


async def test_cached_answer_is_read_into_its_type(open_nova: Open, stub_provider: Stub) -> None:
    """An answer from the cache has its object; another schema is another answer; a mended one is cached."""
    stub = stub_provider(GOOD, script=[BAD])
    nova = open_nova({"openai": stub.url}, cache={"type": "memory"})
    replies = [await nova.chat("And?", response_model=Verdict) for _ in range(2)]
    assert [reply.cached for reply in replies] == [False, True]
    assert [reply.parsed for reply in replies] == [VERDICT] * 2
    assert (await nova.chat("And?", response_model=SCHEMA)).cached is False
    assert (await nova.chat("And?")).cached is False


async def test_cached_answer_that_fits_no_more(open_nova: Open, stub_provider: Stub) -> None:
    """If the type refuses a cached answer now, the model is asked."""
    allowed = True

    class Checked(Verdict):
        @field_validator("action")
        @classmethod
        def check(cls, value: str) -> str:
            if not allowed:
                raise ValueError("not any more")
            return value

    stub = stub_provider(GOOD)
    nova = open_nova({"openai": stub.url}, cache={"type": "memory"})
    await nova.chat("And?", response_model=Checked)
    allowed = False
    with pytest.raises(InvalidAnswer, match="not any more"):
        await nova.chat("And?", response_model=Checked)
    assert len(stub.chats) == 3


@each_way
async def test_error_of_the_callers_own_validator(
    streaming: bool, open_nova: Open, stub_provider: Stub, balance: Balance
) -> None:
    """A validator that breaks is the caller's own error: it comes as an answer that does not fit."""

    class Broken(Verdict):
        @field_validator("action")
        @classmethod
        def check(cls, value: str) -> str:
            raise KeyError("no such table")

    stub = stub_provider(GOOD)
    with pytest.raises(InvalidAnswer, match="KeyError: 'no such table'"):
        await open_nova({"openai": stub.url}).chat("And?", response_model=Broken, streaming=streaming)
    assert balance()[1] == 0


async def test_stream_has_the_object_so_far(open_nova: Open, stub_provider: Stub) -> None:
    """``partial`` grows with the text; after the end the reply has the object."""
    nova = open_nova({"openai": stub_provider(GOOD).url})
    seen: list[Any] = []
    async with nova.stream("And?", response_model=Verdict) as tokens:
        async for _ in tokens:
            seen.append(tokens.partial)
    assert seen[0] == {}
    assert {"action": "buy"} in seen
    assert seen[-1] == {"action": "buy", "confidence": 0.5}
    assert tokens.reply.parsed == VERDICT


async def test_partial_after_a_repair_is_of_the_whole_answer(open_nova: Open, stub_provider: Stub) -> None:
    """Where the text shown did not fit, ``partial`` is the mended object in the end."""
    nova = open_nova({"openai": stub_provider(GOOD, script=[BAD]).url})
    async with nova.stream("And?", response_model=Verdict) as tokens:
        async for _ in tokens:
            pass
    assert tokens.reply.parsed == VERDICT
    assert tokens.partial == {"action": "buy", "confidence": 0.5}


@pytest.mark.parametrize("broken_at", [1, 2, 3])
async def test_broken_stream_is_continued(broken_at: int, open_nova: Open, stub_provider: Stub) -> None:
    """Another model continues the JSON text, without the schema's parameter, and the object is whole."""
    words = GOOD.split(" ")
    rest = " ".join(words[broken_at:])
    broken = stub_provider(Cut(broken_at, complete=True, text=GOOD))
    good = stub_provider(rest)
    nova = open_nova({"openai": broken.url, "anthropic": good.url})
    async with nova.stream("And?", response_model=Verdict) as tokens:
        text = "".join([token async for token in tokens])
    assert json.loads(text) == json.loads(GOOD)
    assert tokens.reply.parsed == VERDICT
    assert "output_format" not in good.chats[0].body


async def test_analyses_and_prompts_have_objects_too(open_nova: Open, stub_provider: Stub) -> None:
    """``analyze`` and ``ask`` take a response model as ``chat`` does."""
    nova = open_nova({"openai": stub_provider(GOOD).url})
    analysed = await nova.analyze("Acme rose.", response_model=Verdict, tier="standard")
    asked = await nova.ask("chat", {"message": "And?"}, response_model=Verdict, tier="standard")
    assert analysed.parsed == asked.parsed == VERDICT
