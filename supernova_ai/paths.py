"""Files and folders that a user names: regular files, private folders and databases."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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


def reason_of(error: Exception) -> str:
    """Return why a file cannot be used; the caller's message has its path.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "prices.csv"))
    'No such file or directory'
    """
    return getattr(error, "strerror", None) or str(error)


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
    if re.match(r"\s*\w+\s*=", where):
        return f"{_REMEDY}: write a connection string as such a URL"
    scheme, is_url, rest = where.partition("://")
    if ":memory:" in where or "mode=memory" in where:
        return f"{_REMEDY}: memory is lost when the process ends"
    if where.startswith("file:"):
        return f"{_REMEDY}: write the path alone, without file: and parameters"
    if not is_url:
        return _device_fault(where)
    if scheme == "sqlite":
        path = rest.removeprefix("/")
        if not rest.startswith("/") or not path:
            return "must be a file: write its path, without sqlite://"
        if "/" in path and not path.startswith("/"):
            return f"must be a file: this URL is the relative path {path}, so write that, or /{path}"
        return _device_fault(path)
    if scheme not in ("postgres", "postgresql"):
        return f"{_REMEDY}: there is no driver for this scheme"
    authority, rest = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    in_rest = rest if rest.startswith("?") else rest.partition("?")[0]
    if authority.count("@") > 1 or "@" in in_rest:
        return f"{_REMEDY}: write special characters of the user or password as %XX, such as %40 for @"
    return None


def is_server(where: str) -> bool:
    """Return whether the database is a server's, and no file.

    >>> is_server("postgresql://db/nova"), is_server("sqlite:////srv/nova.db"), is_server("/srv/nova.db")
    (True, False, False)
    """
    return "://" in where and not where.startswith("sqlite:")


def _device_fault(path: str) -> str | None:
    with suppress(OSError):
        if not stat.S_ISREG(mode := Path(path).stat().st_mode) and not stat.S_ISDIR(mode):
            return f"{_REMEDY}: {path} is a device or a pipe"
    return None


@dataclass(frozen=True, slots=True)
class AccessFault:
    """Why another user may read or change a file, and the command against it.

    ``foreign``: the file belongs to another user. ``mode`` is the one it should have.
    """

    reason: str
    remedy: str
    foreign: bool
    mode: int


def access_fault(path: Path, *, private: bool) -> AccessFault | None:
    """Return how another user may access the file; None if none may, or there is no such file.

    It may belong to this user or root. A file that is mounted read-only is as its mounter wants it, which
    containers and Kubernetes use. A group that only its user is in may write.

    Args:
        private: others may not even read it.
    """
    if os.name != "posix":
        return None
    try:
        status = path.stat()
        read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except (OSError, ValueError):
        return None
    mode, me = stat.S_IMODE(status.st_mode), os.geteuid()
    if status.st_uid not in (me, 0) and not read_only:
        reason = f"{path} belongs to another user (uid {status.st_uid}), who may change it"
        return AccessFault(reason, f"chown {me} {path}", True, mode)
    writers = 0 if read_only else 0o002 if _is_alone_in_group(status) else 0o022
    # A service reads a file of root through its group.
    readers = 0o037 if status.st_uid == 0 != me else 0o077
    if not mode & (readers if private else writers):
        return None
    right = mode & ~(readers if private else 0o022)
    may = "read or change" if private else "change"
    reason = f"{path} has mode {mode:04o}, so other users may {may} it"
    return AccessFault(reason, f"chmod {right:o} {path}", False, right)


def _is_alone_in_group(status: os.stat_result) -> bool:
    """Say whether the file's group is the one that many systems make for each user."""
    import grp  # not on Windows
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner and not set(group.gr_mem) - {owner}


def private_folder(folder: Path) -> None:
    """Create the folder and its missing parents with mode 0700.

    Raises:
        OSError: one of them cannot be created.
    """
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # raises if there is a file of that name


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that only this user may read; at the end of the block its content is on the disk.

    ``sync_folder`` makes its name durable.

    Raises:
        FileExistsError: there is one.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Write the folder's entries to the disk: files that were just made, renamed or deleted in it."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def permission_warning(where: str | Path) -> str | None:
    """Return a warning if other users may access the database file; None if not, or there is no file."""
    try:
        fault = access_fault(sqlite_path(str(where)), private=True)
    except RuntimeError:  # "~" without a home folder
        return None
    return f"{fault.reason}: `{fault.remedy}`" if fault else None


def sqlite_path(where: str) -> Path:
    """Return the path of a SQLite file that may be given as a URL."""
    return Path(where.removeprefix("sqlite:///")).expanduser()
