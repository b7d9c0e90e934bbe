"""Parameters on the wire: what each provider gets, what is left out, and what they add to the bound."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from supernova_ai import InvalidRequest, Supernova
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Raw, StubProvider
from supernova_ai.types import Usage

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]


async def sent(open_nova: Open, stub: StubProvider, provider: str, model: str = "", **options: Any) -> Any:
    settings: dict[str, Any] = {"url": stub.url} | ({"models": {"standard": model}} if model else {})
    await open_nova({provider: settings}).chat("What now?", **options)
    return stub.chats[-1].body


@pytest.mark.parametrize(
    ("provider", "model", "options", "expected"),
    [
        ("openai", "", {"seed": 7, "stop": "END"}, {"seed": 7, "stop": ["END"]}),
        ("openai", "", {"top_p": 0.5, "presence_penalty": 1}, {"top_p": 0.5, "presence_penalty": 1}),
        ("openai", "gpt-5-mini", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ("openai", "gpt-5-mini", {"service_tier": "flex"}, {"service_tier": "flex"}),
        ("anthropic", "", {"stop": ["A", "B"]}, {"stop_sequences": ["A", "B"]}),
        (
            "anthropic",
            "",
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000},
        ),
        (
            "anthropic",
            "",
            {"extra": {"anthropic": {"top_k": 4}, "openai": {"verbosity": "low"}}},
            {"top_k": 4},
        ),
        ("openai", "gpt-5-mini", {"extra": {"openai": {"verbosity": "low"}}}, {"verbosity": "low"}),
        ("huggingface", "", {"frequency_penalty": 1.5}, {"frequency_penalty": 1.5}),
    ],
)
async def test_provider_gets_the_parameter(
    provider: str, model: str, options: dict[str, Any], expected: Any, open_nova: Open, stub_provider: Stub
) -> None:
    """Each parameter arrives under the provider's own name, and ``extra`` at its own provider only."""
    body = await sent(open_nova, stub_provider(), provider, model, **options)
    assert body | expected == body
    assert "extra" not in json.dumps(body)


async def test_ollama_gets_its_options(open_nova: Open, stub_provider: Stub) -> None:
    """Ollama has them under ``options``."""
    body = await sent(open_nova, stub_provider(), "ollama", seed=7, top_p=0.5, stop="END")
    assert body["options"] | {"seed": 7, "top_p": 0.5, "stop": ["END"]} == body["options"]


async def test_unsupported_parameter_is_dropped_and_named(
    open_nova: Open, stub_provider: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    """A parameter that the model lacks is left out; reply and log name it, also for a cached answer."""
    caplog.set_level(logging.INFO)
    stub = stub_provider()
    nova = open_nova({"anthropic": stub.url}, cache={"type": "memory"})
    for _ in range(2):
        reply = await nova.chat("What now?", seed=7, logprobs=None, frequency_penalty=1, temperature=0.5)
        assert reply.dropped == ("frequency_penalty", "seed")
    assert reply.cached
    (request,) = stub.chats
    assert not {"seed", "frequency_penalty"} & request.body.keys()
    assert request.body["temperature"] == 0.5
    (line,) = [one.message for one in caplog.records if "engine.parameter.dropped" in one.message]
    assert "frequency_penalty" in line
    assert "seed" in line


async def test_unsupported_parameter_is_refused(open_nova: Open, stub_provider: Stub) -> None:
    """With ``unsupported: refuse`` a model that lacks a parameter is not asked, and the error names both."""
    lacking, good = stub_provider(), stub_provider()
    refuse = {"unsupported": "refuse"}
    nova = open_nova({"anthropic": lacking.url, "openai": good.url}, routing=refuse)
    reply = await nova.chat("What now?", seed=7)
    assert (reply.provider, reply.dropped, lacking.chats) == ("openai", (), [])
    assert (await nova.chat("What now?")).provider == "anthropic"
    alone = open_nova({"anthropic": lacking.url}, routing=refuse)
    with pytest.raises(
        InvalidRequest, match=r"supports the parameter seed, as far as .*: not anthropic/claude"
    ):
        await alone.chat("What now?", seed=7)
    assert len(lacking.chats) == 1


@pytest.mark.parametrize(
    "name", ["mock_response", "input_cost_per_token", "custom_llm_provider", "guardrails"]
)
async def test_extra_for_litellm_itself_is_refused(name: str, open_nova: Open, stub_provider: Stub) -> None:
    """A parameter that LiteLLM would take for itself could change the price, the address or the answer."""
    stub = stub_provider()
    with pytest.raises(InvalidRequest, match=rf"extra\['openai'\]\['{name}'\]: this package sets it"):
        await open_nova({"openai": stub.url}).chat("What now?", extra={"openai": {name: 0}})
    assert stub.chats == []


@pytest.mark.parametrize("streaming", [False, True])
async def test_logprobs_are_in_the_reply(streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """Each token of the answer has its probability, plain and streamed; such an answer is not cached."""
    nova = open_nova({"openai": stub_provider("Buy low.").url}, cache={"type": "memory"})
    for _ in range(2):
        reply = await nova.chat("What now?", logprobs=True, streaming=streaming)
        assert reply.logprobs is not None
        assert [one["token"] for one in reply.logprobs] == ["Buy", " low."]
        assert not reply.cached
    assert (await nova.chat("What now?", streaming=streaming)).logprobs is None


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
async def test_reasoning_is_in_the_reply(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """What the provider shows of its reasoning is beside the answer, in each dialect."""
    stub = stub_provider(Answer("Buy.", reasoning="Rates fall."))
    reply = await open_nova({provider: stub.url}).chat("What now?", streaming=streaming)
    assert (reply.content, reply.reasoning) == ("Buy.", "Rates fall.")
    assert "reasoning" not in json.dumps(reply.message)


def rate(model: str, name: str) -> Decimal:
    return Decimal(str(litellm.model_cost[model][name]))


@pytest.mark.parametrize(("tier", "suffix"), [("flex", "_flex"), ("priority", "_priority")])
async def test_service_tier_has_its_price(
    tier: Any, suffix: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """The hold covers the tier that is asked for, and the tier that the answer names is what it costs."""
    answer = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5-mini",
        "service_tier": tier,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Buy."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50},
    }
    stub = stub_provider(Raw(200, "application/json", json.dumps(answer)))
    settings = {"url": stub.url, "models": {"standard": "gpt-5-mini"}}
    reply = await open_nova({"openai": settings}).chat("What now?", service_tier=tier)
    prompt, said = (rate("gpt-5-mini", f"{name}_cost_per_token{suffix}") for name in ("input", "output"))
    assert (reply.cost, reply.cost_basis) == (20 * prompt + 30 * said, "exact")
    (row,) = attempts()
    assert Decimal(row.held) / 10**9 > 1024 * said


async def test_prompt_cache_marks_the_stable_beginning(open_nova: Open, stub_provider: Stub) -> None:
    """Anthropic's instructions and the message before the newest are marked; other providers get no marks."""
    marked, plain = stub_provider(), stub_provider()
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is a bond?"},
        {"role": "assistant", "content": "A loan."},
        {"role": "user", "content": "And a share?"},
    ]
    given: list[Any] = [True, "1h"]
    for lifetime in given:
        await open_nova({"anthropic": marked.url}).chat(messages=said, prompt_cache=lifetime)
        body = marked.chats[-1].body
        mark = {"type": "ephemeral"} | ({"ttl": "1h"} if lifetime == "1h" else {})
        assert [block.get("cache_control") for block in body["system"]] == [mark]
        last = [[block.get("cache_control") for block in one["content"]] for one in body["messages"]]
        assert last == [[None], [mark], [None]]
    await open_nova({"openai": plain.url}).chat(messages=said, prompt_cache="1h")
    assert "cache_control" not in json.dumps(plain.chats[0].body)


async def test_hour_of_the_cache_is_in_the_hold(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Writing for an hour costs more: the hold has that price only where it is asked for."""
    stub = stub_provider(Answer("A part.", usage=Usage(prompt=300, completion=2)))
    nova = open_nova({"anthropic": stub.url})
    marked = [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    await nova.chat("Hi")
    await nova.chat("Hi", prompt_cache=True)
    await nova.chat("Hi", prompt_cache="1h")
    await nova.chat(messages=[{"role": "user", "content": marked}])
    plain, usual, hour, own = (row.held for row in attempts())
    assert plain == usual < hour
    assert own > usual


async def test_reasoning_is_part_of_max_tokens(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Reasoning does not change the hold: ``max_tokens`` covers both."""
    stub = stub_provider(Answer("Buy.", reasoning="Rates fall.", usage=Usage(20, 900, reasoning=800)))
    nova = open_nova({"openai": {"url": stub.url, "models": {"standard": "gpt-5-mini"}}})
    for options in ({}, {"reasoning_effort": "high"}):
        reply = await nova.chat("What now?", max_tokens=1000, **options)  # type: ignore[arg-type]
        assert (reply.usage.reasoning, reply.usage.completion) == (800, 900)
    first, second = attempts()
    assert first.held == second.held > first.cost
