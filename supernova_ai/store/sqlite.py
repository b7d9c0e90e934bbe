"""SQLite: one file, which must not move while it is open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase

from supernova_ai.errors import StoreError
from supernova_ai.store.failures import explain

SETTINGS: dict[str, Any] = {
    "timeout": 30,
    "lock_type": "IMMEDIATE",
    "pragmas": {"journal_mode": "wal", "synchronous": "full"},
}
"""Connection settings; the timeout is in seconds."""


class Sqlite(SqliteDatabase):
    """A database in a file, which is created with mode 0600 if missing.

    Each transaction and connection first checks that the file was not moved, deleted or replaced. Without the
    check SQLite would keep writing into the lost file, or create an empty one.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():  # else closing it would end the locks of this process's other connections
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite would let others read it
        self._path = path
        self._file = path.stat()
        super().__init__(str(path), **SETTINGS)

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction.

        Raises:
            StoreError: the file was moved, deleted or replaced, or cannot be reached.
        """
        self._check()
        super().begin(lock_type)

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open a connection; raises as ``begin`` does."""
        self._check()
        return bool(super().connect(reuse_if_open))

    def _check(self) -> None:
        try:
            same = os.path.samestat(self._file, self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            same = False
        except OSError as error:
            raise explain(error, str(self._path)) from error
        if not same:
            raise StoreError(
                f"the database {self._path} was moved, deleted or replaced while this process had it open: "
                f"put it back, or restart the process. Nothing was written"
            )
