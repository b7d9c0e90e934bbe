"""Decompress what came from outside, never to more than a given size: 2 MB of gzip may hold 2 GB of zeros."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PIECE = 65_536
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32


class Inflater:
    """Decompress one gzip or zlib stream as its pieces come."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_ZLIB_OR_GZIP)

    def feed(self, compressed: bytes) -> Iterator[bytes]:
        """Yield what the next compressed bytes hold, at most 64 KiB at a time.

        Raises:
            ValueError: the data is damaged.
        """
        try:
            while piece := self._stream.decompress(compressed, _PIECE):
                compressed = self._stream.unconsumed_tail
                yield piece
        except zlib.error as error:
            raise ValueError(f"the compressed data is damaged: {error}") from None


def inflate(compressed: bytes, most: int) -> bytes:
    """Return what a whole gzip or zlib stream holds.

    Raises:
        ValueError: it holds more than ``most`` bytes, or is damaged or cut off.
    """
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        held = stream.decompress(compressed, most + 1)
    except zlib.error as error:
        raise ValueError(f"the compressed data is damaged: {error}") from None
    if len(held) > most:
        raise ValueError(f"the compressed data holds more than {most} bytes")
    if not stream.eof:
        raise ValueError("the compressed data is cut off")
    return held
