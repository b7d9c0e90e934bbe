"""Failures of a database as errors that say what to do."""

from __future__ import annotations

from peewee import PeeweeException

from supernova_ai.errors import StoreError
from supernova_ai.store.postgres import NO_OPTIONS


def explain(error: BaseException, where: str) -> BaseException:
    """Turn a database error into a ``StoreError`` that says what to do; return other errors unchanged.

    The driver's reason may be in ``__context__``: after a full disk, peewee reports the failed rollback.
    """
    if not isinstance(error, PeeweeException | OSError):
        return error
    reasons = []
    cause: BaseException | None = error
    seen: set[int] = set()  # errors can be chained in a circle
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        reasons.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = " ".join(" / ".join(dict.fromkeys(reasons)).split())
    remedy = next((cure for sign, cure in _REMEDIES.items() if sign in text.lower()), "See the reason above")
    failure = StoreError(f"the database could not be used ({where}): {text}. {remedy}.")
    failure.__cause__ = error
    return failure


_DISK_FULL = "Free some space on its disk; no partial write remains"
_BROKEN = "Try again: the next write opens a new connection"
_SERVER = "Start the server, or correct its address, database, user and password in 'database'"
_NO_FOLDER = "There is a file in place of its folder: set SUPERNOVA_HOME or 'database' to another path"
_REMEDIES = {
    "disk is full": _DISK_FULL,
    "no space left": _DISK_FULL,
    "disk i/o error": "Free some space on its disk, or raise the file size limit (ulimit -f); if neither is "
    "the cause, the disk is failing. No partial write remains",
    "unsupported startup parameter": f"A pooler refuses it. {NO_OPTIONS}",
    "statement pooling": "Set the pooler's pool_mode to transaction or session: each write is a transaction",
    "statement timeout": "Raise statement_timeout for this user (ALTER ROLE … SET statement_timeout = '60s') "
    "or find what keeps the server busy",
    "connection failed": _SERVER,
    "connection timeout": _SERVER,
    "permission denied for": "Ask the database's owner to grant this user access",
    "read-only transaction": "Set 'database' to the primary server: this one is read-only",
    "lock timeout": "Another machine keeps the database busy: find out what it is doing",
    "terminating connection": _BROKEN,
    "server closed the connection": _BROKEN,
    "server conn crashed": _BROKEN,  # PgBouncer's words
    "connection is lost": _BROKEN,
    "readonly": "Make the file and its folder writable by this user, or set 'database' to another path",
    "unable to open": "Create its folder and make it writable, or set 'database' to another path",
    "permission denied": "Make its folder writable by this user, and the file if it exists; or set "
    "SUPERNOVA_HOME to another folder",
    "file exists": _NO_FOLDER,
    "not a directory": _NO_FOLDER,
    "is a directory": "Set 'database' to a file, not a folder",
    "read-only file system": "Set SUPERNOVA_HOME to a folder on a writable disk",
    "not a database": "The file is not a SQLite database: restore a backup, or set 'database' to another",
    "malformed": "The file is damaged: restore a backup",
    "locked": "Another process keeps it locked: end that process, or use PostgreSQL for many writers",
}
