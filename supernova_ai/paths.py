"""Files and folders that a user names: regular files, private folders, and what can be a database."""

from __future__ import annotations

import os
import re
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


_REMEDY = "must be a file, or postgresql://USER:PASSWORD@HOST/DATABASE"


def database_fault(where: str) -> str | None:
    """Return why this cannot be the database, or None. What it says never repeats a part of a password.

    >>> database_fault(":memory:")
    'must be a file, or postgresql://USER:PASSWORD@HOST/DATABASE: what is in memory is lost with the process'
    """
    if not where.strip() or any(ord(letter) < 0x20 for letter in where):
        return f"{_REMEDY}: it is empty, or holds a control character"
    if where.startswith("$") or "${" in where:
        return f"{_REMEDY}: variables are not replaced here, so write the value out"
    scheme, is_url, rest = where.partition("://")
    if ":memory:" in where or "mode=memory" in where:
        return f"{_REMEDY}: what is in memory is lost with the process"
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
    """Make the folder and those above it that are missing; only their owner may enter what is made.

    Raises:
        OSError: one of them cannot be made.
    """
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # a file of that name is told


def sync_folder(folder: Path) -> None:
    """Write the folder's entries to the disk: files that were just made, renamed or deleted in it."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
