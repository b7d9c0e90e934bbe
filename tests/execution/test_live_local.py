"""The whole stack with the real local model. Its text is poor: the tests assert shapes and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai import AuthenticationFailed, ContextTooLong, Supernova
from supernova_ai.demo.local_model import LocalModel, LocalProcess
from supernova_ai.store.tables import AttemptRow

pytestmark = pytest.mark.proof

Open = Callable[..., Supernova]
Rows = Callable[[], list[AttemptRow]]

each_dialect = pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface"])
each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


def local(url: str) -> dict[str, Any]:
    model = LocalModel.name
    return {"url": url, "models": {"standard": model}, "prices": {model: {"input": "2", "output": "5"}}}


@each_dialect
@each_way
async def test_real_answer_is_settled(
    provider: str, streaming: bool, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """In each dialect a real answer has its finish reason and usage, and is settled at their exact cost."""
    nova = open_nova({provider: local(local_model.url)})
    pieces: list[str] = []
    reply = await nova.chat("What is a bond?", max_tokens=12, on_token=pieces.append if streaming else None)
    (row,) = attempts()
    assert reply.content.strip()
    assert (reply.finish_reason, reply.cost_basis) == ("length", "exact")
    assert (reply.usage.completion, row.state) == (12, "settled")
    assert 10 < reply.usage.prompt < 200
    assert row.cost == reply.usage.prompt * 2000 + 12 * 5000
    assert row.cost <= row.held
    if streaming:
        assert "".join(pieces) == reply.content
        assert 1 < len(pieces) <= 12


@each_dialect
async def test_real_stream_left_early_is_estimated(
    provider: str, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """A real stream that the caller leaves after three pieces is settled at an estimate below its hold."""
    nova = open_nova({provider: local(local_model.url)})
    async with nova.stream("What is a bond?", max_tokens=200) as stream:
        for _ in range(3):
            await anext(stream)
    (row,) = attempts()
    assert (row.state, row.basis) == ("settled", "estimated")
    assert 1 <= row.completion <= 12
    assert 0 < row.cost < row.held


@each_dialect
@each_way
async def test_real_refusals(provider: str, streaming: bool, open_nova: Open, attempts: Rows) -> None:
    """A real server's refusal of a key raises AuthenticationFailed with its status, and costs nothing."""
    with LocalModel(api_keys=["the-right-one"]) as model:
        nova = open_nova({provider: local(model.url)})
        with pytest.raises(AuthenticationFailed) as raised:
            await nova.chat("What is a bond?", streaming=streaming)
    assert raised.value.status == 401
    assert [row.state for row in attempts()] == ["released"]


@each_dialect
async def test_real_context_is_exceeded(
    provider: str, open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """A prompt that is longer than the model's context raises ContextTooLong, and costs nothing."""
    nova = open_nova({provider: local(local_model.url)})
    with pytest.raises(ContextTooLong):
        await nova.chat("bonds and shares " * 2000, max_tokens=5)
    assert [(row.state, row.error) for row in attempts()] == [("released", "ContextTooLong")]


async def test_real_stream_resumes_when_its_server_is_killed(
    open_nova: Open, local_model: LocalModel, attempts: Rows
) -> None:
    """If a real server is killed in mid-stream, the second one resumes the text, and both are charged."""
    doomed = LocalProcess()
    try:
        nova = open_nova({"openai": local(doomed.url), "huggingface": local(local_model.url)})
        async with nova.stream("What is a bond, and who buys them?", max_tokens=60) as stream:
            pieces = [await anext(stream) for _ in range(5)]
            doomed.kill()
            pieces += [piece async for piece in stream]
    finally:
        doomed.kill()
    assert stream.reply.content == "".join(pieces)
    assert len(pieces) > 5
    first, second = attempts()
    assert (first.provider, first.state, first.basis) == ("openai", "settled", "estimated")
    assert (second.provider, second.state, second.basis) == ("huggingface", "settled", "exact")
    assert 0 < first.cost < first.held
    assert first.completion + second.completion <= 61
