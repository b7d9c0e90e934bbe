"""Operations that SQLite and PostgreSQL spell differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from peewee import AutoField, Database, SqliteDatabase

from supernova_ai.store.bulk import Row, run
from supernova_ai.store.tables import TABLES, Table


def clock_ms(database: Database) -> str:
    """Return the SQL of the database's own clock, in Unix milliseconds: one clock for all machines."""
    # unixepoch('subsec') is NULL before SQLite 3.42.
    if isinstance(database, SqliteDatabase):
        return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@contextmanager
def snapshot(database: Database) -> Iterator[None]:
    """Let all reads inside see one state of the database while others write."""
    # Not peewee's transaction: ours begin as writers, one at a time.
    readers = "" if isinstance(database, SqliteDatabase) else " ISOLATION LEVEL REPEATABLE READ READ ONLY"
    run(database, f"BEGIN{readers}")
    try:
        yield
    finally:
        run(database, "ROLLBACK")


_LENIENT = partial(str, encoding="utf-8", errors="replace")


class Selects(Protocol):
    """Runs a SELECT as ``damaged_rows`` does, or has its rows already."""

    def select(self, statement: str, *arguments: Any) -> list[Row]:
        """Return the rows."""
        ...


def damaged_rows(database: Database | Selects, statement: str, *arguments: Any) -> list[Row]:
    """Return the selected rows even if they are damaged.

    SQLite stores any value in any column. Text that is not UTF-8 would raise when fetched; here it gets
    replacement characters instead.
    """
    if not isinstance(database, Database):
        return database.select(statement, *arguments)
    if not isinstance(database, SqliteDatabase):
        return list(run(database, statement, *arguments).fetchall())
    connection = database.connection()
    connection.text_factory = _LENIENT
    try:
        return list(run(database, statement, *arguments).fetchall())
    finally:
        connection.text_factory = str


def vacuum(database: Database) -> None:
    """Return the space of deleted rows to the disk; not inside a transaction."""
    if isinstance(database, SqliteDatabase):
        run(database, "VACUUM")
        run(database, "PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    else:
        run(database, f"VACUUM (ANALYZE) {', '.join(table._meta.table_name for table in TABLES)}")


def continue_numbers(database: Database, tables: Iterable[type[Table]]) -> None:
    """After rows were inserted with their ids, let each table's next id be higher than all of them."""
    if isinstance(database, SqliteDatabase):
        return  # it counts from the highest id in the table
    for table in tables:
        if isinstance(table._meta.primary_key, AutoField):
            name = table._meta.table_name
            run(
                database,
                f"SELECT setval(pg_get_serial_sequence(?, 'id'), (SELECT MAX(id) FROM {name}))",  # noqa: S608
                name,
            )
