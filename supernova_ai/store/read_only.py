"""A store that is only read: opening it creates nothing and runs no migration, and nothing can be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from peewee import Database, PeeweeException, SqliteDatabase

from supernova_ai.errors import StoreError
from supernova_ai.paths import database_fault, is_server, sqlite_path
from supernova_ai.store.database import Clock, get_meta, without_password
from supernova_ai.store.engines import snapshot
from supernova_ai.store.failures import explain
from supernova_ai.store.postgres import Postgres
from supernova_ai.store.schema import check

T = TypeVar("T")

_WAIT_S = 5
"""Seconds a read waits for a SQLite file that is locked."""


class ReadOnlyStore:
    """A database that others write; ``read`` runs an operation (a function of the database) on it.

    A user of PostgreSQL who may only SELECT is enough.

    Args:
        where: as for ``Store``.

    Raises:
        StoreError: there is none, it cannot be opened, or it lacks a migration of this version.
        SchemaTooNew: a newer version of this package wrote it.
    """

    def __init__(self, where: str | Path) -> None:
        self.where = str(where)
        self._shown = without_password(self.where)
        if fault := database_fault(self.where):
            raise StoreError(f"'database' {fault}")
        self.now = Clock()
        self.file: Path | None = None  # of SQLite
        self._database = self._open(self.where)
        self.read(lambda database: check(database, self._shown))
        self.id = self.read(lambda database: get_meta(database, "store")) or ""

    def _open(self, where: str) -> Database:
        if is_server(where):
            return Postgres(f"postgresql://{where.partition('://')[2]}")
        try:
            path = sqlite_path(where).resolve()
            exists = path.is_file()
        except (ValueError, RuntimeError, OSError) as error:  # a NUL in the path, or "~" without a home
            raise StoreError(
                f"the database cannot be used ({self._shown!r}): {error}. Set 'database' to a full path"
            ) from error
        if not exists:
            raise StoreError(
                f"there is no database at {path} yet: the first request or the first key makes it"
            )
        self.file = path
        return SqliteDatabase(f"{path.as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)

    def read(self, operation: Callable[[Database], T]) -> T:
        """Run the operation on this thread, over a new connection; it sees one state of the database.

        Raises:
            StoreError: the database cannot be read.
        """
        try:
            with self._database.connection_context():
                self.now.follow(self._database)
                with snapshot(self._database):
                    return operation(self._database)
        except PeeweeException as error:
            raise explain(error, self._shown) from error

    def now_ms(self) -> int:
        """Return the time in Unix milliseconds."""
        return int(self.now() * 1000)
