"""A model's answer is read from JSON, broken JSON or prose, in linear time."""

from __future__ import annotations

import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.advisor import answer
from supernova_ai.advisor.answer import MOST_SENTENCES, read_answer
from tests.advisor.sample_advice import GOOD, RANGE, RISING, VOLUME

READ = {"for": [RISING], "against": [VOLUME], "risk": [RANGE]}
PROSE = f"""Sure, here is my answer.

## Why
- {RISING}
**What speaks against it**
1. {VOLUME}

Risk:
{RANGE}
"""


@pytest.mark.parametrize(
    "text",
    [GOOD, f"```json\n{GOOD}\n```", f"Here it is: {GOOD} I hope that it helps.", GOOD[:-2], PROSE],
    ids=["JSON", "fenced", "with a preamble", "cut off", "prose"],
)
def test_every_shape_gives_the_same_sentences(text: str) -> None:
    """A schema, JSON in a text, JSON that was cut off, and headings in prose."""
    assert read_answer(text) == READ


@pytest.mark.parametrize(
    "text",
    ["", "I cannot help.", "{}", "[]", '{"for_it": 5, "risk": [null, {"a": 1}]}', '{"for_it"', "{" * 500],
)
def test_an_answer_without_sections_has_no_sentences(text: str) -> None:
    """Whatever it is, nothing fails."""
    assert read_answer(text) == {"for": [], "against": [], "risk": []}


def test_an_item_with_several_sentences_is_split() -> None:
    """A text instead of a list too; bullets, quotes and bold are left out."""
    text = json.dumps({"for_it": "**{a}.** {b.vs.c}!\n- {d}.", "against_it": [], "risk": []})
    assert read_answer(text)["for"] == ["{a}.", "{b.vs.c}!", "{d}."]


def test_the_number_of_sentences_is_bounded() -> None:
    """What comes after the eighth sentence of a section is not read."""
    text = json.dumps({"for_it": ["{close}."] * 1000})
    assert len(read_answer(text)["for"]) == MOST_SENTENCES


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """No text makes it fail."""
    assert set(read_answer(text)) == {"for", "against", "risk"}


def test_the_example_in_the_docstring() -> None:
    """It gives what it shows."""
    result = doctest.testmod(answer)
    assert (result.failed, result.attempted) == (0, 1)
