"""Replace files of a configuration together: all or none, even if the process is killed in between.

A journal beside the base file has what is to be written. Once it is complete, the new content wins: if this
process dies, the next one that loads the configuration writes the rest.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from supernova_ai.errors import ConfigError
from supernova_ai.paths import new_file, reason_of, sync_folder

_PATIENCE_S = 60.0


@contextmanager
def locked(base: Path) -> Iterator[None]:
    """Let one process at a time edit the files of this base file; the others wait.

    Raises:
        ConfigError: the folder cannot be written, or another process takes too long.
    """
    from filelock import FileLock, Timeout  # here: it takes longer to import than reading a configuration

    base = base.resolve()
    try:
        lock = FileLock(_beside(base, "lock"), timeout=_PATIENCE_S, mode=0o600, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise ConfigError(f"another process has been editing {base} for a minute: try again") from None
    except OSError as error:
        raise _unwritable(base.parent, error) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def replacing(base: Path, files: Mapping[Path, bytes | None]) -> Iterator[None]:
    """Write the files, then run the block; if it fails, write back what they were. Call it while ``locked``.

    Args:
        files: the content of each; None removes it. A new file gets the mode of the base file. Of a link, the
            file that it leads to is written.

    Raises:
        ConfigError: a file cannot be written; all are as they were.
    """
    base = base.resolve()
    after = {path.resolve(): content for path, content in files.items()}
    before = {path: _content(path) for path in after}
    journal = _beside(base, "journal")
    try:
        _write(journal, json.dumps([[str(path), _text(content)] for path, content in after.items()]).encode())
        _write_all(base, after)
        yield
    except BaseException as error:
        _write_all(base, before)
        _remove(journal)
        if isinstance(error, OSError):
            raise _unwritable(base.parent, error) from None
        raise
    _remove(journal)


def finish(base: Path) -> None:
    """Write what a process that was killed had decided to write, and remove its temporary files."""
    base = base.resolve()
    journal, unfinished = _beside(base, "journal"), _temporary(_beside(base, "journal"))
    if not (journal.exists() or unfinished.exists()):
        return
    with suppress(ConfigError, OSError), locked(base):  # a user who may not write here uses what is there
        unfinished.unlink(missing_ok=True)
        if journal.exists():
            rows = json.loads(journal.read_bytes())
            _write_all(base, {Path(path): _bytes(text) for path, text in rows})
            _remove(journal)


def _write_all(base: Path, files: Mapping[Path, bytes | None]) -> None:
    for path, content in files.items():
        if content == _content(path):
            continue
        if content is None:
            _remove(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content, like=path if path.exists() else base)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _write(path: Path, content: bytes, *, like: Path | None = None) -> None:
    """Replace the file at once and durably, with the mode and the owner of another."""
    temporary = _temporary(path)
    temporary.unlink(missing_ok=True)
    with new_file(temporary) as file:
        file.write(content)
        if like is not None:
            shutil.copymode(like, temporary)
            _copy_owner(like, temporary)
    temporary.replace(path)
    sync_folder(path.parent)


def _copy_owner(like: Path, file: Path) -> None:
    """Give the file the other's owner, as far as this user may; on Windows it inherits its own."""
    if hasattr(os, "chown"):
        status = like.stat()
        with suppress(PermissionError):
            os.chown(file, status.st_uid, status.st_gid)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _beside(base: Path, kind: str) -> Path:
    return base.with_name(f".{base.name}.{kind}")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="surrogateescape")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode(errors="surrogateescape")


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{error.filename or folder} cannot be written: {reason_of(error)}; no file was changed"
    )
