"""Files and folders that a user names: regular files, private folders and databases."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

MAX_TEXT_BYTES = 32 * 2**20
"""The size limit of a text for a model; no model reads as much."""

MAX_CSV_BYTES = 256 * 2**20
"""The size limit of a CSV file: some millions of rows."""


def open_regular(path: str | Path, max_bytes: int | None = None) -> BinaryIO:
    """Open a regular file for reading bytes; links are followed.

    Devices and pipes are refused, because reading one may block or never end.

    Args:
        max_bytes: the size limit.

    Raises:
        OSError: it cannot be opened, is not a regular file, is too large, or its name is not possible.
    """
    try:
        # Non-blocking, because opening a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # the name has a NUL or a lone surrogate
        raise OSError(f"no file can have such a name: {error}") from None
    try:
        status = os.fstat(descriptor)  # of the open file: the path may lead elsewhere by now
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a regular file; copy its content into one")
        if max_bytes is not None and status.st_size > max_bytes:
            raise OSError(f"it is larger than {max_bytes // 2**20} MiB")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


_REMEDY = "must be a file, or postgresql://USER:PASSWORD@HOST/DATABASE"


def database_fault(where: str) -> str | None:
    """Return why this cannot be the database, None if it can. The text never contains part of a password.

    >>> database_fault(":memory:")
    'must be a file, or postgresql://USER:PASSWORD@HOST/DATABASE: memory is lost when the process ends'
    """
    if not where.strip() or any(ord(letter) < 0x20 for letter in where):
        return f"{_REMEDY}: it is empty, or contains a control character"
    if where.startswith("$") or "${" in where:
        return f"{_REMEDY}: variables are not expanded here, so write the value"
    scheme, is_url, rest = where.partition("://")
    if ":memory:" in where or "mode=memory" in where:
        return f"{_REMEDY}: memory is lost when the process ends"
    if not is_url:
        return None
    if scheme == "sqlite":
        path = rest.removeprefix("/")
        return None if rest.startswith("/") and path else "must be a file: write its path, without sqlite://"
    if scheme not in ("postgres", "postgresql"):
        return f"{_REMEDY}: there is no driver for this scheme"
    authority, rest = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    in_rest = rest if rest.startswith("?") else rest.partition("?")[0]
    if authority.count("@") > 1 or "@" in in_rest:
        return f"{_REMEDY}: write special characters of the user or password as %XX, such as %40 for @"
    return None


def private_folder(folder: Path) -> None:
    """Create the folder and its missing parents with mode 0700.

    Raises:
        OSError: one of them cannot be created.
    """
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # raises if there is a file of that name


def sync_folder(folder: Path) -> None:
    """Write the folder's entries to the disk: files that were just made, renamed or deleted in it."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
