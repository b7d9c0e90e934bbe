"""Attachments through the client: the providers asked, the request sent, the hold, and no stored copy."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from supernova_ai import BudgetExceeded, InvalidRequest, ProviderTimeout, Supernova, client_requests
from supernova_ai.concurrency import DaemonExecutor
from supernova_ai.testing import Answer, Failure, StubProvider
from supernova_ai.types import Usage
from tests import clients
from tests.requests.test_attachments import PNG, pdf

Open = Callable[..., Supernova]

SECRET = PNG + b"a face that nobody else may see" * 20
ENCODED = b64encode(SECRET).decode()


async def test_openai_gets_content_parts(nova: Supernova, stub: StubProvider) -> None:
    """Images and documents come before the text, in OpenAI's format, with and without streaming."""
    document = pdf()
    await nova.chat("What is this?", attachments=[SECRET, document])
    await nova.chat("What is this?", attachments=[SECRET, document], streaming=True)
    async with nova.stream("What is this?", attachments=[SECRET, document]) as stream:
        async for _ in stream:
            pass
    for request in stub.chats:
        image, file, text = request.body["messages"][-1]["content"]
        assert image["image_url"] == {"url": f"data:image/png;base64,{ENCODED}", "detail": "high"}
        assert file["file"]["filename"] == "document-2.pdf"
        assert file["file"]["file_data"] == f"data:application/pdf;base64,{b64encode(document).decode()}"
        assert text == {"type": "text", "text": "What is this?"}
    assert len(stub.chats) == 3


async def test_anthropic_gets_content_blocks(open_nova: Open, stub: StubProvider) -> None:
    """Anthropic gets an image block and a document block."""
    nova = open_nova({"anthropic": stub.url})
    await nova.chat("What is this?", attachments=[SECRET, pdf()])
    image, document, text = stub.chats[0].body["messages"][-1]["content"]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": ENCODED}
    assert (document["type"], document["source"]["media_type"]) == ("document", "application/pdf")
    assert text["text"] == "What is this?"


async def test_analysis_accepts_attachments(nova: Supernova, stub: StubProvider) -> None:
    """The attachment comes before the text to analyse."""
    await nova.analyze("Acme rose.", attachments=[SECRET], tier="standard")
    image, text = stub.chats[0].body["messages"][-1]["content"]
    assert image["type"] == "image_url"
    assert "Acme rose." in text["text"]


async def test_models_that_read_no_images_are_skipped(
    open_nova: Open, stub_provider: Any, stub: StubProvider
) -> None:
    """A provider whose model reads no images is not asked, even if it is first."""
    text_only = stub_provider("I see nothing.")
    nova = open_nova({"ollama": text_only.url, "openai": stub.url})
    assert (await nova.chat("What is this?", attachments=[SECRET])).provider == "openai"
    assert (await nova.chat("And now?")).provider == "ollama"
    assert (len(text_only.chats), len(stub.chats)) == (1, 1)


async def test_cheaper_tier_that_reads_the_attachment_answers(open_nova: Open, stub: StubProvider) -> None:
    """If only a model of a cheaper tier reads the attachment, that model answers."""
    models = {"premium": "gpt-3.5-turbo", "standard": "gpt-4o-mini"}
    nova = open_nova({"openai": {"url": stub.url, "models": models}})
    reply = await nova.chat("What is this?", tier="premium", attachments=[SECRET])
    why = "asked for; no premium model supports images, degraded to standard"
    assert (reply.tier, reply.tier_reason) == ("standard", why)
    quote = await nova.quote("What is this?", tier="premium", attachments=[SECRET])
    assert (quote.tier, *quote.worst_case) == ("standard", "openai/gpt-4o-mini")
    refused: list[dict[str, Any]] = [{"complexity": "critical"}, {"model": "gpt-3.5-turbo"}]
    for given in refused:
        with pytest.raises(InvalidRequest, match=r"not openai/gpt-3\.5-turbo"):
            await nova.chat("What is this?", attachments=[SECRET], **given)


@pytest.mark.parametrize(("attached", "kinds"), [(SECRET, "images"), (pdf(), "PDF documents")])
async def test_attachment_that_no_model_reads_is_refused(
    open_nova: Open, stub: StubProvider, path: Path, attached: bytes, kinds: str
) -> None:
    """The error names the models that cannot read it, and nothing is sent or held."""
    nova = open_nova({"ollama": stub.url})
    with pytest.raises(InvalidRequest, match=f"supports {kinds}.*not ollama/llama3.1"):
        await nova.chat("What is this?", attachments=[attached])
    with pytest.raises(InvalidRequest, match=kinds):
        await nova.quote("What is this?", attachments=[attached])
    assert (stub.chats, clients.attempts(path)) == ([], [])


async def test_hold_includes_attachments(open_nova: Open, stub: StubProvider, path: Path) -> None:
    """The hold has the documented maximum of an image, and the pages of a document; a quote too."""
    nova = open_nova({"openai": {"url": stub.url, "models": {"standard": "gpt-4.1"}}})
    per_token = Decimal("0.0000035")  # at the priority tier, which a project may be set to
    costs = []
    for attached in ([], [SECRET], [SECRET, SECRET], [pdf(3)]):
        await nova.chat("What is this?", attachments=attached)
        quote = await nova.quote("What is this?", attachments=attached)
        costs.append(Decimal(clients.attempts(path)[-1].held) / 10**9)
        assert quote.worst_case["openai/gpt-4.1"] == costs[-1]
    plain, *more = costs
    assert [cost - plain for cost in more] == [per_token * n for n in (5_000, 10_000, 24_000)]


async def test_hold_covers_many_tokens_per_image(nova: Supernova, stub: StubProvider, path: Path) -> None:
    """gpt-4o-mini counts 48,169 tokens for an image: its hold covers them, and the cost is exact."""
    stub.script.append(Answer("A face.", usage=Usage(prompt=48_180, completion=3)))
    reply = await nova.chat("What is this?", attachments=[SECRET])
    (row,) = clients.attempts(path)
    assert reply.cost_basis == "exact"
    assert row.cost <= row.held


async def test_max_cost_counts_attachments(nova: Supernova, stub: StubProvider) -> None:
    """A ``max_cost`` that is enough for the question is too low with an image."""
    await nova.chat("What is this?", max_cost="0.004")
    with pytest.raises(BudgetExceeded):
        await nova.chat("What is this?", max_cost="0.004", attachments=[SECRET])
    assert len(stub.chats) == 1


async def test_estimated_usage_counts_attachments(open_nova: Open, stub: StubProvider, path: Path) -> None:
    """If the provider reports no usage, the estimate counts the attachments."""
    nova = open_nova({"openai": {"url": stub.url, "models": {"standard": "gpt-4.1"}}})
    stub.script.append(Answer("A face.", usage="missing"))
    reply = await nova.chat("What is this?", attachments=[SECRET])
    assert reply.cost_basis == "estimated"
    assert 5_000 < reply.usage.prompt < 5_100


async def test_resumed_stream_sends_attachments_again(
    open_nova: Open, stub: StubProvider, stub_provider: Any
) -> None:
    """The provider that resumes a broken stream gets the attachment with its question."""
    broken = stub_provider(Failure(500, after_tokens=2, text="The chart shows that"))
    nova = open_nova({"openai": broken.url, "anthropic": stub.url})
    await nova.chat("What is this?", attachments=[SECRET], streaming=True)
    question, partial, instruction = stub.chats[0].body["messages"]
    assert question["content"][0]["source"]["data"] == ENCODED
    assert "source" not in str(partial) + str(instruction)


async def test_session_does_not_send_attachments_again(open_nova: Open, stub: StubProvider) -> None:
    """The next call of a session has the text of the message, and not its attachment."""
    nova = open_nova({"openai": stub.url}, sessions={"history": True})
    await nova.chat("What is this?", session_id="s", attachments=[SECRET])
    await nova.chat("And this?", session_id="s", attachments=[pdf()])
    first, _, last = stub.chats[1].body["messages"]
    assert first["content"] == "What is this?"
    assert [part["type"] for part in last["content"]] == ["file", "text"]


async def test_cached_answers_depend_on_attachments(open_nova: Open, stub: StubProvider) -> None:
    """A cached answer is for the same attachments only."""
    nova = open_nova({"openai": stub.url}, cache={"type": "memory"})
    cached = [
        (await nova.chat("What is this?", attachments=attached)).cached
        for attached in ([SECRET], [SECRET], [PNG], [], [SECRET])
    ]
    assert cached == [False, True, False, False, True]


async def test_attachments_are_not_stored_or_logged(
    nova: Supernova, stub: StubProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the database nor any log at level DEBUG, also LiteLLM's, has the bytes."""
    caplog.set_level(logging.DEBUG)
    await nova.chat("What is this?", attachments=[SECRET])
    nova.close()
    for file in path.parent.glob(f"{path.name}*"):
        assert SECRET[8:] not in file.read_bytes()
        assert ENCODED.encode()[:200] not in file.read_bytes()
    assert ENCODED[:100] not in caplog.text
    assert "nobody else" not in caplog.text


async def test_timeout_covers_reading_attachments(
    nova: Supernova, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If reading takes longer than the timeout, nothing is sent."""
    await nova.warm_up()
    release = Event()
    monkeypatch.setattr(client_requests, "attach", lambda *_: release.wait(60))
    with pytest.raises(ProviderTimeout, match=r"reading the attachments took all of the 0\.01 s"):
        await nova.chat("What is this?", attachments=[SECRET], timeout=0.01)
    release.set()
    assert stub.chats == []


async def test_hanging_attachments_use_no_thread_of_the_program(
    nova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty attachments that hang time out, and the program's own threads stay free."""
    await nova.warm_up()
    release = Event()
    monkeypatch.setattr(client_requests, "attach", lambda *_: release.wait(60))
    calls = (nova.chat("What is this?", attachments=[SECRET], timeout=0.01) for _ in range(40))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in found} == {ProviderTimeout}
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 30) == "free"
    assert isinstance(nova._runtime.engine._background._loop._default_executor, DaemonExecutor)  # type: ignore[attr-defined]
    release.set()


async def test_unreadable_attachment_is_refused(nova: Supernova, stub: StubProvider) -> None:
    """An attachment that cannot be read is an InvalidRequest, and nothing is sent."""
    with pytest.raises(InvalidRequest, match="attachment 1"):
        await nova.chat("What is this?", attachments=["/nowhere.png"])
    with pytest.raises(InvalidRequest, match="attachment 1"):
        async with nova.stream("What is this?", attachments=["/nowhere.png"]):
            pass
    assert stub.chats == []
