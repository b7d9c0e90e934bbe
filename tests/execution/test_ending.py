"""How an attempt ends: whatever step fails its hold ends, and is released only if nothing was spent."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai import (
    ContentRefused,
    NoProvider,
    ProviderError,
    ProviderUnavailable,
    StreamInterrupted,
    Supernova,
)
from supernova_ai.execution import attempt_state, settlement
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.request_state import RequestState
from supernova_ai.execution.reservations import Reservations
from supernova_ai.execution.selector import Selector
from supernova_ai.execution.settlement import Settlement
from supernova_ai.ledger import Ledger
from supernova_ai.litellm_adapter import error_mapping, token_bounds
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.pricing.rates import ModelPrice
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Cut, Failure, Hang, Raw, StubProvider
from tests.execution.test_odd_answers import event, stream
from tests.waiting import SENT_S, until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]
Ask = Callable[[Supernova, StubProvider, int], Awaitable[object]]

TEXT = "Diversify, and wait a while."


async def plain(nova: Supernova, *_: object) -> object:
    return await nova.chat("What now?")


async def streamed(nova: Supernova, *_: object) -> object:
    return await nova.chat("What now?", streaming=True, on_interrupt="raise")


async def cancelled(nova: Supernova, stub: StubProvider, requests: int) -> object:
    asking = asyncio.create_task(nova.chat("What now?"))
    await asyncio.to_thread(stub.wait_for_requests, requests)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    return None


async def abandoned(nova: Supernova, *_: object) -> object:
    async with nova.stream("What now?") as tokens:
        async for _token in tokens:
            break
    return None


SCENARIOS: dict[str, tuple[Ask, Any]] = {
    "answered": (plain, TEXT),
    "streamed": (streamed, TEXT),
    "without usage": (streamed, Answer(TEXT, usage="missing")),
    "refused": (plain, Failure(500)),
    "broken": (streamed, Cut(2)),
    "timed out": (plain, Hang()),
    "cancelled": (cancelled, Hang()),
    "abandoned": (abandoned, Answer(TEXT, gate=threading.Event())),
}
STEPS: list[tuple[Any, str]] = [
    (error_mapping, "ledger_name"),
    (error_mapping, "translate"),
    (error_mapping, "spent_nothing"),
    (attempt_state, "usage_of"),
    (settlement, "fingerprint"),
    (settlement, "_priced"),
    (settlement, "End"),
    (settlement, "replace"),
    (settlement, "log"),
    (token_bounds, "request_bound"),
    (token_bounds, "attachment_tokens"),
    (litellm, "token_counter"),
    (ModelPrice, "cost"),
    (AttemptState, "usage"),
    (AttemptState, "is_credible"),
    (AttemptState, "is_short"),
    (Settlement, "_detailed"),
    (RequestState, "_is_early"),
    (settlement, "_measured"),
    (Settlement, "_settled"),
    (Settlement, "_failed"),
    (Settlement, "_report"),
    (Selector, "ended"),
    (Ledger, "now_ms"),
]


class Broken:
    """A stand-in that raises on the engine's thread, and works as before on the ledger's thread."""

    def __init__(self, working: Any) -> None:
        self.working = working

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("out of order")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if threading.current_thread().name == "supernova-engine":
            raise RuntimeError("out of order")
        return self.working(*args, **kwargs)


def broken(owner: Any, step: str) -> Any:
    working = getattr(owner, step)
    if isinstance(working, property):
        return property(Broken(working.fget))
    failing = Broken(working)
    return (lambda *args, **kwargs: failing(*args, **kwargs)) if callable(working) else failing


def break_and_answer(breaks: Callable[[], None], told: Any, _: object) -> Any:
    breaks()
    return told


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.proof if name == "timed out" else ())  # each step waits a second
        for name in SCENARIOS
    ],
)
async def test_failing_step_leaves_no_hold_open(
    scenario: str,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    balance: Balance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever step of ending an attempt raises, the hold ends, at what the attempt may have cost."""
    ask, told = SCENARIOS[scenario]
    stub = stub_provider()
    timeout = {"total": SENT_S} if scenario == "timed out" else {}
    nova = open_nova(
        {"openai": {"url": stub.url, "timeout": timeout}}, routing={"breaker": {"failures": 1000}}
    )
    for owner, step in STEPS:
        with monkeypatch.context() as breaking:
            breaks = partial(breaking.setattr, owner, step, broken(owner, step))
            stub.script.append(partial(break_and_answer, breaks, told))
            answer, error = None, None
            before = len(attempts())
            try:
                answer = await ask(nova, stub, before + 1)
            except Exception as failure:
                error = failure
            # A call that is cancelled ends on the engine's own loop.
            await until(lambda: all(row.state != "held" for row in attempts()))
        row = attempts()[-1]
        assert len(attempts()) == before + 1
        assert row.state in ("settled", "released", "lost"), step
        assert (row.cost == 0) is (row.state == "released"), step
        if row.state == "released":
            assert scenario == "refused", step
        if row.state == "lost" or row.basis == "bound":
            assert row.cost == row.held, step
        if ask in (plain, streamed) and told == TEXT:
            assert str(answer) == TEXT, (step, error)
    rows = attempts()
    assert balance() == (
        sum(row.cost for row in rows if row.state == "settled"),
        0,
        sum(row.cost for row in rows if row.state == "lost"),
    )


async def test_refused_end_is_written_as_lost(
    open_nova: Open, stub_provider: Stub, attempts: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger refuses an attempt's detailed end, the attempt ends as lost."""
    nova = open_nova({"openai": stub_provider(TEXT).url})
    end = Ledger.end

    def refuse_settled(ledger: Ledger, hold: Any, known: Any) -> Any:
        if known.state == "settled":
            raise ValueError("not this one")
        return end(ledger, hold, known)

    monkeypatch.setattr(Ledger, "end", refuse_settled)
    assert (await nova.chat("What now?")).content == TEXT
    assert [(row.state, row.cost) for row in attempts()] == [("lost", attempts()[0].held)]


async def test_unsent_attempt_ends_before_the_next(
    open_nova: Open, stub_provider: Stub, attempts: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an error comes between the hold and the sending, the retry first ends the unsent attempt."""
    nova = open_nova({"openai": stub_provider(TEXT).url}, routing={"retries": 2})
    start, failing = RequestState.start_attempt, [RuntimeError("out of order")]

    def fail_once(call: RequestState, *args: Any) -> None:
        if failing:
            raise failing.pop()
        start(call, *args)

    monkeypatch.setattr(RequestState, "start_attempt", fail_once)
    with suppress(ProviderError):
        await nova.chat("What now?")
    assert "held" not in [row.state for row in attempts()]


@pytest.mark.parametrize("provider", ["openai", "huggingface"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("content_filter", ContentRefused),
        ("tool_use_failed", ProviderUnavailable),
        ("server_error", ProviderUnavailable),
        ("a word that nobody knows", ProviderUnavailable),
        (None, ProviderUnavailable),
        (502, ProviderUnavailable),
        ("503", ProviderUnavailable),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_an_error_inside_a_200(
    streaming: bool,
    code: object,
    kind: type[ProviderError],
    provider: str,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    balance: Balance,
) -> None:
    """An error in a 200 answer raises the provider's message after one attempt, which ends as lost."""
    body = json.dumps({"error": {"message": "no luck today", "code": code}})
    answer = stream(f"data: {body}\n\n") if streaming else Raw(200, "application/json", body)
    stub = stub_provider(answer)
    with pytest.raises(kind, match=r"no luck today$") as raised:
        await open_nova({provider: stub.url}).chat("What now?", streaming=streaming)
    (row,) = attempts()
    assert (row.state, row.cost, row.error) == ("lost", row.held, type(raised.value).__name__)
    assert balance() == (0, 0, row.held)
    assert len(stub.requests) == 1


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "no luck", "type": "server_error"},
        {"message": "no luck", "type": "a word that nobody knows"},
        {"message": "no luck", "code": ""},
        "no luck",
    ],
    ids=["type", "other type", "empty code", "text"],
)
async def test_an_error_inside_a_200_fails_over(
    error: object, provider: str, open_nova: Open, stub_provider: Stub
) -> None:
    """An error in a 200 answer fails over: the request was accepted, so another provider may answer it."""
    broken = stub_provider(Raw(200, "application/json", json.dumps({"error": error})))
    well = stub_provider("Bonds.")
    reply = await open_nova({provider: broken.url, "huggingface": well.url}).chat("What now?")
    assert (reply.content, reply.attempts[0].error) == ("Bonds.", "ProviderUnavailable")


async def test_an_error_in_mid_stream(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """An error event in mid-stream raises the provider's message; the text before it is kept and charged."""
    error = json.dumps({"error": {"message": "the call was no JSON", "code": "tool_use_failed"}})
    stub = stub_provider(stream(event({"content": "Buy "}), event({"content": "low"}), f"data: {error}\n\n"))
    with pytest.raises(StreamInterrupted, match="the call was no JSON") as raised:
        await open_nova({"openai": stub.url}).chat("What now?", streaming=True, on_interrupt="raise")
    assert raised.value.partial == "Buy low"
    assert [(row.state, row.basis) for row in attempts()] == [("settled", "estimated")]


MAY_HAVE_RUN = {408, 499, 504, 520, 521, 522, 523, 524}


@pytest.mark.parametrize(
    ("provider", "streaming", "every"),
    [
        ("openai", False, 9),
        ("openai", True, 25),
        ("anthropic", True, 25),
        ("ollama", False, 25),
        pytest.param("openai", False, 1, marks=pytest.mark.proof),
    ],
)
async def test_which_statuses_prove_that_nothing_was_spent(
    provider: str, streaming: bool, every: int, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Every error status releases the hold, except those of a gateway whose model may have run."""
    statuses = sorted({*range(300, 600, every), *MAY_HAVE_RUN} - {304})  # 304 has no body
    stub = stub_provider(script=[Failure(status, "no") for status in statuses])
    # No circuit opens, however many attempts fail.
    nova = open_nova({provider: stub.url}, routing={"breaker": {"failures": 10_000, "cooldown": 0.001}})
    for status in statuses:
        with pytest.raises(ProviderError) as raised:
            await nova.chat("What now?", streaming=streaming)
        assert raised.value.status == status
    assert len(stub.chats) == len(statuses)
    states = dict(zip(statuses, [row.state for row in attempts()], strict=True))
    assert {status for status, state in states.items() if state == "lost"} == MAY_HAVE_RUN
    assert set(states.values()) == {"released", "lost"}


@pytest.mark.parametrize(
    ("code", "delta", "model", "basis"),
    [
        (429, {"reasoning_content": "Let me think. "}, "gpt-4o-mini", "estimated"),
        (429, {"reasoning_content": "Let me think. "}, "o4-mini", "bound"),
        (429, {"content": "Buy"}, "gpt-4o-mini", "estimated"),
        (429, {"role": "assistant", "content": ""}, "gpt-4o-mini", "bound"),
        (401, {"content": "Buy"}, "gpt-4o-mini", "estimated"),
        ("rate_limit_exceeded", {"content": "Buy"}, "gpt-4o-mini", "estimated"),
        ("invalid_api_key", {"role": "assistant", "content": ""}, "gpt-4o-mini", "bound"),
    ],
    ids=["reasoning", "hidden reasoning", "text", "no text yet", "401", "word", "word, no text yet"],
)
async def test_refusal_in_mid_stream_is_not_free(
    delta: dict[str, str],
    model: str,
    basis: str,
    code: object,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
) -> None:
    """A refusal in mid-stream charges what came before it, or the whole hold if that cannot be counted."""
    refusal = json.dumps({"error": {"message": "slow down", "code": code}})
    stub = stub_provider(stream(*[event(delta)] * 9, f"data: {refusal}\n\n"))
    with pytest.raises((ProviderError, StreamInterrupted)):
        await open_nova({"openai": {"url": stub.url, "models": {"standard": model}}}).chat(
            "Hi", streaming=True, on_interrupt="raise"
        )
    (row,) = attempts()
    assert (row.state, row.basis) == ("lost" if delta.get("content") == "" else "settled", basis)
    assert 0 < row.cost <= row.held
    assert (row.cost == row.held) is (basis == "bound")
    if basis == "estimated":
        assert row.completion >= 9


async def test_closing_releases_a_hold_that_is_being_taken(
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    balance: Balance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call is over at once; the client waits for the database, and releases the hold."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url})
    await nova.warm_up()
    free, held = threading.Event(), threading.Event()
    nova.store().write(lambda _: free.wait(60))
    write = Ledger.write

    def noting(*given: Any) -> Any:
        held.set()
        return write(*given)

    monkeypatch.setattr(Ledger, "write", noting)
    asking = asyncio.create_task(nova.chat("What now?"))
    await asyncio.to_thread(held.wait, 60)
    closing = asyncio.create_task(asyncio.to_thread(nova.close))
    with pytest.raises(NoProvider, match="closed during the call"):
        await asking
    free.set()
    await closing
    assert [(row.state, row.cost) for row in attempts()] == [("released", 0)]
    assert (balance(), stub.chats) == ((0, 0, 0), [])


async def test_a_refusal_that_nobody_waits_for_is_not_reported() -> None:
    """A call was cancelled, or its wait ended: its last try is refused later, and asyncio is quiet."""
    trying: list[Future[Any]] = [Future()]
    ledger: Any = SimpleNamespace(write=lambda *_: trying[0])
    nothing: Any = None
    call: Any = SimpleNamespace(request=None)
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    unused: set[Any] = set()
    reservations = Reservations(ledger, nothing, nothing, nothing, never_asked=(), unused=unused)
    taking = asyncio.create_task(reservations._try(call, ()))
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    trying.pop().set_exception(NoProvider("refused late"))
    await asyncio.sleep(0.01)
    gc.collect()
    assert (reported, unused) == ([], set())
