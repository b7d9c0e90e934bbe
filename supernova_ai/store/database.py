"""The store: one database, one writer, and migrations that run when it is opened."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from peewee import Database, OperationalError, PeeweeException
from playhouse.migrations import Runner

from supernova_ai.errors import SchemaTooNew, StoreError
from supernova_ai.log import get_logger
from supernova_ai.paths import database_fault, private_folder
from supernova_ai.store.clock import Clock
from supernova_ai.store.facts import first_fact
from supernova_ai.store.postgres import Postgres, may_pass
from supernova_ai.store.sqlite import Sqlite
from supernova_ai.store.writer import Writer, explain

log = get_logger(__name__)

T = TypeVar("T")

_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""How long to wait between tries to open a database whose server restarts, in seconds."""

_MIGRATIONS = Path(__file__).with_name("migrations")


class Store:
    """An open database. Writes go through ``write``, reads through ``read``; both take an operation on it.

    Args:
        where: a path to a SQLite file (made, with its folder, if missing), or ``postgresql://…``.

    Raises:
        StoreError: it cannot be opened; the message says what to do.
        SchemaTooNew: a newer version of this package wrote it.
    """

    def __init__(self, where: str | Path) -> None:
        self.where = str(where)
        self.file: Path | None = None  # of SQLite
        if fault := database_fault(self.where):
            raise StoreError(f"'database' {fault}")
        self._shown = _without_password(self.where)
        self.now = Clock()
        try:
            if "://" in self.where and not self.where.startswith("sqlite:"):
                self._database: Database = _open_postgres(self.where, self._shown)
            else:
                self.file = _sqlite_path(self.where)
                self._database = _open_sqlite(self.file)
                if wider := too_open(self.where):
                    log.warning("store.file.too_open", reason=wider)
            with self._database.connection_context():
                self.now.follow(self._database)
                self.id = first_fact(self._database, "store", uuid.uuid4().hex)  # keys are sealed for it
        except (PeeweeException, OSError) as error:
            raise explain(error, self._shown) from error
        except (ValueError, RuntimeError) as error:  # a NUL in the path, or a "~" and no home folder
            raise StoreError(
                f"the database could not be used ({self._shown!r}): {error}. Set 'database' to a full path"
            ) from error
        self._writer = Writer(self._database, self._shown)

    def write(self, operation: Callable[[Database], T]) -> Future[T]:
        """Run the operation in the writer's next transaction; the future is done once it is durable."""
        return self._writer.submit(operation)

    def read(self, operation: Callable[[Database], T]) -> T:
        """Run the operation on this thread, over a connection of its own.

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
        """Whether it was closed: whatever is written now raises ``StoreError``."""
        return self._writer.closed

    def close(self) -> None:
        """Write what is queued and close. Calling again does nothing."""
        self._writer.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _without_password(where: str) -> str:
    scheme, is_url, rest = where.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}" if is_url else where


def _open_sqlite(path: Path) -> Sqlite:
    private_folder(path.parent)
    # The first open sets the WAL mode and the tables: one process at a time.
    with FileLock(f"{path}.lock", timeout=30, mode=0o600):
        database = Sqlite(path)
        with database.connection_context():
            _migrate(database, str(path))
    return database


def too_open(where: str | Path) -> str | None:
    """Say who else may read or write the database's file, None if nobody may, or it is no file here."""
    try:
        mode = _sqlite_path(str(where)).stat().st_mode & 0o777
    except (OSError, ValueError, RuntimeError):
        return None
    if os.name != "posix" or not mode & 0o177:
        return None
    return f"the database {where} has mode {mode:04o}, wider than 0600: `chmod 600` it"


def _sqlite_path(where: str) -> Path:
    return Path(where.removeprefix("sqlite:///")).expanduser()


def _open_postgres(url: str, shown: str) -> Postgres:
    rest = url.partition("://")[2]
    database = Postgres(f"postgresql://{rest}")
    for pause in (*_PAUSES_S, None):
        try:
            database.check_schema()
            # One transaction for all migrations: it waits for another machine that is at the same.
            with database.atomic():
                _migrate(database, shown)
            break
        except OperationalError as error:
            if pause is None or not may_pass(error):
                raise
            time.sleep(pause)
        finally:
            database.close()
    return database


def _migrate(database: Database, shown: str) -> None:
    runner = Runner(database, str(_MIGRATIONS))
    unknown = sorted(row.name for row in runner.status() if row.path is None)
    if unknown:
        raise SchemaTooNew(
            f"the database {shown} was written by a newer version of supernova-ai "
            f"(it has {', '.join(unknown)}): upgrade the package, or set 'database' to another place"
        )
    runner.up()
