"""Master keys as text in files: what a file may hold, and which file beside a named one holds the store's."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from supernova_ai.config import data_folder
from supernova_ai.errors import MasterKeyError
from supernova_ai.keys.master import MasterKey
from supernova_ai.paths import open_regular
from supernova_ai.secret import Secret

FILE_VARIABLE = "SUPERNOVA_MASTER_KEY_FILE"
USUAL_FILE = "master.key"
"""The file in the data folder that is used without the variable; ``supernova setup`` makes it."""

FORMAT = (
    "32 random bytes as hex (64 characters) or base64 (44 characters); `openssl rand -hex 32` generates them"
)


class Source(NamedTuple):
    """A place of a master key: its kind, one of ``KINDS``, and its name in messages."""

    kind: str
    name: str

    def __str__(self) -> str:
        return self.name


class Found(NamedTuple):
    """A master key in hex, and where it was found."""

    text: Secret
    source: Source

    @property
    def master(self) -> MasterKey:
        """The keys derived from it."""
        raw = bytes.fromhex(self.text.reveal())
        return MasterKey.of(raw, kind=self.source.kind, source=self.source.name)


def named_file(environ: Mapping[str, str], expected: str | None) -> Found | None:
    """Return the master in the file of ``SUPERNOVA_MASTER_KEY_FILE``, None without the variable.

    Args:
        expected: the id of the store's master, None if it has none yet.

    Raises:
        MasterKeyError: the file cannot be used.
    """
    if not (name := environ.get(FILE_VARIABLE)):
        return None
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises without a home folder
    return _around(path, expected, f" ({FILE_VARIABLE})") or _read(path, f" ({FILE_VARIABLE})")


def unnamed_file(environ: Mapping[str, str], expected: str | None) -> Found | None:
    """Return the master in the data folder if the store uses it, or uses none yet; as ``named_file``."""
    found = _around(usual_file(environ), expected)
    return found if found and expected in (None, found.master.id) else None


def usual_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the file in the data folder, which need not exist."""
    return data_folder(environ) / USUAL_FILE


def next_file(path: Path) -> Path:
    """Return the file of the next master while it is not in force, or was put in force a moment ago."""
    return path.with_name(f"{path.name}.next")


def earlier_file(path: Path, master_id: str) -> Path:
    """Return the file of an earlier master, which other databases may still use."""
    return path.with_name(f"{path.name}.{master_id[:8]}")


def choose(expected: str | None, candidates: Iterable[Found | None]) -> Found | None:
    """Return the candidate that is the store's master, else the first one."""
    first = None
    for found in candidates:
        if found and expected in (None, found.master.id):
            return found
        first = first or found
    return first


def read_file(path: Path, source: Source, *, private: bool = False) -> Found:
    """Read a master key from a file.

    Args:
        private: it must belong to this user, with mode 0600.

    Raises:
        MasterKeyError: it cannot be read, others may read it, or it holds no master key.
    """
    try:
        with open_regular(path.expanduser()) as file:
            # Of the open file: the path could lead to another file by now.
            status = os.fstat(file.fileno())
            if private and os.name == "posix":
                if status.st_uid != os.geteuid():
                    raise MasterKeyError(
                        f"{source} belongs to another user: `chown` it to the user who runs this process"
                    )
                if status.st_mode & 0o177:
                    mode = status.st_mode & 0o777
                    raise MasterKeyError(f"{source} has mode {mode:04o}, more than 0600: `chmod 600` it")
            text = secret(file.read(1024).decode("latin-1"))
    except OSError as error:
        raise MasterKeyError(f"{source} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:  # the path has "~", and there is no home folder
        raise MasterKeyError(f"{source} cannot be read: {error} Write the full path") from error
    key = normalized(text)
    if key is None:
        raise MasterKeyError(f"{source} must hold {FORMAT}")
    return Found(key, source)


def secret(text: str) -> Secret | None:
    """Return the text without space around it; None if it is empty."""
    return Secret(text.strip()) if text.strip() else None


def normalized(text: Secret | None) -> Secret | None:
    """Return a master key in hex or base64 as lowercase hex; None if it is neither."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text.reveal()):
        return Secret(text.reveal().lower())
    if re.fullmatch(r"[0-9A-Za-z+/_\-]{43}=", text.reveal()):
        url_safe = str.maketrans("+/", "-_")
        return Secret(base64.urlsafe_b64decode(text.reveal().translate(url_safe)).hex())
    return None


def _around(path: Path, expected: str | None, named_by: str = "") -> Found | None:
    """Return the store's master in the file or beside it, else the one in the file."""
    # A rotation puts the next master beside the file, then in its place: hence the second look at the file.
    places = (path, next_file(path), earlier_file(path, expected or ""), path)
    return choose(expected, (_read_if_there(one, named_by) for one in places))


def _read(path: Path, named_by: str) -> Found:
    return read_file(path, Source("file", f"the file {path}{named_by}"), private=True)


def _read_if_there(path: Path, named_by: str) -> Found | None:
    try:
        return _read(path, named_by) if path.exists() else None
    except MasterKeyError:
        if path.exists():
            raise
        return None  # it was renamed just now
