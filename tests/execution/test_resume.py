"""Joining the rest of an answer to what was said: no repetition, no gap, whatever pieces it comes in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.execution.resume import ResumeJoiner, continuation

SAID = "Buy bonds when others sell, and keep some"


def joined(said: str, *pieces: str) -> str:
    """The text that the reader sees in all."""
    seam = ResumeJoiner(said)
    shown = [seam.feed(piece) for piece in pieces]
    return "".join([said, *shown, seam.end()])


@pytest.mark.parametrize(
    ("said", "rest", "text"),
    [
        (SAID, " cash.", f"{SAID} cash."),
        (SAID, "cash.", f"{SAID} cash."),
        (SAID, ", as ever.", f"{SAID}, as ever."),
        (f"{SAID},", "but not all.", f"{SAID}, but not all."),
        (f"{SAID} (", "cash)", f"{SAID} (cash)"),
        (f"{SAID}: ", "cash.", f"{SAID}: cash."),
        (SAID, "and keep some cash.", f"{SAID} cash."),
        (SAID, "others sell, and keep some", SAID),
        (SAID, f"{SAID} cash.", f"{SAID} cash."),
        (SAID, SAID, SAID),
        (SAID, "", SAID),
        ("It yields 3.", "5 % a year.", "It yields 3.5 % a year."),
        ("It yields 12", "50 a year.", "It yields 1250 a year."),
        ("It yields 3.5 %", "or so.", "It yields 3.5 % or so."),
        ("The S&P 500", "fell.", "The S&P 500 fell."),
        ("Größe", "über alles", "Größe über alles"),
    ],
    ids=[
        "goes on with a space",
        "goes on without one",
        "goes on with a comma",
        "goes on after a comma",
        "goes on after a bracket",
        "a space was said",
        "repeats the last words",
        "repeats the last words and no more",
        "restarts from the beginning",
        "restarts and says no more",
        "says nothing",
        "a number after its point",
        "a number in its middle",
        "a word after a mark",
        "a word after a number",
        "letters beyond ASCII",
    ],
)
def test_rest_fits(said: str, rest: str, text: str) -> None:
    """What the next provider says goes on where the first one stopped, in one piece or letter by letter."""
    assert joined(said, rest) == text
    assert joined(said, *rest) == text


@pytest.mark.parametrize(
    ("said", "rest", "text"),
    [
        ("Buy", "Buy low.", "Buy low."),
        ("Buy", "Buyers wait.", "Buy Buyers wait."),
        ("I", "I see.", "I see."),
        ("I", "It is.", "I It is."),
        ("A b", "b c", "A b b c"),
        ("", "Buy low.", "Buy low."),
        ("Buy", "", "Buy"),
        ("Buy", "B", "Buy B"),
    ],
)
def test_very_short_texts(said: str, rest: str, text: str) -> None:
    """A restart is known by all of what was said; a few letters that agree at the end are chance."""
    assert joined(said, rest) == text
    assert joined(said, *rest) == text


def test_what_looks_like_a_repetition_but_is_none_is_shown() -> None:
    """Words that were said before may be said again: they are held back for a while, and not lost."""
    rest = " Buy bonds when others sell at a loss."
    assert joined(SAID, *rest) == SAID + rest
    seam = ResumeJoiner(SAID)
    assert seam.feed("others sell") == ""
    assert seam.feed(" at a loss.") == " others sell at a loss."
    assert seam.feed(" others sell") == " others sell"


def test_restart_that_takes_another_turn_is_shown() -> None:
    """A new beginning that soon says something else is another answer, and nothing of it is dropped."""
    rest = "Buy bonds, but not now."
    assert joined(SAID, *rest) == f"{SAID} {rest}"


def test_long_texts_are_held_back_no_longer_than_they_may_repeat() -> None:
    """A rest that has nothing to do with what was said is shown from its first piece on."""
    seam = ResumeJoiner("word " * 10_000)
    assert seam.feed("Now") == "Now"


texts = st.text(st.sampled_from("ab .1é"), max_size=30)


@st.composite
def splits(draw: st.DrawFn, text: st.SearchStrategy[str]) -> tuple[str, list[str]]:
    """A text, and the pieces it may come in."""
    whole = draw(text)
    cuts = draw(st.lists(st.integers(0, len(whole))))
    return whole, [whole[start:end] for start, end in pairwise([0, *sorted(cuts), len(whole)])]


@given(texts, splits(texts))
def test_pieces_of_any_size_give_the_same_text(said: str, rest: tuple[str, list[str]]) -> None:
    """How the rest is cut into pieces makes no difference."""
    whole, pieces = rest
    assert joined(said, *pieces) == joined(said, whole)


@given(texts, texts)
def test_nothing_is_lost_but_repetitions(said: str, rest: str) -> None:
    """What is shown of the rest is its end; what is not was said before, at the end or from the start."""
    shown = joined(said, rest)[len(said) :]
    kept = shown if rest.endswith(shown) else shown[1:]  # with the space between two words
    assert rest.endswith(kept)
    dropped = rest[: len(rest) - len(kept)]
    assert said.endswith(dropped)


@given(st.text(min_size=1, max_size=900))
def test_restarts_are_dropped(said: str) -> None:
    """Whatever the text, one that is repeated from the start is seen once."""
    assert joined(said, said) == said
    assert joined(said, f"{said}.") == f"{said}."


def test_continuation_shows_what_was_said_and_asks_to_go_on() -> None:
    """The next provider is given the question, the answer so far as its own, and what to do with it."""
    question = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "What now?"})
    *before, said, asked = continuation(question, SAID)
    assert tuple(before) == question
    assert said == {"role": "assistant", "content": SAID}
    assert asked["role"] == "user"
    assert "exactly where it stops" in asked["content"]
