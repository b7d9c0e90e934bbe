"""New databases for tests, with a store's tables in them: files of SQLite, and schemas of PostgreSQL.

To make the tables takes longer than most tests do. So files are copies of one that was made before, and a
schema that a test is done with is emptied for the next. The server is that of SUPERNOVA_TEST_POSTGRES, else
this machine's.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from peewee import Database, SqliteDatabase

from supernova_ai.store import Store

T = TypeVar("T")

# Read here: the tests themselves do not see the environment's SUPERNOVA_*.
SERVER = os.environ.get("SUPERNOVA_TEST_POSTGRES", "postgresql://127.0.0.1/test")

MIGRATIONS = "schema_migration"
"""The table of the migrations that were made; it stays as it is."""


def new_file(path: Path) -> Path:
    """Write the file of a new store there: its tables, and no row."""
    path.touch(0o600)
    path.write_bytes(_file_of_a_new_store())
    return path


def read(path: Path, operation: Callable[[Database], T]) -> T:
    """Run the operation on a file that need not be opened as a store, which takes much longer."""
    database = SqliteDatabase(str(path), timeout=30)
    with database.connection_context():
        return operation(database)


@cache
def _file_of_a_new_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "new.db")
        Store(path).close()
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM meta")  # each store makes its own identity when it opens
        return path.read_bytes()


@contextmanager
def empty_schema() -> Iterator[str]:
    """Make a schema without tables, give its URL, and drop it at the end.

    Where there is no server the test is skipped; on a CI machine it fails.
    """
    with _server() as server:
        name = _create(server)
    try:
        yield _url(name)
    finally:
        with _server() as server:
            _drop(server, name)


_unused: list[tuple[str, str]] = []
"""The schemas that have a store's tables and no row, each with its shape."""


@contextmanager
def new_schema() -> Iterator[str]:
    """Give the URL of a schema with a store's tables and no row, as ``empty_schema`` gives one without."""
    name, shape = _unused.pop() if _unused else _with_tables()
    try:
        yield _url(name)
    finally:
        with _server() as server:
            if _shape(server, name) == shape:
                _empty(server, name)
                _unused.append((name, shape))
            else:
                _drop(server, name)


def drop_unused_schemas() -> None:
    """Leave nothing on the server when the tests end."""
    while _unused:
        with _server() as server:
            _drop(server, _unused.pop()[0])


def _server() -> psycopg.Connection[Any]:
    if absence := _absence():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no PostgreSQL: {absence}")
    return psycopg.connect(SERVER, autocommit=True)


@cache
def _absence() -> str | None:
    try:
        psycopg.connect(SERVER, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None


def _url(name: str) -> str:
    return f"{SERVER}{'&' if '?' in SERVER else '?'}options=-csearch_path%3D{name}"


def _create(server: psycopg.Connection[Any]) -> str:
    name = f"supernova_{secrets.token_hex(8)}"  # no other test or process has it
    server.execute(f"CREATE SCHEMA {name}")
    return name


def _drop(server: psycopg.Connection[Any], name: str) -> None:
    server.execute(f"DROP SCHEMA {name} CASCADE")


def _with_tables() -> tuple[str, str]:
    with _server() as server:
        name = _create(server)
        Store(_url(name)).close()
        _empty(server, name)
        return name, _shape(server, name)


def _shape(server: psycopg.Connection[Any], name: str) -> str:
    """Describe a schema's relations, their columns, triggers and constraints, and which migrations it had."""
    query = f"""
        SELECT c.relname, c.relkind::text, a.attname, a.atttypid::text FROM pg_class c
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
            WHERE c.relnamespace = '{name}'::regnamespace
        UNION ALL SELECT tgname, '', '', '' FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
            WHERE c.relnamespace = '{name}'::regnamespace
        UNION ALL SELECT conname, '', '', '' FROM pg_constraint WHERE connamespace = '{name}'::regnamespace
        UNION ALL SELECT name, '', '', '' FROM {name}.{MIGRATIONS}"""
    return repr(sorted(map(repr, server.execute(query).fetchall())))


def _empty(server: psycopg.Connection[Any], name: str) -> None:
    """Empty the tables that were used, once no transaction is open on them any more; numbers begin anew."""
    query = f"""
        SELECT relname FROM pg_class WHERE relnamespace = '{name}'::regnamespace AND relkind = 'r'
            AND relname <> '{MIGRATIONS}' AND pg_relation_size(oid) > 0"""
    used = [f"{name}.{table}" for (table,) in server.execute(query).fetchall()]
    if used:
        server.execute(f"TRUNCATE {', '.join(used)} RESTART IDENTITY")
