"""Analyses: the quality of an answer, and the sentiment as a number."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supernova_ai import Supernova
from supernova_ai.testing import Answer, StubProvider

KINDS = ("financial", "news", "risk", "sentiment", "summary")
GOOD = "Profit rose by a tenth, and the outlook for the year is strong. The debt is a risk."


@pytest.fixture
def nova(open_nova: Callable[..., Supernova], stub: StubProvider) -> Supernova:
    models = dict.fromkeys(("economy", "standard", "premium"), "gpt-4o-mini")
    return open_nova({"openai": {"url": stub.url, "models": models}})


@pytest.mark.parametrize("kind", KINDS)
async def test_every_analysis_has_a_quality(nova: Supernova, stub: StubProvider, kind: str) -> None:
    """A good answer has a higher quality than a refusal, for every type, with and without streaming."""
    stub.script.extend([f"Score: 0.5\nWhy: {GOOD}", "I am sorry, I cannot help with that."])
    good = await nova.analyze("Acme rose.", analysis_type=kind, streaming=True)
    bad = await nova.analyze("Acme rose.", analysis_type=kind)
    assert good.quality_score is not None
    assert bad.quality_score is not None
    assert good.quality_score > 0.7
    assert bad.quality_score < 0.2


async def test_a_chat_has_no_quality(nova: Supernova) -> None:
    """The quality of a chat is None, because nothing defines a good answer."""
    assert (await nova.chat("What now?")).quality_score is None


async def test_sentiment_is_a_number(nova: Supernova, stub: StubProvider) -> None:
    """A sentiment analysis asks for a score, and the reply has it as a number."""
    stub.script.append(f"Score: -0.40\nWhy: {GOOD}")
    reply = await nova.analyze("Acme fell.", analysis_type="sentiment")
    assert (reply.sentiment, reply.no_sentiment) == (-0.4, None)
    assert "Score:" in stub.chats[0].body["messages"][-1]["content"]


@pytest.mark.parametrize("answer", ["It is neutral.", "Score: strong", "Score: 12", "I am sorry."])
async def test_an_unreadable_sentiment_is_none(nova: Supernova, stub: StubProvider, answer: str) -> None:
    """It is never 0: the reply has the reason, the content and the cost."""
    stub.script.append(answer)
    reply = await nova.analyze("Acme fell.", analysis_type="sentiment")
    assert reply.sentiment is None
    assert reply.no_sentiment
    assert reply.content == answer
    assert reply.cost > 0


async def test_other_kinds_have_no_sentiment(nova: Supernova, stub: StubProvider) -> None:
    """A line that looks like a score is ignored in other analyses."""
    stub.script.append("Score: 0.9 is what the analyst gave.")
    reply = await nova.analyze("Acme rose.", analysis_type="news")
    assert (reply.sentiment, reply.no_sentiment) == (None, None)


async def test_answer_that_is_cut_off_has_half_the_quality(nova: Supernova, stub: StubProvider) -> None:
    """An answer that ended at max_tokens is incomplete."""
    stub.script.extend([Answer(GOOD), Answer(GOOD)])
    whole = await nova.analyze("Acme rose.")
    cut = await nova.analyze("Acme rose.", max_tokens=12)
    assert cut.finish_reason == "length"
    assert (cut.quality_score or 0) <= (whole.quality_score or 0) / 2
