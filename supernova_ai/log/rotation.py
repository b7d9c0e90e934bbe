"""A log file that several processes write: rotated by size and by day, compressed, and deleted when old."""

from __future__ import annotations

import fcntl  # not on Windows: see ``setup``
import gzip
import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from supernova_ai.errors import ConfigError
from supernova_ai.paths import private_folder, sync_folder

_DAY_S = 86_400
_COPY = 1 << 20


class LogFile(logging.Handler):
    """Appends each event to a file that only this user may read.

    Every line is one write under a lock of the file, so that lines of several processes never mix. A process
    that finds the file too large, or of an earlier day (UTC), renames it to ``NAME.2026-11-28.1``, and
    compresses it on another thread.

    Args:
        max_bytes: the file's size limit.
        keep_days: how long rotated files are kept.
        now: Unix time in seconds.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(
        self, path: Path, *, max_bytes: int, keep_days: int, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._path = path.expanduser()
        self._max_bytes = max_bytes
        self._keep_s = keep_days * _DAY_S
        self._now = now
        try:
            private_folder(self._path.parent)
            if self._path.exists() and not self._path.is_file():
                raise OSError("it is not a regular file")
            with self._locked() as descriptor:
                os.fchmod(descriptor, 0o600)
        except OSError as error:
            raise ConfigError(
                f"logs.file {path} cannot be written ({error.strerror or error}): name a file in a folder of "
                f"yours, or remove the setting to log to standard error"
            ) from None

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record; if that fails, print it to standard error with the reason."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        try:
            self._append(f"{line}\n".encode(errors="backslashreplace"))
        except OSError as error:
            sys.stderr.write(f"the log file {self._path} cannot be written ({error.strerror}): {line}\n")

    def rotate(self) -> None:
        """Rotate the file if it is of an earlier day, also if nobody writes to it; then tidy."""
        with self._locked() as descriptor:
            self._rotate_if_due(os.fstat(descriptor), 0)
        self.tidy()

    def tidy(self) -> None:
        """Compress the rotated files, also those a killed process left, and delete those that are too old."""
        rotated = re.compile(rf"{re.escape(self._path.name)}\.\d{{4}}-\d\d-\d\d\.\d+(\.gz)?")
        for file in sorted(self._path.parent.iterdir()):
            if not rotated.fullmatch(file.name):
                continue
            with suppress(FileNotFoundError):  # another process was faster
                if file.stat().st_mtime < self._now() - self._keep_s:
                    file.unlink()
                elif file.suffix != ".gz":
                    _compress(file)

    def tidy_in_background(self) -> None:
        """Tidy on a thread, because compressing takes a second; what fails is tried at the next rotation."""

        def work() -> None:
            with suppress(OSError):  # such as a full disk
                self.tidy()

        with suppress(RuntimeError):  # the interpreter is exiting
            threading.Thread(target=work, name="supernova-log").start()

    def _append(self, line: bytes) -> None:
        while True:
            with self._locked() as descriptor:
                status = os.fstat(descriptor)
                if not self._rotate_if_due(status, len(line)):
                    _write(descriptor, line, status.st_size)
                    return
            self.tidy_in_background()

    def _rotate_if_due(self, status: os.stat_result, more: int) -> bool:
        """Rotate the locked file if it is of an earlier day, or would be too large; return whether it was."""
        full = status.st_size + more > self._max_bytes
        if not status.st_size or not (full or _day(status.st_mtime) != _day(self._now())):
            return False
        os.rename(self._path, self._free_name(status.st_mtime))  # noqa: PTH104 - to another name
        return True

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the file and lock it: it is the one of this name, until the lock is released."""
        while True:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                        yield descriptor
                        return
            finally:
                os.close(descriptor)

    def _free_name(self, written: float) -> Path:
        names = (self._path.with_name(f"{self._path.name}.{_day(written)}.{n}") for n in count(1))
        return next(name for name in names if not name.exists() and not Path(f"{name}.gz").exists())


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _write(descriptor: int, line: bytes, size: int) -> None:
    """Append the whole line, or nothing."""
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _compress(file: Path) -> None:
    """Replace a rotated file by its compressed form, unless another process does so."""
    with file.open("rb") as plain:
        try:
            fcntl.flock(plain, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        status = file.stat()  # raises if another process has just finished
        part = Path(f"{file}.gz.part")
        try:
            with open(part, "wb", opener=_private) as target:
                with gzip.open(target, "wb", compresslevel=6) as packed:
                    shutil.copyfileobj(plain, packed, _COPY)
                target.flush()
                os.fsync(target.fileno())
        except OSError:  # the disk is full: leave the room to others
            part.unlink()
            raise
        os.utime(part, (status.st_atime, status.st_mtime))  # its age is that of its lines
        part.replace(f"{file}.gz")
        sync_folder(file.parent)
        file.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
