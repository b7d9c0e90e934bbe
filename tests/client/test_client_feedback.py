"""Feedback through the client: on any answer in the ledger, beside the quality of analyses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import supernova_ai
from supernova_ai import InvalidRequest, Supernova, default_client, ratings
from supernova_ai.ratings import KeptFeedback
from supernova_ai.store import Store
from supernova_ai.store.tables import RatingRow
from supernova_ai.testing import StubProvider
from tests import clients
from tests.clients import vault_of

Open = Callable[..., Supernova]

GOOD = "Profit rose by a tenth, and the outlook for the year is strong. The debt is a risk."


@pytest.fixture
def nova(open_nova: Open, stub: StubProvider) -> Supernova:
    models = dict.fromkeys(("economy", "standard", "premium"), "gpt-4o-mini")
    return open_nova({"openai": {"url": stub.url, "models": models}}, cache={"type": "memory"})


def kept(path: Path) -> list[KeptFeedback]:
    with Store(path) as store:
        return ratings.latest(vault_of(store), limit=99)


async def test_answers_get_feedback(nova: Supernova, path: Path) -> None:
    """Of a chat, of the same from the cache, and of a stream; each is a request of its own."""
    first = await nova.chat("What now?", user_id="ann")
    again = await nova.chat("What now?", user_id="ann")
    async with nova.stream("And then?", user_id="ann") as stream:
        async for _ in stream:
            pass
    assert again.cached
    for reply, score in ((first, -0.5), (again, 0.5), (stream.reply, 1)):
        await nova.feedback(reply.request_id, score, comment=f"It is {score}.")
    assert {each.request: each.comment for each in kept(path)} == {
        first.request_id: "It is -0.5.",
        again.request_id: "It is 0.5.",
        stream.reply.request_id: "It is 1.",
    }
    assert {(each.user, each.model, each.prompt) for each in kept(path)} == {("ann", "gpt-4o-mini", "chat")}


async def test_an_unknown_request_is_refused(nova: Supernova) -> None:
    """The error names it."""
    with pytest.raises(InvalidRequest, match="no ended attempt of request 'nothing'"):
        await nova.feedback("nothing", "up")


async def test_feedback_opens_the_database_alone(nova: Supernova, path: Path) -> None:
    """Another client gives it without opening its providers, which would import LiteLLM."""
    reply = await nova.chat("What now?")
    async with Supernova(nova.config, master=clients.MASTER) as other:
        await other.feedback(reply.request_id, "up", "Good.")
        assert not other._is_open()
    assert [each.score for each in kept(path)] == [1]


async def test_the_default_client_takes_feedback(
    nova: Supernova, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function of the package gives it to the client that answers."""
    monkeypatch.setattr(default_client, "_default", nova)
    reply = await supernova_ai.chat("What now?")
    await supernova_ai.feedback(reply.request_id, "down")
    assert [each.score for each in kept(path)] == [-1]


async def test_the_quality_of_an_analysis_is_kept(nova: Supernova, stub: StubProvider, path: Path) -> None:
    """Also without feedback; feedback is added to it."""
    stub.script.extend([GOOD, "I am sorry."])
    replies = [await nova.analyze(text, user_id="ann") for text in ("Acme rose.", "Acme fell.")]
    await nova.chat("What now?")
    await nova.feedback(replies[0].request_id, "up")
    nova.close()
    with Store(path) as store:
        rows = store.read(lambda database: list(RatingRow.select().execute(database)))
    assert {row.request: (row.quality, row.score) for row in rows} == {
        reply.request_id: (round((reply.quality_score or 0) * 1000), score)
        for reply, score in zip(replies, (1000, None), strict=True)
    }


async def test_an_analysis_is_returned_if_its_quality_is_lost(
    nova: Supernova, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so: the caller has paid for the answer."""

    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(ratings, "_keep", fail)
    with caplog.at_level(logging.WARNING):
        reply = await nova.analyze("Acme rose.")
        nova.close()
    assert reply.content
    assert "ratings.quality.lost" in caplog.text
