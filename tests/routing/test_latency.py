"""Latency samples, the adaptive timeouts that follow from them, and every other timeout."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai import ProviderTimeout, ProviderUnavailable, StreamInterrupted, Supernova
from supernova_ai.config import Timeout
from supernova_ai.routing.latency import ENOUGH, KEPT, LatencyStats, Samples, adaptive_timeout, percentile
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Failure, Hang, Reset, StubProvider
from tests.waiting import SENT_S

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

HERE = "standard/openai/primary"


@pytest.fixture
def stats() -> LatencyStats:
    return LatencyStats(clock=lambda: 7.0)


def sampled(
    stats: LatencyStats, answer: float, first: float | None = None, *, times: int = ENOUGH
) -> Samples:
    for _ in range(times):
        stats.add(HERE, answer, first)
    return stats.of(HERE)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentile_is_a_value_with_its_share_below(values: list[float], share: float) -> None:
    """A percentile is one of the values, and at least that share of them are no greater."""
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert percentile(values, 1) == max(values)


def test_timeouts_adapt_to_samples(stats: LatencyStats) -> None:
    """With enough samples the timeouts of first token and answer are three times the 99th percentile."""
    found = adaptive_timeout(Timeout(least=1), sampled(stats, 9, 2))
    assert (found.total, found.first_token) == (27, 6)
    assert (found.connect, found.between_tokens) == (5, 30)


def test_a_few_samples_change_nothing(stats: LatencyStats) -> None:
    """With too few samples a timeout stays as configured; each timeout has its own count."""
    assert adaptive_timeout(Timeout(), sampled(stats, 1, 1, times=ENOUGH - 1)) == Timeout()
    stats.add(HERE, 1, None)
    assert adaptive_timeout(Timeout(), stats.of(HERE)) == Timeout(total=10)


@pytest.mark.parametrize(
    ("took", "total"), [(0.01, 10), (3, 10), (3.5, 10.5), (39, 117), (41, 120), (900, 120)]
)
def test_timeouts_stay_within_what_is_configured(stats: LatencyStats, took: float, total: float) -> None:
    """An adapted timeout is never below ``least`` nor above the configured one."""
    assert adaptive_timeout(Timeout(), sampled(stats, took)).total == total


def test_least_raises_no_timeout(stats: LatencyStats) -> None:
    """A timeout configured below ``least`` stays as it is."""
    assert adaptive_timeout(Timeout(total=2), sampled(stats, 1)).total == 2


def test_adapting_can_be_switched_off(stats: LatencyStats) -> None:
    """With ``adaptive: false`` the timeouts are the configured ones, whatever was measured."""
    fixed = Timeout(adaptive=False)
    assert adaptive_timeout(fixed, sampled(stats, 1, 1)) is fixed


def test_timeouts_grow_again_when_a_provider_slows_down(stats: LatencyStats) -> None:
    """An attempt that timed out counts with its timeout, so that the next timeout is longer."""
    sampled(stats, 4, times=KEPT)
    seen = []
    for _ in range(12):
        seen.append(adaptive_timeout(Timeout(), stats.of(HERE)).total)
        stats.add(HERE, seen[-1], None)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (12, 120)


def test_old_samples_are_forgotten(stats: LatencyStats) -> None:
    """Enough quick answers replace slow samples, and the timeouts are short again."""
    sampled(stats, 39, times=KEPT)
    assert adaptive_timeout(Timeout(), sampled(stats, 4, times=KEPT)).total == 12


def test_latency_is_the_recent_median(stats: LatencyStats) -> None:
    """Latency is the median of the last twenty answers; one slow answer among them changes nothing."""
    assert stats.of(HERE).latency == 0
    sampled(stats, 9, times=50)
    sampled(stats, 0.2, times=19)
    stats.add(HERE, 60, None)
    assert stats.of(HERE).latency == 0.2


def test_mean_tokens_of_answers(stats: LatencyStats) -> None:
    """An attempt without a token count is not part of the mean."""
    assert stats.of(HERE).mean_tokens is None
    stats.add(HERE, 1, None, tokens=100)
    stats.add(HERE, 1, None, tokens=300)
    stats.add(HERE, 1, None)
    assert stats.of(HERE).mean_tokens == 200


def test_restored_samples_do_not_set_last_seen(stats: LatencyStats) -> None:
    """Samples of an earlier process count as latencies, but do not set ``last_seen``."""
    stats.restore(HERE, 3, 1)
    assert (list(stats.of(HERE).answers), stats.of(HERE).last_seen) == ([3], float("-inf"))
    stats.add(HERE, 3, 1)
    assert stats.of(HERE).last_seen == 7


def of_openai(nova: Supernova) -> str:
    return next(name for name in nova._runtime.engine._deployments if name.startswith("standard/openai/"))


def taken(nova: Supernova) -> Samples:
    samples: Samples = nova._runtime.engine.monitor.stats.of(of_openai(nova))
    return samples


async def test_answers_are_measured(open_nova: Open, stub_provider: Stub) -> None:
    """Plain answers and streams are both measured, tokens too; only streams have a first token."""
    nova = open_nova({"openai": stub_provider("Diversify, always.").url})
    await nova.chat("What now?")
    assert [len(kept) for kept in (taken(nova).answers, taken(nova).firsts, taken(nova).tokens)] == [1, 0, 1]
    await nova.chat("What now?", streaming=True)
    assert [len(kept) for kept in (taken(nova).answers, taken(nova).firsts, taken(nova).tokens)] == [2, 1, 2]


@pytest.mark.parametrize("step", [Failure(500), Failure(401), Failure(408)], ids=repr)
async def test_refusals_are_not_measured(step: Failure, open_nova: Open, stub_provider: Stub) -> None:
    """The time of a refusal, even of a 408, is no latency sample."""
    nova = open_nova({"openai": stub_provider(step).url, "anthropic": stub_provider("Fine.").url})
    await nova.chat("What now?")
    assert not taken(nova).answers


async def test_next_attempt_has_the_adapted_timeout(open_nova: Open, stub_provider: Stub) -> None:
    """An attempt has the adapted timeout: one that takes longer fails over."""
    nova = open_nova(
        {
            "openai": {"url": stub_provider(Hang()).url, "timeout": {"least": 0.1}},
            "anthropic": stub_provider("Diversify.").url,
        }
    )
    await nova.warm_up()
    for _ in range(ENOUGH):
        nova._runtime.engine.monitor.stats.add(of_openai(nova), 0.05, 0.05)
    for streaming in (False, True):
        reply = await nova.chat("What now?", streaming=streaming)
        assert [(a.provider, a.error) for a in reply.attempts] == [
            ("openai", "ProviderTimeout"),
            ("anthropic", None),
        ]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
async def test_stream_without_a_token_fails_over(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A stream that sends headers and no token times out after ``first_token``, not after ``total``."""
    silent, good = stub_provider(Hang(0)), stub_provider("Diversify.")
    follower = "anthropic" if provider == "openai" else "openai"
    nova = open_nova(
        {
            provider: {
                "url": silent.url,
                "timeout": {"first_token": SENT_S, "total": 600, "between_tokens": 600},
            },
            follower: good.url,
        }
    )
    assert (await nova.chat("What now?", streaming=True)).provider == follower
    first, _ = attempts()
    assert (first.state, first.error) == ("lost", "ProviderTimeout")


CHUNK = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
THOUGHT = f'data: {CHUNK}{{"reasoning_content":"hm "}},"finish_reason":null}}]}}\n\n'
WORD = f'data: {CHUNK}{{"content":"Diversify."}},"finish_reason":null}}]}}\n\n'
END = f'data: {CHUNK}{{}},"finish_reason":"stop"}}]}}\n\ndata: [DONE]\n\n'


@asynccontextmanager
async def dripping(*pieces: str | float) -> AsyncIterator[str]:
    """Serve a stream of these texts, where a number is a pause in seconds; yield its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for piece in pieces:
            if isinstance(piece, str):
                writer.write(piece.encode())
            else:
                await asyncio.sleep(piece)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_reasoning_stops_the_first_token_timeout(open_nova: Open, attempts: Rows) -> None:
    """Streamed reasoning counts as a first token: the text may come long after ``first_token``."""
    thoughts: list[str | float] = [THOUGHT, 0.3] * 6
    async with dripping(*thoughts, WORD, END) as url:
        nova = open_nova({"openai": {"url": url, "timeout": {"first_token": 1, "between_tokens": 5}}})
        reply = await nova.chat("What now?", streaming=True)
    assert reply.content == "Diversify."
    assert reply.first_token_s is not None
    assert reply.first_token_s > 1
    assert len(attempts()) == 1


async def test_silence_after_reasoning_fails_over(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Silence after streamed reasoning times out after ``between_tokens``; the reasoning is charged."""
    async with dripping(THOUGHT, 600.0) as url:
        timeout = {"first_token": 600, "between_tokens": 0.2}
        nova = open_nova({"openai": {"url": url, "timeout": timeout}, "anthropic": stub_provider("Hi.").url})
        assert (await nova.chat("What now?", streaming=True)).content == "Hi."
        nova.close()
    given_up, answered = attempts()
    assert [given_up.state, answered.state] == ["settled", "settled"]
    assert given_up.cost > 0
    assert given_up.basis != "exact"


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
async def test_silence_between_tokens_breaks_a_stream(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A stream that goes silent after a token times out after ``between_tokens``, and is settled."""
    stub = stub_provider(Hang(2, "Buy low and sell high."))
    timeout = {"first_token": 600, "total": 600, "between_tokens": 0.5}
    nova = open_nova({provider: {"url": stub.url, "timeout": timeout}})
    with pytest.raises(StreamInterrupted, match="no answer in time") as raised:
        await nova.chat("What now?", streaming=True, on_interrupt="raise")
    assert raised.value.partial == "Buy low"
    assert [(row.state, row.error) for row in attempts()] == [("settled", "ProviderTimeout")]


async def test_slow_plain_answer_times_out(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """A plain answer that arrives byte by byte times out after ``total``."""
    slow, good = stub_provider(Answer("Buy low.", pause=0.05)), stub_provider("Diversify.")
    timeout = {"first_token": 600, "between_tokens": 600, "total": SENT_S}
    nova = open_nova({"openai": {"url": slow.url, "timeout": timeout}, "anthropic": good.url})
    assert (await nova.chat("What now?")).content == "Diversify."
    assert [(row.state, row.error) for row in attempts()] == [("lost", "ProviderTimeout"), ("settled", None)]


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_deadline_covers_all_attempts(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A request's deadline covers its retries and fallbacks: after it the third provider is not asked."""
    silent, never = stub_provider(Hang()), stub_provider("Too late.")
    quick = {"url": silent.url, "timeout": {"first_token": 0.5, "total": 0.5}}
    nova = open_nova(
        {"openai": quick, "anthropic": silent.url, "huggingface": never.url}, routing={"deadline": 3.0}
    )
    with pytest.raises(ProviderTimeout, match=r"no whole answer within 3 s"):
        await nova.chat("What now?", streaming=streaming)
    assert [row.provider for row in attempts()] == ["openai", "anthropic"]
    assert never.requests == []


async def test_slow_stream_ends_at_its_deadline(open_nova: Open, stub_provider: Stub) -> None:
    """A stream whose tokens all come in time ends at the deadline, and is not resumed."""
    slow, never = stub_provider(Answer("so " * 999, pause=0.05)), stub_provider("Too late.")
    nova = open_nova({"openai": slow.url, "anthropic": never.url})
    await nova.warm_up()
    with pytest.raises(StreamInterrupted, match="no whole answer within 2 s") as raised:
        await nova.chat("What now?", streaming=True, timeout=2)
    assert raised.value.partial.startswith("so so")
    assert never.requests == []


async def test_short_deadline_of_the_caller_is_no_failure(open_nova: Open, stub_provider: Stub) -> None:
    """A caller's short deadline opens no circuit, and adds no latency sample."""
    stub = stub_provider("Diversify.", script=[Hang()] * 3)
    nova = open_nova({"openai": stub.url}, routing={"breaker": {"failures": 1, "cooldown": 600}})
    await nova.warm_up()
    for streaming in (False, True, False):
        await nova.warm_up()
        with pytest.raises(ProviderTimeout):
            await nova.chat("What now?", timeout=SENT_S, streaming=streaming)
    assert not taken(nova).answers
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_deadline_longer_than_least_is_a_failure(open_nova: Open, stub_provider: Stub) -> None:
    """A provider that is silent for longer than ``least`` has failed, even if the deadline ended the call."""
    silent, good = stub_provider(Hang()), stub_provider("Diversify.")
    nova = open_nova(
        {"openai": {"url": silent.url, "timeout": {"least": 0.1}}, "anthropic": good.url},
        routing={"breaker": {"failures": 1, "cooldown": 600}},
    )
    await nova.warm_up()
    with pytest.raises(ProviderTimeout):
        await nova.chat("What now?", timeout=SENT_S)
    assert (await nova.chat("What now?")).provider == "anthropic"


@contextmanager
def full_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 that listens and accepts no connection: its queue is full."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            caller = opened.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_connecting_has_its_own_timeout(
    provider: str, streaming: bool, open_nova: Open, attempts: Rows
) -> None:
    """A connection that is not accepted times out after ``connect``, and the hold is released."""
    timeout = {"connect": 0.2, "first_token": 600, "between_tokens": 600, "total": 600}
    with full_port() as port:
        nova = open_nova({provider: {"url": f"http://127.0.0.1:{port}", "timeout": timeout}})
        with pytest.raises(ProviderTimeout):
            await nova.chat("What now?", streaming=streaming)
    assert [(row.state, row.cost) for row in attempts()] == [("released", 0)]


async def test_failed_connection_does_not_make_the_next_attempt_free(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """After a provider that could not be reached, the next one's broken answer still ends as lost."""
    broken = stub_provider(Reset())
    with full_port() as port:
        unreachable = {"url": f"http://127.0.0.1:{port}", "timeout": {"connect": 0.2}}
        nova = open_nova({"anthropic": unreachable, "openai": broken.url, "ollama": broken.url})
        for streaming in (False, True):
            with pytest.raises(ProviderUnavailable):
                await nova.chat("What now?", streaming=streaming)
    assert [row.state for row in attempts()] == ["released", "lost", "lost"] * 2
