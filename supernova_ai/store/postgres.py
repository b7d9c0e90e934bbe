"""PostgreSQL: one ledger for several machines."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import peewee
from peewee import InterfaceError, OperationalError, PostgresqlDatabase

from supernova_ai.errors import StoreError

_WAIT_S = 30
"""Seconds a batch waits for another machine's transaction."""

_IDLE_S = 20
"""Seconds until the server ends an idle transaction. Those who wait for its locks give up later."""

_BEGIN = f"""
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = '{_WAIT_S}s';
SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_S}s';
SELECT pg_advisory_xact_lock(1400204883, hashtext(current_schema()));
"""
# One round trip. The lock does what BEGIN IMMEDIATE does in SQLite: writing transactions run one after
# another, so they cannot deadlock. Each reads what earlier ones committed, because READ COMMITTED takes a new
# snapshot for each statement. If a machine vanishes in a transaction, the timeouts free the lock.

OVERLAPPING = "overlapping"
"""The mode of a transaction that shares the lock with others of its mode, and excludes all other writers."""

_BEGIN_OVERLAPPING = (
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    f"SELECT set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '{_WAIT_S}s', true), "
    f"set_config('idle_in_transaction_session_timeout', '{_IDLE_S}s', true)",
    "SELECT pg_advisory_xact_lock_shared(1400204883, hashtext(current_schema()))",
)

_DEADLOCK = "40P01"

peewee_errors: Any = vars(peewee)["__exception_wrapper__"]
"""Raises the driver's errors inside it as peewee's."""

_SEARCH_PATH = re.compile(r"search_path\s*=\s*(\S+)")

NO_OPTIONS = (
    "Take 'options=' out of 'database', and set the schema where the pooler connects: "
    "ALTER ROLE … SET search_path = …, or PgBouncer's connect_query"
)
"""The remedy if a pooler does not pass the URL's options to the server."""

_TRANSIENT = (
    "connection refused",
    "connection reset",
    "starting up",
    "shutting down",
    "closed the connection",
    "terminating connection",
    "too many clients",
    "remaining connection slots",
    "server_login_retry",
)


class RunAgain(OperationalError):
    """Nothing of this transaction is committed, and it may run once more.

    Args:
        beside_others: whether it may succeed while others write; else it must run alone.
    """

    def __init__(self, reason: str, *, beside_others: bool = False) -> None:
        super().__init__(reason)
        self.beside_others = beside_others


class _Queue(threading.local):
    """The statements of this thread's transaction that go with its next trip."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, Any]] = []
        self.begins = False


def is_transient(error: Exception) -> bool:
    """Return whether a connection failed for a temporary reason, such as a server that restarts."""
    text = str(error).lower()
    return any(sign in text for sign in _TRANSIENT)


def exceeds_limit(error: Exception) -> bool:
    """Return whether a statement was refused because of a limit of the server, such as a text in an index."""
    return _sqlstate(error).startswith("54")


def _sqlstate(error: Exception) -> str:
    """Return the server's code of an error; empty if it is no error of a server."""
    return str(getattr(error.__context__, "sqlstate", None) or "")


class Postgres(PostgresqlDatabase):
    """A database on a server; only one writing transaction runs at a time, unless it is ``OVERLAPPING``.

    Args:
        url: ``postgresql://…`` with any option of libpq.

    Raises:
        StoreError: the URL is wrong, or the driver is not installed; the message says what to do.
    """

    def __init__(self, url: str) -> None:
        try:
            from psycopg import ProgrammingError, conninfo
        except ImportError as error:
            raise StoreError(
                f"'database' is a postgresql:// URL, and its driver cannot be imported: {error}. "
                f"Install it: pip install 'supernova-ai[postgres]'"
            ) from error
        try:
            given = conninfo.conninfo_to_dict(url)
        except ProgrammingError:
            raise StoreError(  # libpq's message may contain part of the password
                "'database' is not a valid postgresql:// URL: write postgresql://USER@HOST/DATABASE, "
                "with special characters of a name or password as %XX"
            ) from None
        timeout: dict[str, Any] = {} if "connect_timeout=" in url else {"connect_timeout": 10}
        self._queue = _Queue()
        self._schemas = _SEARCH_PATH.findall(str(given.get("options", "")))
        super().__init__(
            url,
            prefer_psycopg3=True,
            application_name="supernova-ai",
            prepare_threshold=None,  # behind a pooler the next transaction may use another connection
            **timeout,
        )

    def check_schema(self) -> None:
        """Check that the schema from ``options=`` is in force: a pooler may ignore it silently.

        Raises:
            StoreError: it is not in force.
        """
        ((found,),) = self._run("SHOW search_path").fetchall()
        if self._schemas and self._schemas[-1] != found:
            raise StoreError(
                f"'database' sets search_path={self._schemas[-1]} and the server uses {found}: a pooler "
                f"ignores 'options='. {NO_OPTIONS}"
            )

    def begin(self, mode: str | None = None) -> None:
        """Begin a transaction, on a new connection if the server has dropped this one.

        An ``OVERLAPPING`` one begins with its first ``trip``.
        """
        if mode == OVERLAPPING:
            self._driver()  # peewee forgets its transactions when it connects
            self._queue.statements = [(statement, ()) for statement in _BEGIN_OVERLAPPING]
            self._queue.begins = True
            return
        try:
            self._run(_BEGIN)
        except (OperationalError, InterfaceError):
            if self.is_connection_usable():
                raise
            self.close()  # the transaction has done nothing yet, so nothing is repeated
            self._run(_BEGIN)

    def queue(self, statements: Iterable[tuple[str, Any]]) -> None:
        """Run these with the next trip, at the latest with the commit; their rows are lost."""
        self._queue.statements += statements

    def trip(self, statements: Sequence[tuple[str, Any]]) -> list[list[Any]]:
        """Run statements in one round trip; return the rows of each.

        They are one message, so the server has all of them or none. Of several messages it would run the
        first, keep their locks, and wait for the others without a limit if this process is stopped.

        Raises:
            RunAgain: the connection was lost before the transaction began, or the server ended a deadlock.
        """
        queued, self._queue.statements = self._queue.statements, []
        begins, self._queue.begins = self._queue.begins, False
        if not queued and not statements:
            return []
        from psycopg import ClientCursor

        connection = self._driver()
        rows: list[list[Any]] = []
        try:
            with peewee_errors:
                bind = ClientCursor(connection).mogrify
                message = "; ".join(bind(sql, arguments) for sql, arguments in (*queued, *statements))
                cursor = connection.execute(message)
                while not rows or cursor.nextset():
                    rows.append(cursor.fetchall() if cursor.description else [])
        except (OperationalError, InterfaceError) as error:
            if (begins and connection.closed) or _sqlstate(error) == _DEADLOCK:
                raise RunAgain(str(error)) from error
            raise
        return rows[len(queued) :]

    def cursor(self, named_cursor: str | None = None) -> Any:
        """Return a cursor for one statement, after all that is queued has run."""
        self.trip([])
        return super().cursor(named_cursor)  # type: ignore[no-untyped-call]

    def commit(self) -> None:
        """Commit the transaction, in one trip with what is queued."""
        if self.is_closed():
            raise InterfaceError("the connection was closed in its transaction")
        if self._queue.begins:
            self.trip([])  # apart: a transaction may run again only if its commit was not sent
        self.trip([("COMMIT", ())])

    def rollback(self) -> None:
        """Undo the transaction; without a connection the server does it."""
        self._queue.statements, self._queue.begins = [], False
        if not self.connection_is_lost():
            super().rollback()

    def connection_is_lost(self) -> bool:
        """Say whether this thread's connection can no longer be used."""
        return bool(self.is_closed() or self._driver().closed)

    def _driver(self) -> Any:
        return self.connection()  # type: ignore[no-untyped-call]

    def _run(self, statement: str) -> Any:
        with peewee_errors:
            return self.cursor().execute(statement)
