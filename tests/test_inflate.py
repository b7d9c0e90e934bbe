"""Decompression gives zlib's result in small pieces and never exceeds its limit."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.inflate import Inflater, inflate

COMPRESS: Any = st.sampled_from((gzip.compress, zlib.compress))


@given(text=st.binary(max_size=300_000), compress=COMPRESS, step=st.integers(min_value=1, max_value=5000))
def test_pieces_come_to_the_whole(text: bytes, compress: Any, step: int) -> None:
    """A stream cut anywhere gives the original content, at most 64 KiB at a time."""
    packed, inflater = compress(text * 3), Inflater()
    pieces = [p for at in range(0, len(packed), step) for p in inflater.feed(packed[at : at + step])]
    assert b"".join(pieces) == text * 3
    assert all(len(piece) <= 65_536 for piece in pieces)
    assert inflate(packed, len(text) * 3) == text * 3


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (gzip.compress(bytes(10**7)), "has more than 1000 bytes"),
        (gzip.compress(b"short")[:-9], "cut off"),
        (b"not compressed", "damaged"),
        (b"", "cut off"),
    ],
    ids=["too much", "cut off", "damaged", "empty"],  # gzip data contains the time
)
def test_bad_data_is_refused(packed: bytes, words: str) -> None:
    """Data that is too large, cut off or damaged has its own error message."""
    with pytest.raises(ValueError, match=words):
        inflate(packed, 1000)
