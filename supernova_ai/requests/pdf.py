"""The number of pages of a PDF, which may require decompressing parts of it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pypdf import PdfReader, apply_configuration
from pypdf.errors import LimitReachedError

MAX_BYTES = 32 * 2**20
"""Decompressed size of the parts that list the pages; pictures and fonts are not decompressed."""


class _Reader(PdfReader):
    """Limits all decompressed parts together: pypdf limits each, and a small file may have hundreds."""

    _inflated: dict[int, int]

    def _get_object_from_stream(self, indirect_reference: Any) -> Any:
        found = super()._get_object_from_stream(indirect_reference)
        number, _ = self.xref_objStm[indirect_reference.idnum]
        self._inflated[number] = len(self.get_object(number).get_data())  # type: ignore[union-attr]
        if sum(self._inflated.values()) > MAX_BYTES:
            raise LimitReachedError(f"it holds more than {MAX_BYTES // 2**20} MiB besides its pictures")
        return found

    def __init__(self, file: BytesIO) -> None:
        self._inflated = {}
        super().__init__(file)


def pages_of(data: bytes) -> int | None:
    """Return the number of pages of a PDF; None if it is encrypted.

    Raises:
        Exception: the PDF is damaged; pypdf has no common class for that.
    """
    with apply_configuration(
        array_based_stream_maximum_output_length=MAX_BYTES,
        lzw_maximum_output_length=MAX_BYTES,
        run_length_maximum_output_length=MAX_BYTES,
        zlib_maximum_output_length=MAX_BYTES,
    ):
        reader = _Reader(BytesIO(data))
        return None if reader.is_encrypted else len(reader.pages)
