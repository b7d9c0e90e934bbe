"""Spans of requests and attempts, as a program's own tracer provider gets them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, server_attributes
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import SpanKind, StatusCode

from supernova_ai import BudgetExceeded, ProviderError, Supernova, SupernovaSync, traces
from supernova_ai.keys import KeySource
from supernova_ai.testing import Answer, Failure, Raw, StubProvider
from tests import clients
from tests.serve.conftest import quoting

Open = Callable[..., Supernova]
Attributes = dict[str, Any]


class Spans:
    """The spans that have ended."""

    def __init__(self, provider: TracerProvider) -> None:
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def of_kind(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.all() if span.kind is kind]

    @property
    def request(self) -> ReadableSpan:
        (span,) = [span for span in self.of_kind(SpanKind.INTERNAL) if span.name.startswith("supernova ")]
        return span

    @property
    def attempts(self) -> list[ReadableSpan]:
        """Those of attempts, each of which is below the request's."""
        found = self.of_kind(SpanKind.CLIENT)
        assert all(one.parent == self.request.context for one in found)
        return found


def attributes(span: ReadableSpan) -> Attributes:
    return dict(span.attributes or {})


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """What a program sets with ``trace.set_tracer_provider``, which can be done once only."""
    provider = TracerProvider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return provider


@pytest.fixture
def spans(provider: TracerProvider) -> Spans:
    return Spans(provider)


async def test_a_request_and_its_attempt(nova: Supernova, spans: Spans) -> None:
    """The attempt is a client's call below the request, and the request is below what the program does."""
    with trace.get_tracer("program").start_as_current_span("work") as work:
        reply = await nova.chat("What now?", max_tokens=50, temperature=0.5, session_id="s1")
    (attempt,) = spans.attempts
    assert spans.request.parent == work.get_span_context()
    assert spans.request.name == "supernova chat"
    assert attributes(spans.request) == {
        "supernova.request.id": reply.request_id,
        "supernova.request.cost": float(reply.cost),
        "supernova.task": "chat",
        "supernova.tier": "standard",
    }
    assert attempt.name == "chat gpt-4o-mini"
    found = attributes(attempt)
    assert re.fullmatch(r"\d+", str(found.pop("server.port")))
    assert found.pop("gen_ai.response.id")
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "s1",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "gpt-4o-mini",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": reply.usage.prompt,
        "gen_ai.usage.output_tokens": reply.usage.completion,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "server.address": "127.0.0.1",
        "supernova.attempt.id": reply.attempts[0].id,
        "supernova.provider": "openai",
        "supernova.tier": "standard",
        "supernova.key_slot": "primary",
        "supernova.outcome": "settled",
        "supernova.cost": float(reply.cost),
        "supernova.cost_basis": "exact",
    }
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.all())


async def test_what_is_sent_is_inside_the_attempt(
    nova: Supernova, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is sent, the attempt's span is the current one: spans of an HTTP client belong to it."""
    current = []
    may_be_sent = KeySource.may_be_sent

    async def noting(*given: Any) -> bool:
        current.append(trace.get_current_span().get_span_context())
        return await may_be_sent(*given)

    monkeypatch.setattr(KeySource, "may_be_sent", noting)
    await nova.chat("What now?")
    assert current == [spans.attempts[0].context]


async def test_each_attempt_has_its_span(
    open_nova: Open, stub: StubProvider, stub_provider: Callable[..., StubProvider], spans: Spans
) -> None:
    """One that fails has the class of its error as type; the request answered in the end is no error."""
    broken = stub_provider(Failure(500))
    nova = open_nova({"anthropic": broken.url, "openai": stub.url})
    await nova.chat("What now?")
    failed, answered = spans.attempts
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "ProviderUnavailable"
    assert attributes(failed)["gen_ai.provider.name"] == "anthropic"
    assert attributes(failed)["supernova.outcome"] == "released"
    assert "error.type" not in attributes(answered)
    assert "error.type" not in attributes(spans.request)


async def test_a_request_that_fails(open_nova: Open, stub: StubProvider, spans: Spans) -> None:
    """Its span has the class of the error, and no message of it; nothing was sent."""
    nova = open_nova({"openai": stub.url}, budgets=[{"name": "thrifty", "limit": "0.000001", "per": "day"}])
    with pytest.raises(BudgetExceeded):
        await nova.chat("What now?")
    assert spans.attempts == []
    assert attributes(spans.request)["error.type"] == "BudgetExceeded"
    assert spans.request.status.status_code is StatusCode.ERROR
    assert (spans.request.status.description, list(spans.request.events)) == (None, [])


def test_calls_without_async(
    open_sync: Callable[[StubProvider], SupernovaSync], stub: StubProvider, spans: Spans
) -> None:
    """The parent is the span of the calling thread, where no event loop runs and where one does."""
    nova = open_sync(stub)
    tracer = trace.get_tracer("program")

    def call() -> None:
        with tracer.start_as_current_span("work"):
            nova.chat("What now?")
            with nova.stream("And then?") as tokens:
                list(tokens)

    async def blocking_call() -> None:
        call()

    call()
    asyncio.run(blocking_call())
    of_program = [span.context for span in spans.all() if span.name == "work"]
    requests = [span for span in spans.all() if span.name == "supernova chat"]
    assert [span.parent for span in requests] == [one for one in of_program for _ in range(2)]
    attempts = spans.of_kind(SpanKind.CLIENT)
    assert [span.parent for span in attempts] == [span.context for span in requests]


async def test_a_stream(nova: Supernova, stub: StubProvider, spans: Spans) -> None:
    """The spans of a stream end when the answer has ended, whatever is current where it is read."""
    gate = Event()
    stub.reply = Answer("Diversify, always.", gate=gate)
    with trace.get_tracer("program").start_as_current_span("work") as work:
        stream = nova.stream("What now?")
        async with stream as tokens:
            assert await anext(tokens)
            assert spans.all() == []
            gate.set()
            rest = asyncio.create_task(read(tokens))
            await rest
            (attempt,) = spans.attempts
    assert spans.request.parent == work.get_span_context()
    assert attributes(spans.request)["supernova.request.cost"] == float(stream.reply.cost)
    assert attributes(attempt)["gen_ai.request.stream"] is True
    assert attributes(attempt)["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes(attempt)["gen_ai.response.finish_reasons"] == ("stop",)


async def read(tokens: Any) -> str:
    return "".join([token async for token in tokens])


async def test_a_stream_that_is_left(nova: Supernova, stub: StubProvider, spans: Spans) -> None:
    """The spans end when the caller leaves; the attempt says so."""
    stub.reply = Answer("Diversify, always.", gate=Event())
    async with nova.stream("What now?") as tokens:
        await anext(tokens)
    (attempt,) = spans.attempts
    assert attributes(attempt)["error.type"] == "Abandoned"
    assert attributes(attempt)["supernova.outcome"] == "settled"
    assert "error.type" not in attributes(spans.request)


async def test_rounds_of_tools_are_one_request(
    open_nova: Open, stub_provider: Callable[..., StubProvider], spans: Spans
) -> None:
    """Each round is an attempt of it, and its cost is that of all."""

    def price(symbol: str) -> float:
        """Return the closing price of a share."""
        return 241.5

    stub = stub_provider(quoting("price", {"symbol": "AAPL"}, "It closed at {}."))
    nova = open_nova({"openai": stub.url})
    reply = await nova.run_tools("Where did AAPL close?", tools=[price])
    costs = [attributes(attempt)["supernova.cost"] for attempt in spans.attempts]
    assert len(costs) == 2
    assert attributes(spans.request)["supernova.request.cost"] == pytest.approx(sum(costs))
    assert float(reply.cost) == pytest.approx(sum(costs))
    assert attributes(spans.attempts[0])["gen_ai.response.finish_reasons"] == ("tool_calls",)


async def test_embeddings(open_nova: Open, stub: StubProvider, spans: Spans) -> None:
    """They are another operation; batches are attempts of one request."""
    models = {"embedding": "text-embedding-3-small"}
    nova = open_nova({"openai": {"url": stub.url, "models": models}})
    await nova.embed([f"text {number}" for number in range(100)])
    assert spans.request.name == "supernova embeddings"
    assert {span.name for span in spans.attempts} == {"embeddings text-embedding-3-small"}
    assert len(spans.attempts) == 2


async def test_no_content_and_no_key(
    open_nova: Open, stub_provider: Callable[..., StubProvider], spans: Spans
) -> None:
    """No span has the prompt, the answer, the user or the key, even if the provider repeats the key."""
    key = clients.key_of("openai")
    message = {"role": "assistant", "content": f"canary {key}"}
    answer = {
        "id": key,
        "object": "chat.completion",
        "created": 1,
        "model": f"gpt {key}",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }
    stub = stub_provider(Raw(200, "application/json", json.dumps(answer)))
    nova = open_nova({"openai": stub.url})
    await nova.chat("A canary?", user_id="canary", team="canary", tags={"desk": "canary"}, system="canary")
    stub.reply = Failure(401, message=f"canary {key}")
    with pytest.raises(ProviderError):
        await nova.chat("A canary?")
    told = "".join(span.to_json() for span in spans.all())
    assert len(spans.all()) == 4
    assert "[redacted]" in told
    assert key not in told
    assert "canary" not in told


async def test_a_span_ends_whatever_is_in_the_answer(
    nova: Supernova, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If what the attempt took cannot be noted, its span ends without, and the answer is whole."""
    monkeypatch.setattr(traces, "redact", lambda _: 1 / 0)
    assert (await nova.chat("What now?")).content == "Diversify, always."
    assert [span.name for span in spans.attempts] == ["chat gpt-4o-mini"]


async def test_a_sampler_that_takes_nothing(nova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are answered; what is not recorded gets no attributes."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    spans = Spans(provider)
    assert (await nova.chat("What now?")).content == "Diversify, always."
    assert spans.all() == []


async def test_without_a_provider_there_is_nothing(nova: Supernova) -> None:
    """The API package alone makes no span: none is current while the request is sent."""
    assert traces.current() is None
    assert (await nova.chat("What now?")).content == "Diversify, always."


def test_nothing_is_imported(tmp_path: Path) -> None:
    """A program that does not import OpenTelemetry does not get it from a call of ours."""
    code = (
        "import sys; from supernova_ai import traces; from supernova_ai.types import Request\n"
        "request = Request(id='r', messages=(), tier='standard', task='chat', max_tokens=1)\n"
        "with traces.in_span(request): traces.answered(0); assert traces.current() is None\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_are_those_of_the_conventions() -> None:
    """Each name that is not ours is in OpenTelemetry's own list, and not one that was replaced."""
    known = {
        value
        for module in (gen_ai_attributes, server_attributes, error_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    names = {value for name, value in vars(traces).items() if name.isupper() and isinstance(value, str)}
    ours = {name for name in names if name.startswith("supernova.")}
    assert {name for name in names - ours if "." in name} <= known
    assert not names & {"gen_ai.system", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"}
    assert len(names - ours) > 15
