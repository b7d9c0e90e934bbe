"""Joining the rest of an answer to the text shown: no repetition and no gap, however it is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.execution.resume import ResumeJoiner, continuation

SAID = "Buy bonds when others sell, and keep some"


def joined(said: str, *pieces: str) -> str:
    """Return all the text that the reader sees."""
    joiner = ResumeJoiner(said)
    shown = [joiner.feed(piece) for piece in pieces]
    return "".join([said, *shown, joiner.end()])


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
        "starts with a space",
        "starts without a space",
        "starts with a comma",
        "follows a comma",
        "follows a bracket",
        "follows a space",
        "repeats the last words",
        "repeats only the last words",
        "restarts from the beginning",
        "repeats only the whole text",
        "is empty",
        "splits a number at its point",
        "splits a number between digits",
        "starts with a word after a percent sign",
        "starts with a word after a number",
        "letters beyond ASCII",
    ],
)
def test_rest_is_joined(said: str, rest: str, text: str) -> None:
    """The rest continues the text shown, whether it comes in one piece or letter by letter."""
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
    """A restart must repeat all of the text shown; a few equal letters at its end are no repetition."""
    assert joined(said, rest) == text
    assert joined(said, *rest) == text


def test_apparent_repetition_is_shown() -> None:
    """Text that could be a repetition is held back, and is shown once it proves to be none."""
    rest = " Buy bonds when others sell at a loss."
    assert joined(SAID, *rest) == SAID + rest
    joiner = ResumeJoiner(SAID)
    assert joiner.feed("others sell") == ""
    assert joiner.feed(" at a loss.") == " others sell at a loss."
    assert joiner.feed(" others sell") == " others sell"


def test_restart_that_differs_is_shown() -> None:
    """A restart that then differs from the text shown is another answer, and all of it is shown."""
    rest = "Buy bonds, but not now."
    assert joined(SAID, *rest) == f"{SAID} {rest}"


def test_rest_that_cannot_be_a_repetition_is_shown_at_once() -> None:
    """A rest that cannot be a repetition is shown from its first piece on."""
    joiner = ResumeJoiner("word " * 10_000)
    assert joiner.feed("Now") == "Now"


texts = st.text(st.sampled_from("ab .1é"), max_size=30)


@st.composite
def splits(draw: st.DrawFn, text: st.SearchStrategy[str]) -> tuple[str, list[str]]:
    """Draw a text, and the pieces that it is cut into."""
    whole = draw(text)
    cuts = draw(st.lists(st.integers(0, len(whole))))
    return whole, [whole[start:end] for start, end in pairwise([0, *sorted(cuts), len(whole)])]


@given(texts, splits(texts))
def test_pieces_of_any_size_give_the_same_text(said: str, rest: tuple[str, list[str]]) -> None:
    """However the rest is cut into pieces, the joined text is the same."""
    whole, pieces = rest
    assert joined(said, *pieces) == joined(said, whole)


@given(texts, texts)
def test_only_repetitions_are_dropped(said: str, rest: str) -> None:
    """The part of the rest that is shown is its end; the dropped part repeats the text shown before."""
    shown = joined(said, rest)[len(said) :]
    kept = shown if rest.endswith(shown) else shown[1:]  # with the space between two words
    assert rest.endswith(kept)
    dropped = rest[: len(rest) - len(kept)]
    assert said.endswith(dropped)


@given(st.text(min_size=1, max_size=900))
def test_restarts_are_dropped(said: str) -> None:
    """A rest that repeats the whole text from its start is shown once."""
    assert joined(said, said) == said
    assert joined(said, f"{said}.") == f"{said}."


def test_continuation_has_the_answer_so_far_and_an_instruction() -> None:
    """The next provider gets the question, the answer so far as its own, and the instruction to continue."""
    question = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "What now?"})
    *before, said, asked = continuation(question, SAID)
    assert tuple(before) == question
    assert said == {"role": "assistant", "content": SAID}
    assert asked["role"] == "user"
    assert "exactly where it stops" in asked["content"]
