"""Invisible characters are made visible or escaped, and no other character changes."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.characters import escaped, visible

KEPT = "\u061c\u200c\u200d\u200e\u200f"


def hidden(character: str) -> bool:
    """Return whether Unicode classes it as a control, format character, line separator or surrogate."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


SIGNS_OF_SCRIPTS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Format characters with a glyph, before digits or verses, and those of Egyptian and Kaithi."""


def test_every_invisible_character_is_replaced() -> None:
    """No control, format or separator character stays, except in prose those that it needs."""
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    drawn = {*SIGNS_OF_SCRIPTS, *map(chr, range(0x13430, 0x13440))}
    suspects = [one for one in every if hidden(one) and one not in drawn]
    assert [one for one in suspects if visible(one) == one] == []
    assert [one for one in suspects if visible(one, prose=True) == one] == ["\t", "\n", *KEPT]


@pytest.mark.parametrize(
    "text",
    [
        "Buy low — sell high: 5 % of $1,000.00 (±2)",
        "債券 سعر می\u200cخواهم 👩\u200d💻 ❤\ufe0f e\u0301",
        "one\n\ttwo\r\nthree",
    ],
)
def test_prose_is_unchanged(text: str) -> None:
    """Letters of any script, emoji, tabs and line endings stay."""
    assert visible(text, prose=True) == text


def test_a_line_stays_one_line() -> None:
    """In a name or id a line break is replaced too, so that it cannot forge a second line."""
    assert visible("ann\r\nerror: none\u2028x\x85") == "ann␍␊error: none\ufffdx\ufffd"


@given(st.lists(st.text(alphabet="a\x1b]0;\x07\r\n\u202e\x9b🙂")))
def test_a_stream_is_cleaned_piece_by_piece(pieces: list[str]) -> None:
    """A stream that is cut anywhere gives the same result as the whole text, but for carriage returns."""
    together = "".join(visible(piece, prose=True) for piece in pieces)
    assert together.replace("\r", "") == visible("".join(pieces), prose=True).replace("\r", "")


@given(st.text(st.characters(), max_size=20))
def test_escaped_json_means_the_same(text: str) -> None:
    """Escaped JSON parses to the same value and has no invisible character."""
    notation = escaped(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(notation) == {"text": text}
    assert visible(notation) == notation
