"""Decompression with a size limit: 2 MB of gzip from outside may contain 2 GB of zeros."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PIECE = 65_536
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32


class Inflater:
    """Decompresses one gzip or zlib stream piece by piece."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_ZLIB_OR_GZIP)

    def feed(self, compressed: bytes) -> Iterator[bytes]:
        """Yield the content of the next compressed bytes, at most 64 KiB at a time.

        Raises:
            ValueError: the data is damaged.
        """
        try:
            while piece := self._stream.decompress(compressed, _PIECE):
                compressed = self._stream.unconsumed_tail
                yield piece
        except zlib.error as error:
            raise ValueError(f"the compressed data is damaged: {error}") from None


def inflate(compressed: bytes, max_bytes: int) -> bytes:
    """Return the content of a complete gzip or zlib stream.

    Raises:
        ValueError: it has more than ``max_bytes`` bytes, or is damaged or cut off.
    """
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        content = stream.decompress(compressed, max_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"the compressed data is damaged: {error}") from None
    if len(content) > max_bytes:
        raise ValueError(f"the compressed data has more than {max_bytes} bytes")
    if not stream.eof:
        raise ValueError("the compressed data is cut off")
    return content
