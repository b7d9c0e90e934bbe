"""Answers in shapes that LiteLLM does not know: read if possible, else reported and charged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai import ContentRefused, NoAnswer, ProviderUnavailable, Reply, Supernova, UnreadableAnswer
from supernova_ai.errors import ProviderError, StreamInterrupted
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Raw, StubProvider
from tests.litellm_adapter.test_reasoning import CLAUDE, TOKENS, USAGE, anthropic, event, openai_plain, sse

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

PRICED = {
    "models": {"standard": "house-1"},
    "prices": {"house-1": {"input": "1", "output": "2"}},
    "keys": ["primary"],
}
AGAIN = {"retries": 3, "breaker": {"failures": 9}}


def body(**fields: Any) -> Raw:
    return Raw(200, "application/json", json.dumps(fields))


def choices(*given: Any) -> Raw:
    """Return an answer with these choices, without the other fields that LiteLLM expects."""
    return body(choices=list(given), usage=USAGE)


READABLE = {
    "no role": choices({"message": {"content": "Bonds."}}),
    "no index": choices({"message": {"role": "assistant", "content": "Bonds."}, "finish_reason": "stop"}),
    "text for a message": choices({"messages": "Bonds."}),
    "text of a completion": choices({"text": "Bonds.", "finish_reason": "stop"}),
    "parts of text": choices({"message": {"content": [{"type": "output_text", "text": "Bonds."}]}}),
    "parts that are strings": choices({"message": {"content": ["Bonds", "."]}}),
    "nested parts": choices({"message": {"content": [{"type": "text", "text": [{"text": "Bonds."}]}]}}),
    "a null choice": choices({"message": {"content": "Bonds."}}, None),
    "reasoning and refusal of other types": choices(
        {"message": {"content": "Bonds.", "reasoning_content": {"text": "Hm."}, "refusal": False}}
    ),
    "finish details": choices({"message": {"content": "Bonds."}, "finish_details": {"type": "stop"}}),
}


@pytest.mark.parametrize("provider", ["openai", "groq", "mistral", "openrouter", "deepseek", "fireworks_ai"])
async def test_odd_choices_are_read(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A choice without the usual fields is an answer, whichever of LiteLLM's converters reads it."""
    stub = stub_provider(READABLE["no role"])
    url = stub.url if provider == "openai" else f"{stub.url}/v1"
    nova = open_nova({provider: PRICED | {"url": url}}, routing=AGAIN)
    for name, raw in READABLE.items():
        stub.reply = raw
        reply = await nova.chat("What now?")
        assert (reply.content, reply.finish_reason, reply.cost_basis) == ("Bonds.", "stop", "exact"), name
        assert (reply.usage.prompt, reply.usage.completion) == (9, 8), name
    assert len(stub.chats) == len(READABLE)


STREAMS: dict[str, list[str]] = {
    "usage and no finish reason": [
        event({"content": "Bonds."}),
        f"data: {json.dumps({'usage': USAGE, 'choices': []})}\n\n",
    ],
    "usage in an event without choices": [
        event({"content": "Bonds."}),
        event({}, usage=USAGE, choices=[]),
    ],
    "usage with the last choice": [event({"content": "Bonds"}), event({"content": "."}, usage=USAGE)],
    "no delta": [
        event({"content": "Bonds."}),
        f"data: {json.dumps({'choices': [{'index': 0, 'finish_reason': 'stop'}], 'usage': USAGE})}\n\n",
    ],
    "no index": [
        f"data: {json.dumps({'choices': [{'index': None, 'delta': {'content': 'Bonds.'}}]})}\n\n",
        event({}, "stop", usage=USAGE),
    ],
    "parts": [event({"content": [{"type": "text", "text": "Bonds."}]}), event({}, "stop", usage=USAGE)],
    "named events": ["event: chunk\n" + event({"content": "Bonds."}), event({}, "stop", usage=USAGE)],
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("provider", ["openai", "groq", "openrouter"])
async def test_odd_streams_are_read(name: str, provider: str, open_nova: Open, stub_provider: Stub) -> None:
    """A stream without some of the usual fields is an answer too."""
    stub = stub_provider(sse(*STREAMS[name]))
    url = stub.url if provider == "openai" else f"{stub.url}/v1"
    nova = open_nova({provider: PRICED | {"url": url}}, routing=AGAIN)
    reply = await nova.chat("What now?", streaming=True, on_interrupt="raise")
    assert (reply.content, reply.finish_reason, reply.cost_basis) == ("Bonds.", "stop", "exact")
    assert len(stub.chats) == 1


NOTHING: dict[str, tuple[Raw, type[ProviderError], str]] = {
    "no message, filtered": (choices({"finish_reason": "content_filter"}), ContentRefused, "content policy"),
    "empty": (openai_plain({"content": ""}), NoAnswer, "is empty"),
    "null": (openai_plain({"content": None}), NoAnswer, "is empty"),
    "white space": (openai_plain({"content": " \n"}), NoAnswer, "is empty"),
    "only reasoning": (openai_plain({"content": "<think>Hm.</think>\n"}), NoAnswer, "only reasoning"),
    "only a reasoning field": (openai_plain({"reasoning_content": "Hm."}), NoAnswer, "only reasoning"),
    "cut short": (openai_plain({"content": ""}, "length"), NoAnswer, "max_tokens"),
    "no choices": (choices(), NoAnswer, "is empty"),
    "choices of another type": (body(choices="none", usage=USAGE), UnreadableAnswer, "choices, usage"),
    "another protocol": (body(result="hi", usage=USAGE), UnreadableAnswer, "result, usage"),
    "empty stream": (sse(event({}, "stop", usage=USAGE)), NoAnswer, "is empty"),
    "stream of reasoning": (
        sse(event({"content": "<think>Hm."}), event({}, "stop", usage=USAGE)),
        NoAnswer,
        "only reasoning",
    ),
    "stream filtered": (sse(event({}, "content_filter", usage=USAGE)), ContentRefused, "content policy"),
}


@pytest.mark.parametrize("name", NOTHING)
async def test_empty_answer_is_reported_and_charged_once(
    name: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """An empty answer is settled at its usage, not retried, and raises an error that says what it was."""
    raw, error, words = NOTHING[name]
    stub, other = stub_provider(raw), stub_provider("Bonds.")
    nova = open_nova({"openai": stub.url, "anthropic": other.url}, routing=AGAIN)
    with pytest.raises(error, match=words) as raised:
        await nova.chat("What now?", streaming="stream" in raw.content_type or "event" in raw.content_type)
    assert "Traceback" not in str(raised.value)
    assert "gpt-4o-mini" in str(raised.value)
    (row,) = attempts()
    assert (row.state, row.basis, row.prompt, row.completion) == ("settled", "exact", 9, 8)
    assert (row.error, len(stub.chats), other.chats) == (error.__name__, 1, [])


async def test_unreadable_answer_without_usage_is_lost(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """An unreadable answer without usage ends as lost, and the next provider is asked."""
    stub, other = stub_provider(body(result="hi")), stub_provider("Bonds.")
    nova = open_nova({"openai": stub.url, "anthropic": other.url})
    assert (await nova.chat("What now?")).content == "Bonds."
    (lost, _) = attempts()
    assert (lost.state, lost.cost, lost.error) == ("lost", lost.held, "ProviderUnavailable")
    with pytest.raises(ProviderUnavailable, match="fields: result"):
        await nova.chat("What now?", model="openai/gpt-4o-mini")


async def test_refusal_in_a_stream_is_not_content(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A refusal in a stream is in ``refusal``, and not in the content."""
    said = [event({"refusal": "I can not "}), event({"refusal": "help."}), event({}, "stop", usage=USAGE)]
    pieces: list[str] = []
    reply = await open_nova({"openai": stub_provider(sse(*said)).url}).chat("Hi", on_token=pieces.append)
    assert (reply.content, reply.refusal, reply.finish_reason) == ("", "I can not help.", "content_filter")
    assert (pieces, str(reply), reply.cost_basis) == ([], "I can not help.", "exact")


@pytest.mark.parametrize("text", ["", "Bonds "])
async def test_error_in_a_streams_choice_is_raised(
    text: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """An error in a stream's choice is raised with the provider's message, and the usage is charged."""
    error = {"code": 502, "message": "the upstream went away"}
    failed = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": error}
    last = event({}, choices=[failed], usage=USAGE)
    stub = stub_provider(sse(event({"content": text}), last))
    kind = StreamInterrupted if text else ProviderUnavailable
    with pytest.raises(kind, match="the upstream went away"):
        await open_nova({"openai": stub.url}).chat("Hi", streaming=True, on_interrupt="raise")
    assert [(row.state, row.error) for row in attempts()] == [("settled", "ProviderUnavailable")]
    assert attempts()[0].completion >= bool(text)


def ended(reason: str, *, stream: bool) -> Raw:
    """Return an answer of Anthropic's with this stop reason."""
    text = {"type": "text", "text": "Bonds."}
    if not stream:
        return body(**CLAUDE | {"content": [text], "stop_reason": reason, "usage": TOKENS})
    return anthropic(
        {"type": "message_start", "message": CLAUDE | {"content": [], "usage": TOKENS}},
        {"type": "content_block_start", "index": 0, "content_block": text | {"text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bonds."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": TOKENS},
        {"type": "message_stop"},
    )


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("pause_turn", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
async def test_finish_reasons_of_anthropic(
    said: str, reason: str, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """Each stop reason of Anthropic's has its finish reason; an answer that could continue has "length"."""
    nova = open_nova({"anthropic": stub_provider(ended(said, stream=streaming)).url})
    assert (await nova.chat("Hi", streaming=streaming)).finish_reason == reason


def cohere(reason: str, *, stream: bool) -> Raw:
    """Return an answer of Cohere's with this finish reason."""
    usage = {"tokens": {"input_tokens": 9, "output_tokens": 8}}
    text = {"type": "text", "text": "Bonds."}
    if not stream:
        message = {"role": "assistant", "content": [text]}
        return body(id="c", finish_reason=reason, message=message, usage=usage)
    events: list[dict[str, Any]] = [
        {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": text | {"text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Bonds."}}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}},
    ]
    return anthropic(*events)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("said", "reason"),
    [("COMPLETE", "stop"), ("MAX_TOKENS", "length"), ("ERROR_LIMIT", "length"), ("TOOL_CALL", "tool_calls")],
)
async def test_cohere(
    said: str, reason: str, streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Cohere's ``event:`` lines, token counts and finish reasons are read."""
    stub = stub_provider(cohere(said, stream=streaming))
    nova = open_nova({"cohere": PRICED | {"url": f"{stub.url}/v2/chat"}})
    reply: Reply = await nova.chat("Hi", streaming=streaming, on_interrupt="raise")
    assert (reply.content, reply.finish_reason, reply.cost_basis) == ("Bonds.", reason, "exact")
    assert (reply.usage.prompt, reply.usage.completion) == (9, 8)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_failure_of_cohere_is_raised(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Cohere reports a failure only in its finish reason: it is raised, and the text is charged."""
    stub = stub_provider(cohere("ERROR", stream=streaming))
    nova = open_nova({"cohere": PRICED | {"url": f"{stub.url}/v2/chat"}})
    with pytest.raises(ProviderError, match="finish reason 'ERROR'"):
        await nova.chat("Hi", streaming=streaming, on_interrupt="raise")
    assert [(row.state, row.basis, row.completion) for row in attempts()] == [("settled", "exact", 8)]


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_forced_tool_call(streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """A forced tool call has the finish reason "tool_calls", though the provider reports "stop" for it."""
    call = {"index": 0, "id": "t", "type": "function", "function": {"name": "quote", "arguments": "{}"}}
    raw = (
        sse(event({"tool_calls": [call]}), event({}, "stop", usage=USAGE))
        if streaming
        else openai_plain({"content": None, "tool_calls": [call]})
    )
    reply = await open_nova({"openai": stub_provider(raw).url}).chat("Hi", streaming=streaming)
    assert (reply.content, reply.finish_reason) == ("", "tool_calls")


REPORT: dict[str, Any] = {"usage": USAGE}


@pytest.mark.parametrize("reports", [(REPORT, REPORT, REPORT), (REPORT, {}, {})], ids=["each", "first"])
async def test_usage_before_the_end_does_not_end_a_stream(
    reports: tuple[dict[str, Any], ...], open_nova: Open, stub_provider: Stub
) -> None:
    """A stream that stops without a finish reason is broken, even if it reported usage before."""
    said = "".join(event({"content": "Bonds "}, **report) for report in reports)
    stub = stub_provider(Raw(200, "text/event-stream", said))
    with pytest.raises(StreamInterrupted, match="ended before its end"):
        await open_nova({"openai": stub.url}).chat("Hi", streaming=True, on_interrupt="raise")
