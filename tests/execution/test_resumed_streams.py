"""Streams that break after their first token: another deployment resumes them, or the call fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai import ProviderUnavailable, StreamInterrupted, Supernova
from supernova_ai.config import Routing
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Cut, Failure, Garbled, Hang, Received, Reset, Step, StubProvider
from supernova_ai.types import Usage
from tests import clients
from tests.servers import rest_of, said_before

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]

TEXT = "Buy low and sell high, but keep 3.5 % in cash."
SAID = "Buy low"
IMPATIENT = {"first_token": 30, "between_tokens": 0.5}

BREAKS: dict[str, Step] = {
    "reset": Reset(2, TEXT),
    "cut": Cut(2, text=TEXT),
    "cut politely": Cut(2, complete=True, text=TEXT),
    "malformed event": Garbled(2, TEXT),
    "error event": Failure(529, after_tokens=2, text=TEXT),
    "silence": Hang(2, TEXT),
}


def rest(request: Received) -> str:
    """Return the rest of the text after the answer so far."""
    return rest_of(TEXT, request)


def another(provider: str) -> str:
    return "anthropic" if provider == "openai" else "openai"


@pytest.mark.parametrize(
    ("provider", "how"),
    [
        (provider, how)
        for provider in ("openai", "anthropic", "ollama", "huggingface")
        for how in BREAKS
        if (provider, how) != ("ollama", "malformed event")  # LiteLLM skips a line it cannot read
    ],
)
async def test_reader_sees_one_text(
    provider: str, how: str, open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """However a stream breaks, the next provider resumes it, and all that was received is charged."""
    broken, good = stub_provider(BREAKS[how]), stub_provider(rest)
    nova = open_nova({provider: {"url": broken.url, "timeout": IMPATIENT}, another(provider): good.url})
    pieces: list[str] = []
    reply = await nova.chat("What now?", on_token=pieces.append)
    assert reply.content == "".join(pieces) == TEXT
    assert (reply.provider, reply.finish_reason) == (another(provider), "stop")
    assert [attempt.provider for attempt in reply.attempts] == [provider, another(provider)]
    assert (len(broken.requests), len(good.requests)) == (1, 1)
    first, second = attempts()
    assert (second.state, second.basis, second.error) == ("settled", "exact", None)
    assert reply.cost * 10**9 == first.cost + second.cost == sum(balance())
    assert balance()[1] == 0


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
async def test_both_attempts_are_charged_for_what_they_sent(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """The broken attempt is settled at an estimate, and the one that resumed it at its own usage."""
    broken = stub_provider(Hang(2, TEXT))
    good = stub_provider(lambda request: Answer(rest(request), usage=Usage(prompt=70, completion=9)))
    nova = open_nova({provider: {"url": broken.url, "timeout": IMPATIENT}, another(provider): good.url})
    reply = await nova.chat("What now?", streaming=True)
    first, second = attempts()
    assert (first.state, first.basis, first.error) == ("settled", "estimated", "ProviderTimeout")
    assert (first.prompt > 0, first.completion) == (True, 2)
    assert (second.prompt, second.completion) == (70, 9)
    assert reply.usage == Usage(first.prompt + 70, 11)
    assert reply.cost_basis == "estimated"
    assert [(a.outcome, a.error) for a in reply.attempts] == [
        ("settled", "ProviderTimeout"),
        ("settled", None),
    ]
    assert {row.request for row in attempts()} == {reply.request_id}
    assert reply.first_token_s is not None
    assert reply.first_token_s < reply.latency_s - IMPATIENT["between_tokens"]  # that of the first attempt


async def test_next_provider_is_asked_for_the_rest_only(open_nova: Open, stub_provider: Stub) -> None:
    """The next provider gets the question, the answer so far, and the tokens that are left."""
    broken, good = stub_provider(Hang(2, TEXT)), stub_provider(rest)
    nova = open_nova({"openai": {"url": broken.url, "timeout": IMPATIENT}, "huggingface": good.url})
    await nova.chat("What now?", streaming=True, max_tokens=100)
    (asked,), (resumed,) = broken.requests, good.requests
    *question, said, _ = resumed.json["messages"]
    assert question == asked.json["messages"]
    assert said == {"role": "assistant", "content": SAID}
    limits = [r.json.get("max_tokens") or r.json["max_completion_tokens"] for r in (asked, resumed)]
    assert limits == [100, 98]


async def test_repetition_is_not_shown(open_nova: Open, stub_provider: Stub) -> None:
    """If the next provider repeats the answer from its start, the reader sees only the new part."""
    broken, good = stub_provider(Hang(2, TEXT)), stub_provider(TEXT)
    nova = open_nova({"openai": {"url": broken.url, "timeout": IMPATIENT}, "anthropic": good.url})
    pieces: list[str] = []
    reply = await nova.chat("What now?", on_token=pieces.append)
    assert reply.content == "".join(pieces) == TEXT


async def test_rest_that_only_repeats_ends_the_answer(open_nova: Open, stub_provider: Stub) -> None:
    """If the rest only repeats the text shown, the answer ends with that text."""
    broken, good = stub_provider(Cut(99, complete=True, text=TEXT)), stub_provider(TEXT)
    nova = open_nova({"openai": broken.url, "anthropic": good.url})
    assert (await nova.chat("What now?", streaming=True)).content == TEXT


async def test_stream_may_break_more_than_once(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """If the resumed stream breaks too, a third provider resumes it from there."""
    first, second = stub_provider(Hang(2, TEXT)), stub_provider(Hang(3, "and sell high, but then"))
    third = stub_provider(rest)
    impatient = [{"url": stub.url, "timeout": IMPATIENT} for stub in (first, second)]
    nova = open_nova({"openai": impatient[0], "anthropic": impatient[1], "huggingface": third.url})
    reply = await nova.chat("What now?", streaming=True)
    assert reply.content == TEXT
    assert said_before(third.requests[0]) == "Buy low and sell high,"
    assert [row.completion for row in attempts()][:2] == [2, 4]
    assert reply.cost * 10**9 == sum(row.cost for row in attempts())


async def test_provider_that_fails_to_resume_fails_over(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If the provider that should resume the stream fails, the next one resumes it."""
    broken, down, good = stub_provider(Hang(2, TEXT)), stub_provider(Failure(500)), stub_provider(rest)
    nova = open_nova(
        {
            "openai": {"url": broken.url, "timeout": IMPATIENT},
            "anthropic": down.url,
            "huggingface": good.url,
        }
    )
    assert (await nova.chat("What now?", streaming=True)).content == TEXT
    assert [row.state for row in attempts()] == ["settled", "released", "settled"]


async def test_backup_key_resumes(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """A provider with two keys resumes its own answer with the backup key."""
    stub = stub_provider(rest, script=[Hang(2, TEXT)])
    nova = open_nova({"openai": {"url": stub.url, "timeout": IMPATIENT, "keys": ["primary", "backup"]}})
    assert (await nova.chat("What now?", streaming=True)).content == TEXT
    assert [row.slot for row in attempts()] == ["primary", "backup"]


async def test_pinned_model_resumes_its_own_answer(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A pinned model is asked for the rest of its own answer, and no other model is."""
    pinned, never = stub_provider(rest, script=[Hang(2, TEXT)]), stub_provider("Unused.")
    nova = open_nova({"anthropic": never.url, "openai": {"url": pinned.url, "timeout": IMPATIENT}})
    reply = await nova.chat("What now?", streaming=True, model="gpt-4o-mini")
    assert reply.content == TEXT
    assert {row.model for row in attempts()} == {"gpt-4o-mini"}
    assert (len(pinned.requests), never.requests) == (2, [])


async def interrupted(nova: Supernova, **options: Any) -> StreamInterrupted:
    with pytest.raises(StreamInterrupted) as raised:
        await nova.chat("What now?", streaming=True, **options)
    return raised.value


@pytest.mark.parametrize("where", ["call", "configuration"])
async def test_raise_does_not_resume(
    where: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """With ``on_interrupt: raise`` the error has the partial text, and no other provider is asked or paid."""
    broken, never = stub_provider(Cut(2, text=TEXT)), stub_provider("Unused.")
    routing = {"on_interrupt": "raise"} if where == "configuration" else {}
    options = {"on_interrupt": "raise"} if where == "call" else {}
    nova = open_nova({"openai": broken.url, "anthropic": never.url}, routing=routing)
    error = await interrupted(nova, **options)
    assert (error.partial, error.provider) == (SAID, "openai")
    assert never.requests == []
    assert [(row.state, row.basis) for row in attempts()] == [("settled", "estimated")]


async def test_no_provider_left_to_resume(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """If every other provider is down, the error has the partial text and the request's id."""
    broken, down = stub_provider(Cut(2, text=TEXT)), stub_provider(Failure(503))
    nova = open_nova({"openai": broken.url, "anthropic": down.url})
    error = await interrupted(nova)
    assert error.partial == SAID
    assert error.request_id == attempts()[0].request
    assert down.requests != []


async def test_stream_that_always_breaks_is_given_up(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If every part breaks, the retries end, and the error has all the text that was received."""
    words = ("Stocks", "bonds", "cash", "gold", "land", "art", "wine", "time")
    stub = stub_provider("Unused.", script=[Cut(1, text=f"{word} and") for word in words])
    nova = open_nova({"openai": stub.url, "anthropic": stub.url})
    error = await interrupted(nova)
    assert error.partial == " ".join(words[: len(stub.requests)])
    assert 2 <= len(attempts()) <= Routing().retries + 2
    assert {row.state for row in attempts()} == {"settled"}


async def test_budget_too_small_for_the_rest(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """If no budget allows the rest, the error has the partial text, and no hold is left."""
    broken, dear = stub_provider(Cut(2, text=TEXT)), stub_provider("Unused.")
    nova = open_nova(
        {"openai": broken.url, "anthropic": dear.url},
        budgets=[{"name": "daily", "limit": "0.0000001", "per": "day", "provider": "anthropic"}],
        routing={"breaker": {"failures": 1, "cooldown": 600}},
    )
    error = await interrupted(nova)
    assert error.partial == SAID
    assert dear.requests == []
    assert len(broken.requests) == 1
    assert [row.state for row in attempts()] == ["settled"]
    assert balance()[1] == 0


async def test_max_cost_covers_both_parts(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """``max_cost`` counts the broken part: a rest that could exceed it is not asked for."""
    stub = stub_provider(rest, script=[Hang(2, TEXT)])
    prices = {"gpt-4o-mini": {"input": "100", "output": "100"}}
    nova = open_nova({"openai": {"url": stub.url, "prices": prices, "timeout": IMPATIENT}})
    quote = await nova.quote("What now?", max_tokens=100)
    error = await interrupted(nova, max_tokens=100, max_cost=quote.worst_case["openai/gpt-4o-mini"])
    assert error.partial == SAID
    assert len(stub.requests) == len(attempts()) == 1


async def test_deadline_covers_both_parts(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """A rest that does not come before the request's deadline is given up, and not asked for again."""
    broken, silent, never = stub_provider(Hang(2, TEXT)), stub_provider(Hang()), stub_provider("Unused.")
    nova = open_nova(
        {
            "openai": {"url": broken.url, "timeout": IMPATIENT},
            "anthropic": silent.url,
            "huggingface": never.url,
        }
    )
    error = await interrupted(nova, timeout=3)
    assert error.partial == SAID
    assert "no whole answer within 3 s" in str(error)
    assert [row.state for row in attempts()] == ["settled", "lost"]
    assert never.requests == []


async def test_leaving_a_resumed_stream_charges_both_parts(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """If the caller leaves a resumed stream, both attempts are settled and no hold is left."""
    broken, good = stub_provider(Hang(2, TEXT)), stub_provider(Hang(2, "and sell high."))
    nova = open_nova({"openai": {"url": broken.url, "timeout": IMPATIENT}, "anthropic": good.url})
    seen = ""
    async with nova.stream("What now?") as stream:
        async for piece in stream:
            seen += piece
            if "sell" in seen:
                break
    assert seen == "Buy low and sell"
    assert [(row.state, row.error) for row in attempts()] == [
        ("settled", "ProviderTimeout"),
        ("settled", "Abandoned"),
    ]
    assert balance()[1] == 0


async def test_break_before_the_first_token_is_not_resumed(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If no text was shown before the break, the next provider is asked the question itself."""
    broken, good = stub_provider(Cut(0)), stub_provider(TEXT)
    nova = open_nova({"openai": broken.url, "anthropic": good.url})
    assert (await nova.chat("What now?", streaming=True)).content == TEXT
    assert said_before(good.requests[0]) == ""
    assert [row.state for row in attempts()] == ["lost", "settled"]


async def test_plain_calls_are_not_resumed(open_nova: Open, stub_provider: Stub) -> None:
    """A plain answer that breaks is not resumed: the next provider gives a whole one."""
    broken, good = stub_provider(Cut(2, text=TEXT)), stub_provider(TEXT)
    nova = open_nova({"openai": broken.url, "anthropic": good.url})
    assert (await nova.chat("What now?")).content == TEXT
    assert said_before(good.requests[0]) == ""
    with pytest.raises(ProviderUnavailable):
        await open_nova({"openai": broken.url}).chat("What now?")


async def test_slow_reader_applies_backpressure(open_nova: Open) -> None:
    """The stream is read only as fast as the caller reads: the provider can fill the buffers, and no more."""
    event = 'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    event += f'"delta":{{"content":"{"x" * 4000}"}},"finish_reason":null}}]}}\n\n'
    piece, total = event.encode() * 16, 2**26
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        while sent < total:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        writer.close()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        nova = open_nova({"openai": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        async with nova.stream("What now?", max_tokens=100) as stream:
            await anext(stream)
            before = -1
            while sent != before:  # until the provider is blocked, or done
                before = sent
                for _ in range(100):
                    await clients.let_work(nova)
    assert 0 < sent < total / 4
