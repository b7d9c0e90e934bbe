"""A model's reasoning is not part of its answer: at every provider, plain and streamed, in any pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai import NoAnswer, Supernova
from supernova_ai.litellm_adapter.reasoning import ReasoningSplitter
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Cut, Raw, StubProvider
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

TEXTS = [
    ("<think>Hm, easy.</think>\nParis.", "Paris.", "Hm, easy."),
    ("\n<think>\nHm.\n</think>\n\n Paris. ", "Paris. ", "Hm."),
    ("<thinking>Hm.</thinking>Paris.", "Paris.", "Hm."),
    ("<think>a</think> <think>b</think>Paris.", "Paris.", "ab"),
    ("<think>Is a<b, or </b>?</think>Paris.", "Paris.", "Is a<b, or </b>?"),
    ("<think></think>\n\nParis.", "\n\nParis.", None),
    ("<think>Hm, easy", "", "Hm, easy"),
    ("<think>Hm</thi", "", "Hm</thi"),
    ("<thi", "<thi", None),
    ("<", "<", None),
    ("  Paris.", "  Paris.", None),
    ("Paris. <think>No.</think>", "Paris. <think>No.</think>", None),
    ("The tags <think> and </think>.", "The tags <think> and </think>.", None),
    ("<thinker>Paris.", "<thinker>Paris.", None),
]


@pytest.mark.parametrize(("text", "answer", "thoughts"), TEXTS)
@given(cuts=st.sets(st.integers(1, 40)))
def test_pieces_do_not_matter(text: str, answer: str, thoughts: str | None, cuts: set[int]) -> None:
    """Wherever a text is cut, the answer and the reasoning are the same."""
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    splitter = ReasoningSplitter()
    found = [splitter.feed(text[a:b]) for a, b in pairwise(places)]
    assert "".join(found) + splitter.end() == answer
    assert splitter.text == thoughts


def test_long_reasoning_is_not_held_back() -> None:
    """Only as many characters as a tag has are searched again."""
    splitter = ReasoningSplitter()
    splitter.feed("<think>")
    for _ in range(1000):
        splitter.feed("word ")
    assert len(splitter._held) < 20


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("provider", clients.PROVIDERS)
async def test_tags_are_removed_at_every_provider(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Tags before the answer are removed, tags in it stay, and all output is charged."""
    texts = ["<think>Hm, easy.</think>\nParis.", "Write <think> or </think>, please."]
    nova = open_nova({provider: stub_provider(script=texts).url})
    pieces: list[str] = []
    reply = await nova.chat("Where?", streaming=streaming, on_token=pieces.append if streaming else None)
    assert (reply.content, reply.reasoning) == ("Paris.", "Hm, easy.")
    if streaming:
        assert "".join(pieces) == "Paris."
    assert (await nova.chat("How?", streaming=streaming)).content == texts[1]
    (row, _) = attempts()
    assert row.completion >= 3


def event(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body | fields)}\n\n"


USAGE = {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}
THINKING = {"type": "thinking", "thinking": "Hm, easy.", "signature": "s"}


def openai_plain(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> Raw:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Raw(200, "application/json", json.dumps(body | {"usage": USAGE} | fields))


def sse(*events: str) -> Raw:
    return Raw(200, "text/event-stream", "".join(events) + "data: [DONE]\n\n")


def anthropic(*events: dict[str, Any]) -> Raw:
    lines = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events]
    return Raw(200, "text/event-stream", "".join(lines))


CLAUDE = {"id": "m", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "stop_reason": None}
TOKENS = {"input_tokens": 9, "output_tokens": 8}
OWN = {
    "openai": (
        openai_plain({"content": "Paris.", "reasoning_content": "Hm, easy."}),
        sse(
            event({"role": "assistant", "reasoning_content": "Hm, "}),
            event({"reasoning_content": "easy."}),
            event({"content": "Paris."}),
            event({}, "stop", usage=USAGE),
        ),
    ),
    "huggingface": (
        openai_plain({"content": [{"type": "thinking", "thinking": [{"text": "Hm, easy."}]}, "Paris."]}),
        sse(
            event({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm, "}]}]}),
            event({"reasoning": "easy."}),
            event({"content": [{"type": "text", "text": "Paris."}]}),
            event({}, "stop", usage=USAGE),
        ),
    ),
    "anthropic": (
        Raw(
            200,
            "application/json",
            json.dumps(
                CLAUDE
                | {"content": [THINKING, {"type": "text", "text": "\n\nParis."}]}
                | {"stop_reason": "end_turn", "usage": TOKENS}
            ),
        ),
        anthropic(
            {"type": "message_start", "message": CLAUDE | {"content": [], "usage": TOKENS}},
            {"type": "content_block_start", "index": 0, "content_block": THINKING | {"thinking": ""}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "Hm, easy."},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "text_delta", "text": "\n\nParis."},
            },
            {"type": "content_block_stop", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": TOKENS},
            {"type": "message_stop"},
        ),
    ),
    "ollama": tuple(
        Raw(200, "application/x-ndjson", "".join(f"{json.dumps(line)}\n" for line in lines))
        for lines in (
            [
                {"model": "m", "message": {"role": "assistant", "content": "Paris.", "thinking": "Hm, easy."}}
                | {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 8}
            ],
            [
                {"model": "m", "message": {"content": "", "thinking": "Hm, easy."}, "done": False},
                {"model": "m", "message": {"content": "Paris."}, "done": False},
                {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop"}
                | {"prompt_eval_count": 9, "eval_count": 8},
            ],
        )
    ),
}


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("provider", clients.PROVIDERS)
async def test_separate_reasoning_is_read(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Reasoning that a provider sends in fields of its own is in ``reasoning`` too."""
    nova = open_nova({provider: stub_provider(OWN[provider][streaming]).url})
    reply = await nova.chat("Where?", streaming=streaming)
    assert (reply.content, reply.reasoning) == ("Paris.", "Hm, easy.")
    assert (reply.usage.prompt, reply.usage.completion, reply.cost_basis) == (9, 8, "exact")


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_reasoning_alone_is_no_answer(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If the reasoning uses all tokens, the error says so; the attempt is paid and not repeated."""
    nova = open_nova(
        {"openai": stub_provider("<think>" + "hm " * 99).url},
        routing={"retries": 3, "breaker": {"failures": 1}},
    )
    for _ in range(2):  # the circuit stays closed
        with pytest.raises(NoAnswer, match="its reasoning used all 9 of max_tokens"):
            await nova.chat("Where?", streaming=streaming, max_tokens=9)
    assert [(row.state, row.basis, row.completion) for row in attempts()] == [("settled", "exact", 9)] * 2


async def test_break_during_reasoning_is_retried(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """The caller has seen nothing, so the next attempt starts again; what arrived is charged."""
    stub = stub_provider(script=[Cut(4, text="<think>one two three four five"), "Paris."])
    nova = open_nova({"openai": stub.url}, routing={"retries": 1})
    pieces: list[str] = []
    reply = await nova.chat("Where?", on_token=pieces.append)
    assert (reply.content, reply.reasoning, pieces) == ("Paris.", None, ["Paris."])
    assert [message["role"] for message in stub.chats[1].json["messages"]] == ["user"]
    assert [(row.state, row.basis) for row in attempts()] == [("settled", "estimated"), ("settled", "exact")]


async def test_resumed_answer_has_the_reasoning_of_both_attempts(
    open_nova: Open, stub_provider: Stub
) -> None:
    """Each attempt has its own reasoning; none of it is in the answer."""
    script = [
        Cut(8, text="<think>one two</think> the market is calm today"),
        "<think>three</think>and so on.",
    ]
    nova = open_nova({"openai": stub_provider(script=script).url}, routing={"retries": 1})
    pieces: list[str] = []
    reply = await nova.chat("Where?", on_token=pieces.append)
    assert reply.content == "".join(pieces)
    assert reply.content.startswith("the market")
    assert reply.content.endswith("and so on.")
    assert "think" not in reply.content
    assert reply.reasoning == "one two\n\nthree"


async def test_cached_answer_has_its_reasoning(open_nova: Open, stub_provider: Stub) -> None:
    """The cache stores the reasoning with the answer."""
    nova = open_nova({"openai": stub_provider("<think>Hm.</think>Paris.").url}, cache={"type": "memory"})
    await nova.chat("Where?")
    kept = await nova.chat("Where?")
    assert (kept.cached, kept.content, kept.reasoning) == (True, "Paris.", "Hm.")


async def test_probe_accepts_reasoning(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """A probe asks for one token, which may be reasoning."""
    nova = open_nova({"openai": stub_provider("<think>Hm.").url})
    await nova.warm_up()
    (deployment,) = nova._runtime.engine._deployments.values()
    await nova._runtime.engine.run(nova._runtime.engine._ask(deployment))
    assert [(row.state, row.error) for row in attempts()] == [("settled", None)]
