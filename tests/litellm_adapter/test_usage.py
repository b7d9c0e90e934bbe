"""What providers report of tokens: believed upward, never below what came, and never worth an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supernova_ai import Supernova
from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.litellm_adapter.answer_json import normalize
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.litellm_adapter.usage import token_count, usage_of
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Raw, StubProvider
from supernova_ai.types import Usage
from tests.execution.test_odd_answers import event, stream

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

TEXT = "Bonds are loans."
LONG = "A share is a part of a company. " * 20

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=2),
    max_leaves=3,
)
names = st.sampled_from(
    [
        *("prompt_tokens", "completion_tokens", "total_tokens", "cache_creation_input_tokens", "cost"),
        *("prompt_tokens_details", "completion_tokens_details", "cached_tokens", "reasoning_tokens"),
    ]
)


def openai(usage: object, text: str = TEXT) -> str:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps(body | {"usage": usage})


def openai_stream(usage: object, text: str = TEXT) -> str:
    """Return a stream whose report is in the last chunk with text, so that an error in it would lose text."""
    return stream(event({"content": text}, "stop", usage=usage), "data: [DONE]\n\n").body


def anthropic(usage: object, text: str = TEXT) -> str:
    content = [{"type": "text", "text": text}]
    body = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": content}
    return json.dumps(body | {"stop_reason": "end_turn", "usage": usage})


def anthropic_stream(usage: object, text: str = TEXT, last: object = "the same") -> str:
    start = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "usage": usage}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        end | {"usage": usage if last == "the same" else last},
        {"type": "message_stop"},
    ]
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)


def ollama(usage: object, text: str = TEXT) -> str:
    message = {"role": "assistant", "content": text}
    body = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message}
    return json.dumps(
        body | {"done": True, "done_reason": "stop"} | (usage if isinstance(usage, dict) else {})
    )


def ollama_stream(usage: object, text: str = TEXT) -> str:
    said = {"model": "m", "message": {"role": "assistant", "content": text}, "done": False}
    return json.dumps(said) + "\n" + ollama(usage, "") + "\n"


DIALECTS: dict[str, tuple[str, Callable[[object], str], str, tuple[str, ...]]] = {
    "openai": ("openai", openai, "application/json", ("prompt_tokens", "completion_tokens")),
    "openai streamed": ("openai", openai_stream, "text/event-stream", ("prompt_tokens", "completion_tokens")),
    "anthropic": ("anthropic", anthropic, "application/json", ("input_tokens", "output_tokens")),
    "anthropic streamed": (
        "anthropic",
        anthropic_stream,
        "text/event-stream",
        ("input_tokens", "output_tokens"),
    ),
    "ollama": ("ollama", ollama, "application/json", ("prompt_eval_count", "eval_count")),
    "ollama streamed": (
        "ollama",
        ollama_stream,
        "application/x-ndjson",
        ("prompt_eval_count", "eval_count"),
    ),
}
# What is reported for each number of tokens, and what is read: None is an estimate.
ODD: list[object] = [None, "many", "", [9], {"n": 9}, True, -9, 0, float("inf"), float("nan")]
NO_REPORTS: list[object] = ["none", [9], 9, True, None, {}]
NUMBERS: list[tuple[object, int | None]] = [(9, 9), ("9", 9), (9.0, 9), (8.2, 9), *((n, None) for n in ODD)]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_malformed_counts_lose_no_answer(
    dialect: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A count that is a number in any form is read; for any other value the tokens are estimated."""
    provider, write, content_type, (prompt, completion) = DIALECTS[dialect]
    details = {"prompt_tokens_details": {"cached_tokens": "?"}, "cache_read_input_tokens": "?"}
    reports: list[tuple[object, int | None]] = [
        ({prompt: n, completion: n, **details}, m) for n, m in NUMBERS
    ]
    reports += [(odd, None) for odd in NO_REPORTS]
    stub = stub_provider(script=[Raw(200, content_type, write(report)) for report, _ in reports])
    nova = open_nova({provider: stub.url})
    for report, tokens in reports:
        reply = await nova.chat("What now?", streaming="streamed" in dialect)
        assert (reply.content, len(reply.attempts)) == (TEXT, 1), report
        assert reply.cost_basis == ("estimated" if tokens is None else "exact"), report
        assert tokens in (None, reply.usage.prompt), report
        assert tokens in (None, reply.usage.completion), report
        assert reply.usage.completion >= 3
        assert reply.usage.prompt >= 3
    assert {row.state for row in attempts()} == {"settled"}


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_answer_without_a_report_is_read(dialect: str, open_nova: Open, stub_provider: Stub) -> None:
    """The answer is not lost: its tokens are estimated."""
    provider, write, content_type, _ = DIALECTS[dialect]
    answer = json.loads(write({}))
    del answer["usage"]
    reply = await open_nova({provider: stub_provider(Raw(200, content_type, json.dumps(answer))).url}).chat(
        "Hi"
    )
    assert (reply.content, reply.cost_basis, len(reply.attempts)) == (TEXT, "estimated", 1)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_incredible_counts_cost_the_hold(
    dialect: str, open_nova: Open, stub_provider: Stub, attempts: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """An impossible number, or one too large for the database, is logged, and the hold is the cost."""
    provider, write, content_type, (prompt, completion) = DIALECTS[dialect]
    stub = stub_provider(Raw(200, content_type, write({prompt: 9, completion: 10**30})))
    reply = await open_nova({provider: stub.url}).chat("What now?", streaming="streamed" in dialect)
    (row,) = attempts()
    assert (reply.content, row.basis, row.cost) == (TEXT, "bound", row.held)
    assert "engine.usage.incredible" in caplog.text


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_more_than_the_bound_is_an_overrun(
    streaming: bool,
    path: Path,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A model that exceeds ``max_tokens`` is believed, and the budget's alert is recorded."""
    stub = stub_provider(Answer("Hi", Usage(prompt=12, completion=700)))
    budgets = [{"name": "daily", "limit": "0.0003", "per": "day"}]
    nova = open_nova({"openai": stub.url}, budgets=budgets, alerts={"thresholds": [100]})
    reply = await nova.chat("What now?", max_tokens=150, streaming=streaming)
    (row,) = attempts()
    assert (reply.cost_basis, reply.usage.completion) == ("exact", 700)
    assert row.cost == 12 * 150 + 700 * 600 > row.held
    assert "ledger.overrun" in caplog.text
    with Store(path) as store:
        raised = store.read(lambda database: list_alerts(database))
    assert [alert.threshold for alert in raised] == [100]


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("total", [{}, {"total_tokens": 0}, {"total_tokens": None}, {"total_tokens": 3}])
async def test_no_total_is_needed(
    total: dict[str, Any], streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """The prompt's and the completion's tokens are enough."""
    usage = {"prompt_tokens": 10, "completion_tokens": 200, **total}
    write, kind = (openai_stream, "text/event-stream") if streaming else (openai, "application/json")
    nova = open_nova({"openai": stub_provider(Raw(200, kind, write(usage))).url})
    reply = await nova.chat("What now?", streaming=streaming)
    assert (reply.usage, reply.cost_basis) == (Usage(10, 200), "exact")


def said_in_deltas() -> str:
    """Return a stream of 100 words whose every chunk reports one token."""
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    words = [event({"content": word + " "}, usage=usage) for word in LONG.split()[:100]]
    return stream(*words, event({}, "stop", usage=usage), "data: [DONE]\n\n").body


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai", openai({"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}, LONG)),
        ("openai", openai({"prompt_tokens": 9, "completion_tokens": None, "total_tokens": 9}, LONG)),
        ("openai", openai({"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}, LONG)),
        ("openai", openai_stream({"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}, LONG)),
        ("openai", said_in_deltas()),
        ("anthropic", anthropic({"input_tokens": 9, "output_tokens": 0}, LONG)),
        ("anthropic", anthropic_stream({"input_tokens": 9, "output_tokens": 1}, LONG, None)),
        ("anthropic", anthropic_stream({"input_tokens": 9, "output_tokens": 1}, LONG, {"output_tokens": 0})),
    ],
    ids=["0", "null", "few", "0 streamed", "deltas", "0 of anthropic", "no last report", "0 at last"],
)
async def test_too_few_tokens_are_counted_again(
    provider: str, body: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If a report has fewer tokens than the text can have, the text's tokens are counted."""
    streamed = body.startswith(("data:", "event:"))
    kind = "text/event-stream" if streamed else "application/json"
    nova = open_nova({provider: stub_provider(Raw(200, kind, body)).url})
    reply = await nova.chat("What now?", streaming=streamed)
    assert reply.cost_basis == "estimated"
    assert reply.usage.completion >= len(reply.content.split())
    assert reply.usage.prompt == 9
    assert attempts()[0].cost > 0


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (LONG, 100),  # a tokenizer that joins words
        ("आज बाज़ार शांत है। " * 20, 100),
        ("    " * 400 + "x", 10),  # spaces are one token
        ("─" * 300, 12),
        ("Diversifizierungsmöglichkeiten", 3),
    ],
    ids=["dense", "hindi", "spaces", "rules", "long word"],
)
async def test_low_counts_are_believed(text: str, tokens: int, open_nova: Open, stub_provider: Stub) -> None:
    """Tokenizers differ: a count that is low but possible is exact."""
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    nova = open_nova({"openai": stub_provider(Raw(200, "application/json", openai(usage, text))).url})
    reply = await nova.chat("What now?")
    assert (reply.cost_basis, reply.usage.completion) == ("exact", tokens)


@pytest.mark.parametrize(
    ("report", "want"),
    [
        ({"prompt_tokens_details": {"cache_write_tokens": 80}}, Usage(100, 9, 0, 80)),
        ({"prompt_tokens_details": {"cache_creation_tokens": 80}}, Usage(100, 9, 0, 80)),
        ({"cache_creation_input_tokens": 80, "cache_read_input_tokens": 10}, Usage(100, 9, 10, 80)),
        ({"prompt_tokens_details": {"cached_tokens": 15, "cache_write_tokens": 80}}, Usage(100, 9, 15, 80)),
        # The same tokens read and written: each once, as written.
        ({"prompt_tokens_details": {"cached_tokens": 95, "cache_write_tokens": 95}}, Usage(100, 9, 5, 95)),
        # More of the prompt than there is: it was counted beside the prompt.
        ({"prompt_tokens_details": {"cached_tokens": 300}}, Usage(400, 9, 300)),
        ({"completion_tokens_details": {"reasoning_tokens": 50}}, Usage(100, 59, reasoning=50)),
        ({"completion_tokens_details": {"reasoning_tokens": 5}}, Usage(100, 9, reasoning=5)),
        (
            {"completion_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 114},
            Usage(100, 14, reasoning=5),
        ),
        # Gemini's thoughts are in the total alone.
        ({"total_tokens": 700}, Usage(100, 600)),
        ({"prompt_tokens_details": {"cached_tokens": 300}, "total_tokens": 409}, Usage(400, 9, 300)),
        (
            {
                "cache_creation_input_tokens": 80,
                "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 30},
            },
            Usage(100, 9, 0, 80, 0, 30),
        ),
    ],
)
def test_each_token_is_counted_once(report: dict[str, Any], want: Usage) -> None:
    """Cached, written and reasoning tokens are part of prompt and completion, under any name."""
    reported = {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109} | report
    assert usage_of(litellm.Usage(**reported)) == usage_of(reported) == want


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values, max_size=3), max_size=6))
def test_any_report_is_read(report: dict[str, Any]) -> None:
    """LiteLLM reads any report, and the parts never exceed the whole."""
    usage = usage_of(litellm.Usage(**normalize({"usage": report})["usage"]))
    if usage is not None:
        assert usage.cached + usage.cache_write <= usage.prompt
        assert usage.cache_write_1h <= usage.cache_write
        assert usage.reasoning <= usage.completion


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(json_values)
def test_a_count_is_a_whole_number(value: object) -> None:
    """Any value gives a whole number of tokens, 0 at least."""
    assert type(token_count(value)) is int
    assert token_count(value) >= 0


async def test_cache_writes_are_charged(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Tokens written to a cache have a price of their own, which is higher for an hour."""
    lifetimes = {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100}
    usage = {"input_tokens": 10, "output_tokens": 8, "cache_creation_input_tokens": 300}
    stub = stub_provider(Raw(200, "application/json", anthropic(usage | {"cache_creation": lifetimes})))
    reply = await open_nova({"anthropic": stub.url}).chat("What now? " * 40)
    entry = litellm.model_cost["claude-haiku-4-5"]
    rates = [
        Decimal(str(entry[name]))
        for name in (
            "input_cost_per_token",
            "cache_creation_input_token_cost",
            "cache_creation_input_token_cost_above_1hr",
            "output_cost_per_token",
        )
    ]
    assert len(set(rates)) == 4
    assert reply.cost == sum(rate * tokens for rate, tokens in zip(rates, (10, 200, 100, 8), strict=True))
    assert (reply.usage, reply.cost_basis) == (Usage(310, 8, 0, 300, 0, 100), "exact")
    assert attempts()[0].cache_write == 300
