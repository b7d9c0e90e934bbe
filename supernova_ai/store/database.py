"""The store: opening a database, reading and writing it, its clock and its ``meta`` table."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from copy import copy
from pathlib import Path
from typing import Any, TypeVar

from peewee import Database, OperationalError, PeeweeException, PostgresqlDatabase, SqliteDatabase

from supernova_ai.errors import StoreError
from supernova_ai.log import get_logger
from supernova_ai.paths import database_fault, is_server, permission_warning, private_folder, sqlite_path
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.failures import explain
from supernova_ai.store.postgres import Postgres, is_transient
from supernova_ai.store.schema import is_current, migrate
from supernova_ai.store.sqlite import Sqlite
from supernova_ai.store.tables import MetaRow
from supernova_ai.store.writer import Job, Outcome, Together, Writer

log = get_logger(__name__)

T = TypeVar("T")

_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between attempts to connect to a server that restarts."""


class Clock:
    """Unix time in seconds: of this machine, or of the server after ``follow``.

    A file is shared by the processes of one machine, which have one clock. The clocks of machines that share
    a server may differ, so they follow the server's; in between they count with their monotonic clock.
    """

    def __init__(self) -> None:
        self._offset: float | None = None

    def __call__(self) -> float:
        """Return the time."""
        return time.time() if self._offset is None else time.monotonic() + self._offset

    def follow(self, database: Database) -> None:
        """Read the server's clock; without a server, do nothing."""
        if not isinstance(database, PostgresqlDatabase):
            return
        asked = time.monotonic()
        ((now,),) = database.execute_sql("SELECT extract(epoch FROM clock_timestamp())").fetchall()
        self._offset = float(now) - (asked + time.monotonic()) / 2


def get_meta(database: Database, name: str) -> str | None:
    """Return the value of that name in the ``meta`` table, None if there is none."""
    for (value,) in damaged_rows(database, "SELECT value FROM meta WHERE name = ?", name):
        return str(value)
    return None


def set_meta(database: Database, name: str, value: str) -> None:
    """Store the value under that name, replacing an earlier one."""
    MetaRow.insert(name=name, value=value).on_conflict(
        conflict_target=[MetaRow.name], preserve=[MetaRow.value]
    ).execute(database)


def set_meta_default(database: Database, name: str, value: str) -> str:
    """Store the value unless there is one of that name; return the stored one."""
    MetaRow.insert(name=name, value=value).on_conflict_ignore().execute(database)
    return get_meta(database, name) or value


def log_user_key(database: Database) -> bytes:
    """Return the key with which logs hash users; the first call for a store makes it."""
    return bytes.fromhex(set_meta_default(database, "log.users", secrets.token_hex(32)))


class Store:
    """An open database; ``write`` and ``read`` run an operation (a function of the database) on it.

    Opening runs the migrations.

    Args:
        where: a path to a SQLite file (created with its folder if missing), or ``postgresql://…``.

    Raises:
        StoreError: it cannot be opened; the message says what to do.
        SchemaTooNew: a newer version of this package wrote it.
    """

    def __init__(self, where: str | Path) -> None:
        self.where = str(where)
        self.file: Path | None = None  # of SQLite
        if fault := database_fault(self.where):
            raise StoreError(f"'database' {fault}")
        self._shown = without_password(self.where)
        self.now = Clock()
        try:
            if is_server(self.where):
                self._database: Database = _open_postgres(self.where, self._shown)
            else:
                self.file = sqlite_path(self.where)
                self._database = _open_sqlite(self.file)
                if reason := permission_warning(self.where):
                    log.warning("store.file.too_open", reason=reason)
            with self._database.connection_context():
                self.now.follow(self._database)
                # Encrypted keys are bound to this id.
                self.id = set_meta_default(self._database, "store", uuid.uuid4().hex)
        except (PeeweeException, OSError) as error:
            raise explain(error, self._shown) from error
        except (ValueError, RuntimeError) as error:  # the path has a NUL, or "~" without a home folder
            raise StoreError(
                f"the database could not be used ({self._shown!r}): {error}. Set 'database' to a full path"
            ) from error
        self._writer = Writer(self._database, self._shown)
        self._guard: Callable[[Database], object] | None = None

    def guarded(self, guard: Callable[[Database], object]) -> Store:
        """Return this store with a guard, which each write calls first; what it raises undoes the write."""
        store = copy(self)
        store._guard = guard
        return store

    def write(self, operation: Callable[[Database], T]) -> Future[T]:
        """Run the operation in the writer's next transaction; the future completes when it is durable."""
        guard = self._guard
        if guard is None:
            return self._writer.submit(operation)

        def guarded(database: Database) -> T:
            guard(database)
            return operation(database)

        return self._writer.submit(guarded)

    def write_together(self, operation: Callable[[Any], T], together: Together) -> Future[T]:
        """Run the operation in the writer's next transaction, by ``together`` with its neighbours."""
        guard = self._guard
        if guard is None:
            return self._writer.submit(operation, together)

        def guarded(database: Database, jobs: Sequence[Job[Any]], alone: bool) -> list[Outcome]:
            guard(database)
            return together(database, jobs, alone)

        return self._writer.submit(operation, guarded)

    def read(self, operation: Callable[[Database], T]) -> T:
        """Run the operation on this thread, over this thread's own connection.

        Raises:
            StoreError: the database cannot be read.
        """
        try:
            with self._database.connection_context():
                return operation(self._database)
        except PeeweeException as error:
            raise explain(error, self._shown) from error

    def now_ms(self) -> int:
        """Return the time in Unix milliseconds."""
        return int(self.now() * 1000)

    @property
    def closed(self) -> bool:
        """Whether the store is closed: writing raises ``StoreError``."""
        return self._writer.closed

    def close(self) -> None:
        """Commit the queued writes and close. A second call does nothing."""
        self._writer.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def without_password(where: str) -> str:
    """Return a path or URL as messages may show it: without user, password and parameters.

    >>> without_password("postgresql://ann:pw@db/nova?sslmode=require")
    'postgresql://db/nova'
    """
    scheme, is_url, rest = where.partition("://")
    # As libpq reads it: a user ends with "@", which comes before the first "/". A parameter may contain "@".
    return scheme + is_url + re.sub(r"^(?:[^/@]*@)+|\?.*", "", rest) if is_url else where


def _open_sqlite(path: Path) -> Sqlite:
    private_folder(path.parent)
    if _is_ready(path):
        return Sqlite(path)
    from filelock import FileLock  # here: it imports asyncio, and most commands find a database that is ready

    # One process at a time, because the first sets WAL mode and creates the tables.
    with FileLock(f"{path}.lock", timeout=30, mode=0o600):
        database = Sqlite(path)
        with database.connection_context():
            migrate(database, str(path))
    return database


def _is_ready(path: Path) -> bool:
    """Return whether the file is in WAL mode and had all migrations; nothing is changed or created."""
    if not path.is_file():
        return False
    reader = SqliteDatabase(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        with reader.connection_context():
            ((mode,),) = reader.execute_sql("PRAGMA journal_mode").fetchall()
            return mode == "wal" and is_current(reader)
    except PeeweeException:  # opening it to write reports the reason
        return False


def _open_postgres(url: str, shown: str) -> Postgres:
    rest = url.partition("://")[2]
    database = Postgres(f"postgresql://{rest}")
    for pause in (*_PAUSES_S, None):
        try:
            database.check_schema()
            # One transaction for all migrations: another machine that runs them waits for it.
            with database.atomic():
                migrate(database, shown)
            break
        except OperationalError as error:
            if pause is None or not is_transient(error):
                raise
            time.sleep(pause)
        finally:
            database.close()
    return database
