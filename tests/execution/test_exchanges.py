"""Recorded exchanges of all four providers, served on loopback and answered through the whole stack."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import ModelNotFound, ProviderError, RequestRejected, Supernova
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.store.tables import AttemptRow, WindowRow
from supernova_ai.testing import Exchange, StubProvider, exchanges
from supernova_ai.types import Usage

RECORDED = list(exchanges())
MAP = Path(litellm.__file__).with_name("model_prices_and_context_window_backup.json")
PRICES: dict[str, Any] = json.loads(MAP.read_text(), parse_float=Fraction)
# USD per million tokens, for models that are not in LiteLLM's price map.
OWN = {"input": "3.00", "cached_input": "0.30", "output": "15.00"}
ERRORS: dict[int, type[ProviderError]] = {400: RequestRejected, 404: ModelNotFound}
FINISH = {"end_turn": "stop", "stop": "stop", None: None}

pytestmark = pytest.mark.skipif(not RECORDED, reason="SUPERNOVA_WIRE_DIR names no recorded exchanges")


def recorded(*, good: bool) -> pytest.MarkDecorator:
    chosen = [exchange for exchange in RECORDED if (exchange.status == 200) is good]
    return pytest.mark.parametrize("exchange", [pytest.param(e, id=e.name) for e in chosen])


def documents(exchange: Exchange) -> list[Mapping[str, Any]]:
    """Return the JSON documents of the answer: one, or one per event of a stream."""
    if isinstance(exchange.response, Mapping):
        return [exchange.response]
    lines = (line.removeprefix("data: ") for line in exchange.response.splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def openai(exchange: Exchange) -> tuple[str, str | None, Usage | None]:
    text, finish, usage = "", None, None
    for document in documents(exchange):
        for choice in document["choices"]:
            text += (choice.get("message") or choice["delta"]).get("content") or ""
            finish = choice["finish_reason"] or finish
        if said := document.get("usage"):
            usage = Usage(
                prompt=said["prompt_tokens"],
                completion=said["completion_tokens"],
                cached=(said.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
                reasoning=(said.get("completion_tokens_details") or {}).get("reasoning_tokens", 0),
            )
    # Reasoning that a model writes into its text is not part of the answer.
    return re.sub(r"^<think>.*</think>\s*", "", text, flags=re.DOTALL), finish, usage


def anthropic(exchange: Exchange) -> tuple[str, str | None, Usage | None]:
    text, finish, said = "", None, dict[str, Any]()
    for document in documents(exchange):
        message = document.get("message", document)
        text += "".join(block.get("text", "") for block in message.get("content", ()))
        text += document.get("delta", {}).get("text", "")
        finish = document.get("delta", document).get("stop_reason") or finish
        said |= message.get("usage") or {}
    cached, written = said["cache_read_input_tokens"], said["cache_creation_input_tokens"]
    usage = Usage(
        prompt=said["input_tokens"] + cached + written,
        completion=said["output_tokens"],
        cached=cached,
        cache_write=written,
        reasoning=(said.get("output_tokens_details") or {}).get("thinking_tokens", 0),
    )
    return text, finish, usage


def ollama(exchange: Exchange) -> tuple[str, str | None, Usage | None]:
    text, last = "", documents(exchange)[-1]
    for document in documents(exchange):
        text += document["message"]["content"]
    usage = Usage(prompt=last["prompt_eval_count"], completion=last["eval_count"])
    return text, last["done_reason"], usage


READ = {"openai": openai, "huggingface": openai, "anthropic": anthropic, "ollama": ollama}


def known(exchange: Exchange) -> dict[str, Any] | None:
    entry: dict[str, Any] | None = PRICES.get(exchange.request["model"])
    return entry if entry and entry["litellm_provider"] == exchange.provider else None


def cost(exchange: Exchange, usage: Usage) -> Fraction:
    """Return the cost of the usage in USD. No recorded prompt is long enough for a long-context price."""
    entry = known(exchange)
    if entry is None:
        fresh, cached, out = (Fraction(OWN[name]) / 10**6 for name in ("input", "cached_input", "output"))
        written = fresh
    else:
        fresh, out = entry["input_cost_per_token"], entry["output_cost_per_token"]
        cached = entry.get("cache_read_input_token_cost", fresh)
        written = entry.get("cache_creation_input_token_cost", fresh)
    new = usage.prompt - usage.cached - usage.cache_write
    return new * fresh + usage.cached * cached + usage.cache_write * written + usage.completion * out


@pytest.fixture
def serve(
    stub_provider: Callable[..., StubProvider], open_nova: Callable[..., Supernova]
) -> Callable[[Exchange], tuple[Supernova, StubProvider]]:
    def serve(exchange: Exchange) -> tuple[Supernova, StubProvider]:
        stub = stub_provider(exchange.answer)
        model = exchange.request["model"]
        settings: dict[str, Any] = {"url": stub.url, "models": {"standard": model}, "price": None}
        settings["prices"] = {} if known(exchange) else {model: OWN}
        return open_nova({exchange.provider: settings}), stub

    return serve


Serve = Callable[[Exchange], tuple[Supernova, StubProvider]]


@recorded(good=True)
async def test_answer_usage_and_cost(
    exchange: Exchange,
    serve: Serve,
    attempts: Callable[[], list[AttemptRow]],
    window: Callable[..., WindowRow],
) -> None:
    """Content, finish reason, each token count and the cost in nano-USD match the recorded answer."""
    text, finish, usage = READ[exchange.provider](exchange)
    nova, _ = serve(exchange)
    question = "Hello" + "." * (usage.prompt if usage else 0)  # as long as the recorded one, to be credible
    reply = await nova.chat(question, streaming=exchange.streamed)

    assert reply.content == text
    assert reply.finish_reason == FINISH[finish]
    (row,) = attempts()
    assert (row.state, row.provider, row.model) == ("settled", exchange.provider, exchange.request["model"])
    assert row.cost == reply.cost * 10**9
    assert row.basis == reply.cost_basis
    assert (window().settled, window().held, window().lost) == (row.cost, 0, 0)
    if usage is None:
        assert reply.cost_basis == "estimated"
        assert reply.usage.prompt > 0
        # An English token has about four letters; the recordings say nothing more exact.
        assert len(text) / 8 < reply.usage.completion < len(text)
        usage = reply.usage
    else:
        assert reply.cost_basis == "exact"
        said, got = usage, reply.usage
        assert (got.prompt, got.completion) == (said.prompt, said.completion)
        assert (got.cached, got.cache_write) == (said.cached, said.cache_write)
        if said.reasoning:
            assert got.reasoning == said.reasoning
        assert 0 <= got.reasoning <= got.completion
    assert reply.cost == Decimal(round(cost(exchange, usage) * 10**9)) / 10**9
    assert (row.prompt, row.completion, row.cached, row.cache_write, row.reasoning) == (
        reply.usage.prompt,
        reply.usage.completion,
        reply.usage.cached,
        reply.usage.cache_write,
        reply.usage.reasoning,
    )


def test_only_streams_without_usage_are_estimated() -> None:
    """Of all recorded answers only the two streams that did not request usage have none."""
    silent = [e.name for e in RECORDED if e.status == 200 and READ[e.provider](e)[2] is None]
    assert len(RECORDED) == 36
    assert [name.rpartition("-")[0] for name in silent] == ["openai-stream-200-gpt-3.5-turbo"] * 2


@recorded(good=False)
async def test_refusal(
    exchange: Exchange,
    serve: Serve,
    attempts: Callable[[], list[AttemptRow]],
    window: Callable[..., WindowRow],
) -> None:
    """A refusal raises the class of its status with the provider's message, and releases the hold."""
    assert isinstance(exchange.response, Mapping)
    nova, _ = serve(exchange)
    with pytest.raises(ERRORS[exchange.status]) as raised:
        await nova.chat("Hello")
    assert exchange.response["error"]["message"] in str(raised.value)
    assert (raised.value.status, raised.value.provider) == (exchange.status, exchange.provider)
    assert raised.value.model == exchange.request["model"]
    (row,) = attempts()
    assert (row.state, row.cost, row.error) == ("released", 0, type(raised.value).__name__)
    assert row.request == raised.value.request_id
    assert (window().settled, window().held, window().lost) == (0, 0, 0)


@recorded(good=True)
async def test_max_tokens_is_sent(exchange: Exchange, serve: Serve) -> None:
    """Each provider gets the ``max_tokens`` that the hold covers, under the name that its model expects."""
    nova, stub = serve(exchange)
    await nova.chat("Hello", streaming=exchange.streamed, max_tokens=321)
    (request,) = stub.requests
    body = request.body | request.body.get("options", {})
    thinker = known(exchange) and re.match(r"o\d|gpt-5", exchange.request["model"])
    name = {"ollama": "num_predict", "openai": "max_completion_tokens" if thinker else "max_tokens"}
    assert body[name.get(exchange.provider, "max_tokens")] == 321
    assert body["model"] == exchange.request["model"]
    assert body.get("stream", False) == exchange.streamed
