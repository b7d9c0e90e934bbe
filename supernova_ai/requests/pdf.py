"""Counting a document's pages, which may need its compressed parts."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pypdf import PdfReader, apply_configuration
from pypdf.errors import LimitReachedError

MOST_BYTES = 32 * 2**20
"""What the parts that hold the pages may come to, decompressed; pictures and fonts are left as they are."""


class _Reader(PdfReader):
    """Counts what it decompresses: pypdf bounds each part alone, and a small file may have hundreds."""

    _inflated: dict[int, int]

    def _get_object_from_stream(self, indirect_reference: Any) -> Any:
        found = super()._get_object_from_stream(indirect_reference)
        number, _ = self.xref_objStm[indirect_reference.idnum]
        self._inflated[number] = len(self.get_object(number).get_data())  # type: ignore[union-attr]
        if sum(self._inflated.values()) > MOST_BYTES:
            raise LimitReachedError(f"it holds more than {MOST_BYTES // 2**20} MiB besides its pictures")
        return found

    def __init__(self, file: BytesIO) -> None:
        self._inflated = {}
        super().__init__(file)


def pages_of(data: bytes) -> int | None:
    """Return how many pages the PDF has, None if it is encrypted; what pypdf raises for a damaged one."""
    with apply_configuration(
        array_based_stream_maximum_output_length=MOST_BYTES,
        lzw_maximum_output_length=MOST_BYTES,
        run_length_maximum_output_length=MOST_BYTES,
        zlib_maximum_output_length=MOST_BYTES,
    ):
        reader = _Reader(BytesIO(data))
        return None if reader.is_encrypted else len(reader.pages)
