"""The class of a failure, by its words and where it happened, and whether another deployment is asked."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

import pytest

from supernova_ai import (
    ContextTooLong,
    ModelNotFound,
    NoProvider,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    Supernova,
)
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Cut, Failure, Raw, Refusal, StubProvider, closed_port
from supernova_ai.types import Usage

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

PROVIDERS = ["openai", "anthropic", "ollama", "huggingface"]
TIERS = {"standard": "gpt-4o-mini", "economy": "gpt-4o"}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("streaming", [False, True])
async def test_404_names_the_address_that_was_asked(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """A wrong path in `api_base` gives a 404 like a wrong model: the message has the address."""
    stub = stub_provider(Failure(404))
    nova = open_nova({provider: stub.url})
    with pytest.raises(ModelNotFound) as raised:
        await nova.chat("What now?", streaming=streaming)
    assert f"(asked at {stub.url}{stub.requests[0].path})" in str(raised.value)
    assert "its 'api_base' if it has one" in str(raised.value)


OWN = {"models": {"standard": "m"}, "price": "free", "keys": ["primary"]}
NOT_FOUND = Raw(404, "application/json", '{"detail": "Not Found"}')


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("openai", NOT_FOUND),
        ("openai", Raw(404, "text/plain", "404 page not found")),
        ("openai", Raw(405, "application/json", '{"detail": "Method Not Allowed"}')),
        ("openai", Raw(200, "application/json", '{"status": "ok"}')),
        ("anthropic", NOT_FOUND),
        ("mistral", NOT_FOUND),
        ("azure", NOT_FOUND),
        ("gemini", NOT_FOUND),
    ],
)
async def test_a_wrong_path_of_ones_own_provider_is_told_with_the_address(
    kind: str, answer: Raw, open_nova: Open, stub_provider: Stub
) -> None:
    """The message has the provider's own name, the address, and that ``api_base`` may be wrong."""
    stub = stub_provider(answer)
    nova = open_nova({"mylab": {"url": f"{stub.url}/wrong", "type": kind, **OWN}})
    with pytest.raises(ProviderError, match="mylab failed") as raised:
        await nova.chat("What now?")
    assert f"{stub.url}/wrong" in str(raised.value)
    assert "'api_base'" in str(raised.value)


async def test_a_probe_of_a_wrong_path_names_the_address(open_nova: Open, stub_provider: Stub) -> None:
    """A probe that finds no such path names it, and the setting to check."""
    stub = stub_provider()
    (probe,) = await open_nova({"mylab": {"url": f"{stub.url}/wrong", "type": "openai", **OWN}}).probe()
    assert probe.reason == (
        f"mylab failed a probe: it answered HTTP 404 (asked at {stub.url}/wrong/models); check 'api_base'"
    )


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_unreachable_address_is_in_the_message(provider: str, open_nova: Open) -> None:
    """OpenAI's client only says "Connection error." for a wrong port, name or certificate."""
    with closed_port() as port:
        nova = open_nova({provider: f"http://127.0.0.1:{port}"})
        with pytest.raises(ProviderUnavailable, match=f"Cannot connect to host 127.0.0.1:{port}"):
            await nova.chat("What now?")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_error_event_is_the_providers_failure(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A "bad request" inside a stream does not refuse the request: another provider answers."""
    bad, good = stub_provider(Failure(400, after_tokens=0)), stub_provider("Diversify.")
    other = "anthropic" if provider == "openai" else "openai"
    nova = open_nova({provider: bad.url, other: good.url})
    reply = await nova.chat("What now?", streaming=True)
    assert (reply.content, reply.provider) == ("Diversify.", other)
    assert [(row.state, row.error) for row in attempts()] == [
        ("lost", "ProviderUnavailable"),
        ("settled", None),
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_too_long_prompt_is_sent_to_each_model_once(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A prompt that is too long for one model may fit another; if none accepts it, it is refused."""
    stub = stub_provider(Refusal("length"))
    other = "anthropic" if provider == "openai" else "openai"
    nova = open_nova({provider: stub.url, other: stub.url}, routing={"retries": 3})
    with pytest.raises(ContextTooLong) as raised:
        await nova.chat("What now?")
    assert "{" not in str(raised.value)
    assert [(row.provider, row.error) for row in attempts()] == [
        (provider, "ContextTooLong"),
        (other, "ContextTooLong"),
    ]


async def test_refused_request_is_sent_once(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """A request that is refused as malformed goes to no other provider, and to no cheaper tier."""
    stub = stub_provider(Failure(400))
    nova = open_nova(
        {"openai": {"url": stub.url, "models": TIERS}, "anthropic": stub.url}, routing={"retries": 3}
    )
    with pytest.raises(RequestRejected):
        await nova.chat("What now?")
    assert len(attempts()) == len(stub.requests) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_error_is_short(provider: str, open_nova: Open, stub_provider: Stub) -> None:
    """The error of an answer that LiteLLM cannot read is one line, without a traceback."""
    nova = open_nova({provider: stub_provider(Cut(2, complete=True)).url})
    with pytest.raises(ProviderUnavailable) as raised:
        await nova.chat("What now?")
    assert "Traceback" not in str(raised.value)
    assert str(raised.value).count("\n") == 0


@pytest.mark.parametrize(
    "usage",
    [
        Usage(prompt=10**9, completion=5),
        Usage(prompt=5, completion=10**9),
        Usage(prompt=5, completion=5, cached=10**9),
        Usage(prompt=5, completion=5, reasoning=10**9),
    ],
    ids=["prompt", "completion", "cached", "reasoning"],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_incredible_usage_costs_the_hold(
    usage: Usage,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Impossible numbers of tokens use up no budget: the hold is the cost, and the log says so."""
    nova = open_nova({"openai": stub_provider(Answer("Diversify.", usage)).url})
    reply = await nova.chat("What now?", streaming=streaming)
    (row,) = attempts()
    assert reply.cost_basis == row.basis == "bound"
    assert row.cost == row.held
    assert max(row.prompt, row.completion, row.cached, row.reasoning) < 1000
    assert "engine.usage.incredible" in caplog.text


async def test_filtered_answer_says_so(open_nova: Open, stub_provider: Stub) -> None:
    """An answer that the provider's filter shortened is returned, with its finish reason."""
    message = {"role": "assistant", "content": "Diversify"}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "content_filter"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
    nova = open_nova({"openai": stub_provider(Raw(200, "application/json", json.dumps(body))).url})
    reply = await nova.chat("What now?")
    assert (reply.content, reply.finish_reason) == ("Diversify", "content_filter")


async def test_retry_waits_for_a_short_cooldown(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """If all have failed, a retry waits for the first cooldown that ends within ``routing.wait``."""
    first, second = stub_provider("Diversify.", script=[Failure(500)]), stub_provider(Failure(500))
    nova = open_nova(
        {"openai": first.url, "anthropic": second.url},
        routing={"retries": 2, "breaker": {"failures": 1, "cooldown": 0.3}},
    )
    reply = await nova.chat("What now?")
    assert [a.provider for a in reply.attempts] == ["openai", "anthropic", "openai"]


async def test_waiting_requests_hold_no_money(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Of requests that wait for a cooldown, one tests the provider; only then do the others take holds."""
    stub = stub_provider("Diversify.", script=[Failure(500)])
    nova = open_nova({"openai": stub.url}, routing={"breaker": {"failures": 1, "cooldown": 0.3}})
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    await asyncio.gather(*(nova.chat("What now?") for _ in range(10)))
    assert [row.error for row in attempts()] == ["ProviderUnavailable"] + [None] * 10
    assert len(stub.requests) == 11


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is of POSIX")
async def test_no_file_descriptor_left_is_not_a_providers_failure(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If no socket can be opened there is one named error, no retry, no cost, and no circuit opens."""
    import resource

    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url}, routing={"retries": 2, "breaker": {"failures": 1}})
    await nova.warm_up()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))  # what is open stays open
    try:
        with pytest.raises(NoProvider, match="no file descriptor left"):
            await nova.chat("What now?")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [(row.state, row.cost, row.error) for row in attempts()] == [("released", 0, "NoProvider")]
    assert (await nova.chat("What now?")).content == "Diversify."
