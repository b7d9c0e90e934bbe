"""Recorded calls, replayed through the whole stack without a server; see cassettes/README.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from supernova_ai import AuthenticationFailed, ProviderUnavailable, RateLimited, RequestRejected, Supernova
from supernova_ai.demo.local_model import LocalModel
from supernova_ai.secret import redact
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Failure, StubProvider
from supernova_ai.testing.cassettes import Cassette
from supernova_ai.types import Usage
from tests import clients

Open = Callable[..., Supernova]
Rows = Callable[[], list[AttemptRow]]

each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


def local(url: str) -> dict[str, Any]:
    model = LocalModel.name
    return {"url": url, "models": {"standard": model}, "prices": {model: {"input": "2", "output": "5"}}}


@pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface"])
@each_way
async def test_local_model(
    provider: str, streaming: bool, cassette: Cassette, open_nova: Open, attempts: Rows
) -> None:
    """A real model's recorded answer is replayed whole: text, finish reason, usage and cost."""
    nova = open_nova({provider: local(cassette.serve(LocalModel))})
    reply = await nova.chat("What is a bond?", streaming=streaming, max_tokens=16, temperature=0)
    (row,) = attempts()
    assert len(reply.content.split()) > 3
    assert (reply.finish_reason, reply.cost_basis, row.state) == ("length", "exact", "settled")
    assert (row.completion, row.cost) == (16, row.prompt * 2000 + 16 * 5000)
    assert row.prompt > 10


@pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface"])
async def test_local_model_refuses_the_key(
    provider: str, cassette: Cassette, open_nova: Open, attempts: Rows
) -> None:
    """A real server's recorded 401 is replayed as AuthenticationFailed, and costs nothing."""
    nova = open_nova({provider: local(cassette.serve(lambda: LocalModel(api_keys=["the-right-one"])))})
    with pytest.raises(AuthenticationFailed):
        await nova.chat("What is a bond?")
    assert [row.state for row in attempts()] == ["released"]


@each_way
async def test_ollama(streaming: bool, cassette: Cassette, open_nova: Open) -> None:
    """Ollama's wire format is replayed, plain and streamed."""
    answer = Answer("A bond is a loan.", usage=Usage(prompt=26, completion=5))
    nova = open_nova({"ollama": cassette.serve(lambda: StubProvider(answer))})
    reply = await nova.chat("What is a bond?", streaming=streaming, max_tokens=16)
    assert (reply.content, reply.finish_reason) == ("A bond is a loan.", "stop")
    assert (reply.usage, reply.cost_basis) == (Usage(prompt=26, completion=5), "exact")
    assert reply.cost == 0


ERRORS = [
    ("openai", Failure(429), RateLimited),
    ("openai", Failure(500), ProviderUnavailable),
    ("anthropic", Failure(529), ProviderUnavailable),
    ("anthropic", Failure(400), RequestRejected),
    ("ollama", Failure(500), ProviderUnavailable),
    ("huggingface", Failure(503), ProviderUnavailable),
]


@pytest.mark.parametrize(
    ("provider", "failure", "error"),
    [pytest.param(*case, id=f"{case[0]}-{case[1].status}") for case in ERRORS],
)
async def test_error_answer(
    provider: str,
    failure: Failure,
    error: type[Exception],
    cassette: Cassette,
    open_nova: Open,
    attempts: Rows,
) -> None:
    """A recorded error is replayed as the error class of its status, and costs nothing."""
    nova = open_nova({provider: cassette.serve(lambda: StubProvider(failure))})
    with pytest.raises(error):
        await nova.chat("What is a bond?")
    assert [(row.state, row.cost) for row in attempts()] == [("released", 0)]


async def test_key_in_an_error_is_not_recorded(cassette: Cassette, open_nova: Open) -> None:
    """A refused key that the provider repeats is neither in the cassette nor in the error."""
    key = clients.key_of("openai")
    refusal = Failure(401, f"Incorrect API key provided: {key}.")
    nova = open_nova({"openai": cassette.serve(lambda: StubProvider(refusal))})
    with pytest.raises(AuthenticationFailed, match=r"Incorrect API key provided: \[redacted\]") as raised:
        await nova.chat("What is a bond?")
    assert key not in str(raised.value)
    if not cassette.recording:
        assert key not in cassette.path.read_text()


async def test_failover(cassette: Cassette, open_nova: Open, attempts: Rows) -> None:
    """A recorded failover from a failing provider to the real model is replayed as two attempts."""
    down = cassette.serve(lambda: StubProvider(Failure(503)))
    nova = open_nova({"openai": down, "anthropic": local(cassette.serve(LocalModel))})
    reply = await nova.chat("What is a bond?", max_tokens=16, temperature=0)
    assert reply.provider == "anthropic"
    assert [(row.provider, row.state) for row in attempts()] == [
        ("openai", "released"),
        ("anthropic", "settled"),
    ]


def test_cassettes_are_clean_and_listed() -> None:
    """No cassette has a key or a header that could carry one, and the README lists the source of each."""
    folder = Path(__file__).parents[2] / "cassettes"
    cassettes = sorted(folder.glob("*/*.yaml"))
    provenance = (folder / "README.md").read_text()
    assert cassettes
    for cassette in cassettes:
        text = cassette.read_text()
        assert redact(text) == text, cassette
        sent = yaml.safe_load(text)["interactions"]
        kept = {name for one in sent for side in ("request", "response") for name in one[side]["headers"]}
        assert kept <= {"content-type", "anthropic-version", "retry-after"}, cassette
        assert f"`{cassette.parent.name}`" in provenance, cassette
        test = cassette.stem.partition("-")[0]
        assert f"`{test}`" in provenance, cassette
