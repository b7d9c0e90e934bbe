"""The sentiment that an analysis states, and the rating of a reply."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from supernova_ai.analysis.sentiment import rate_reply, read_sentiment
from supernova_ai.types import Reply, Usage

GOOD = "Score: 0.40\nWhy: the report says that profit rose and that the outlook is strong."


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Score: 0.4", 0.4),
        ("Score: -0.35\nWhy: losses.", -0.35),
        ("score: +1", 1),
        ("Score: \N{MINUS SIGN}0.5", -0.5),
        ("**Score:** 0.4", 0.4),
        ("**Score**: **-.25**", -0.25),
        ("## Score: 0,4", 0.4),
        ("- Score = 0.4 (positive)", 0.4),
        ("```\nScore: 0.4\n```", 0.4),
        ("Here is my judgement:\n\nScore: 0.4.", 0.4),
        ("Score: -0.00", 0),
        ("Score: 0.4 - mildly positive", 0.4),
        ("Score: 0.4 (from -1 to 1)", 0.4),
        ("Score: 0.1\nWhy: it quotes 'Score: 1' of others.\nScore: 1", 0.1),
    ],
)
def test_a_score_is_read_in_the_forms_that_models_write(text: str, score: float) -> None:
    """The first line that begins with "Score:" counts, with or without Markdown."""
    assert read_sentiment(text) == score


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line"),
        ("It is positive: 0.4.", "no line"),
        ("The score: 0.4", "no line"),
        ("Scores: 0.4", "no line"),
        ("Score: positive", "no number"),
        ("Score: 40%", "no number"),
        ("Score: 4/5", "no number"),
        ("Score: 0.4 %", "no number"),
        ("Score:", "no number"),
        ("Score: nan", "no number"),
        ("Score: 1.5", "must be from -1 to 1"),
        ("Score: 7", "must be from -1 to 1"),
        ("Score: 1.2.3", "no number"),
        ("Score: 1 out of 10", "no number"),
        ("Score: 1 of 5", "no number"),
        ("Score: 1 (out of 10)", "no number"),
        ("Score:\n\n1. Profit rose.", "no number"),
        ("Score: -1 to 1 scale: 0.4", "no number"),
        ("Score: 0.5-0.7", "no number"),
        ("Score: 0.5 \N{EN DASH} 0.7", "no number"),
        pytest.param(f"Score: {'1' * 19_000}%", "no number", id="19,000 digits"),
    ],
)
def test_an_unreadable_score_gives_the_reason(text: str, words: str) -> None:
    """A score that cannot be read is not treated as neutral."""
    found = read_sentiment(text)
    assert isinstance(found, str)
    assert words in found


def reply(content: str, finish_reason: str = "stop") -> Reply:
    return Reply(
        content=content,
        provider="openai",
        model="gpt",
        tier="premium",
        cost=Decimal(0),
        cost_basis="exact",
        usage=Usage(),
        latency_s=0,
        first_token_s=None,
        request_id="r",
        attempts=(),
        finish_reason=finish_reason,
    )


def test_a_reply_gets_its_quality_and_sentiment() -> None:
    """The quality depends on sections and completeness; the reply has a sentiment, or the reason why not."""
    found = rate_reply(reply(GOOD), ("Score", "Why"), sentiment=True)
    assert (found.sentiment, found.no_sentiment) == (0.4, None)
    assert found.quality_score is not None
    assert found.quality_score > 0.7
    cut = rate_reply(reply(GOOD, "length"), ("Score", "Why"), sentiment=True).quality_score
    assert cut == pytest.approx(found.quality_score / 2)
    refused = rate_reply(reply("I am sorry, I cannot judge this text."), ("Score", "Why"), sentiment=True)
    assert refused.sentiment is None
    assert "Score:" in (refused.no_sentiment or "")
    assert (refused.quality_score or 0) < 0.2
    declined = rate_reply(replace(reply(""), refusal="I can not judge."), ("Score",), sentiment=True)
    assert declined.no_sentiment == "the model refused: I can not judge."
    other = rate_reply(reply(GOOD), (), sentiment=False)
    assert (other.sentiment, other.no_sentiment) == (None, None)
