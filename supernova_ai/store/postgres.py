"""PostgreSQL, for machines that share a ledger."""

from __future__ import annotations

import re
from typing import Any

from peewee import InterfaceError, OperationalError, PostgresqlDatabase

from supernova_ai.errors import StoreError
from supernova_ai.store.bulk import run

_WAIT_S = 30
"""How long a batch waits for another machine's, and how long the server lets a silent one hold it up."""

_BEGIN = f"""
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = '{_WAIT_S}s';
SET LOCAL idle_in_transaction_session_timeout = '{_WAIT_S}s';
SELECT pg_advisory_xact_lock(1400204883, hashtext(current_schema()));
"""
# One trip to the server. The lock is to all who use these tables what BEGIN IMMEDIATE is in SQLite: writing
# transactions follow each other, so none meets another in a deadlock, and since READ COMMITTED looks anew at
# each statement, each reads what those before it have committed. A machine that vanishes amid a transaction
# gives the lock up when the server's patience ends.

_SEARCH_PATH = re.compile(r"search_path\s*=\s*(\S+)")

NO_OPTIONS = (
    "Take 'options=' out of 'database', and set the schema where the pooler connects: "
    "ALTER ROLE … SET search_path = …, or PgBouncer's connect_query"
)
"""The remedy where a pooler does not pass on what a URL asks of the server."""

_PASSING = (
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


def may_pass(error: Exception) -> bool:
    """Say whether a connection failed for a reason that often passes, such as a server that restarts."""
    text = str(error).lower()
    return any(sign in text for sign in _PASSING)


class Postgres(PostgresqlDatabase):
    """A database on a server; every transaction has it to itself.

    Args:
        url: ``postgresql://…`` with all that libpq understands.

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
            raise StoreError(  # libpq's own message may show a part of the password
                "'database' is not a valid postgresql:// URL: write postgresql://USER@HOST/DATABASE, "
                "with special characters of a name or password as %XX"
            ) from None
        patience: dict[str, Any] = {} if "connect_timeout=" in url else {"connect_timeout": 10}
        self._schemas = _SEARCH_PATH.findall(str(given.get("options", "")))
        super().__init__(
            url,
            prefer_psycopg3=True,
            application_name="supernova-ai",
            prepare_threshold=None,  # behind a pooler the next transaction may have another connection
            **patience,
        )

    def check_schema(self) -> None:
        """Check that the schema of ``options=`` is in force: poolers may ignore it, and nobody would notice.

        Raises:
            StoreError: it is not.
        """
        ((found,),) = run(self, "SHOW search_path").fetchall()
        if self._schemas and self._schemas[-1] != found:
            raise StoreError(
                f"'database' asks for search_path={self._schemas[-1]} and the server uses {found}: a pooler "
                f"ignores 'options='. {NO_OPTIONS}"
            )

    def begin(self, isolation_level: str | None = None) -> None:  # noqa: ARG002 - there is but one
        """Begin a transaction, on a new connection if the server has meanwhile dropped this one."""
        try:
            run(self, _BEGIN)
        except (OperationalError, InterfaceError):
            if self.is_connection_usable():
                raise
            self.close()  # nothing has been done in this transaction, so nothing is done twice
            run(self, _BEGIN)
