"""Reading a file that a user names: a regular one, of a sensible size."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST_TEXT = 32 * 2**20
"""Bytes of a text for a model: none reads as much."""

MOST_TABLE = 256 * 2**20
"""Bytes of a CSV file: some millions of rows."""


def open_regular(path: str | Path, most: int | None = None) -> BinaryIO:
    """Open a regular file to read its bytes; links are followed.

    Devices and pipes are refused: reading one may block, or never end.

    Args:
        most: bytes; a larger file is refused.

    Raises:
        OSError: it cannot be opened, is not a regular file, is too large, or no file can have such a name.
    """
    try:
        # Opening a pipe would wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a NUL in the name, or half a character
        raise OSError(f"no file can have such a name: {error}") from None
    try:
        status = os.fstat(descriptor)  # of the open file: the path may lead elsewhere by now
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a regular file; copy what it gives into one")
        if most is not None and status.st_size > most:
            raise OSError(f"it is larger than {most // 2**20} MiB")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
