"""PostgreSQL: one ledger for several machines."""

from __future__ import annotations

import re
from typing import Any

from peewee import InterfaceError, OperationalError, PostgresqlDatabase

from supernova_ai.errors import StoreError
from supernova_ai.store.bulk import run

_WAIT_S = 30
"""Seconds a batch waits for another machine's transaction, and that an idle transaction may last."""

_BEGIN = f"""
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = '{_WAIT_S}s';
SET LOCAL idle_in_transaction_session_timeout = '{_WAIT_S}s';
SELECT pg_advisory_xact_lock(1400204883, hashtext(current_schema()));
"""
# One round trip. The lock does what BEGIN IMMEDIATE does in SQLite: writing transactions run one after
# another, so they cannot deadlock. Each reads what earlier ones committed, because READ COMMITTED takes a new
# snapshot for each statement. If a machine vanishes in a transaction, the timeouts free the lock.

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


def is_transient(error: Exception) -> bool:
    """Return whether a connection failed for a temporary reason, such as a server that restarts."""
    text = str(error).lower()
    return any(sign in text for sign in _TRANSIENT)


class Postgres(PostgresqlDatabase):
    """A database on a server; only one writing transaction runs at a time.

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
        ((found,),) = run(self, "SHOW search_path").fetchall()
        if self._schemas and self._schemas[-1] != found:
            raise StoreError(
                f"'database' sets search_path={self._schemas[-1]} and the server uses {found}: a pooler "
                f"ignores 'options='. {NO_OPTIONS}"
            )

    def begin(self, isolation_level: str | None = None) -> None:  # noqa: ARG002 - there is only one
        """Begin a transaction, on a new connection if the server has dropped this one."""
        try:
            run(self, _BEGIN)
        except (OperationalError, InterfaceError):
            if self.is_connection_usable():
                raise
            self.close()  # the transaction has done nothing yet, so nothing is repeated
            run(self, _BEGIN)
