"""What SQLite and PostgreSQL each say in their own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from peewee import AutoField, Database, SqliteDatabase

from supernova_ai.store.bulk import Row, run
from supernova_ai.store.tables import TABLES, Table


@contextmanager
def snapshot(database: Database) -> Iterator[None]:
    """Let all reads inside see the database as it was at one moment, while others write on."""
    # Not peewee's transaction: that is a writer's, who has the database to itself.
    readers = "" if isinstance(database, SqliteDatabase) else " ISOLATION LEVEL REPEATABLE READ READ ONLY"
    run(database, f"BEGIN{readers}")
    try:
        yield
    finally:
        run(database, "ROLLBACK")


def damaged_rows(database: Database, statement: str, *arguments: Any) -> list[Row]:
    """Return the rows that plain SQL selects, whatever is in them.

    SQLite keeps any value in any column. A text there that is not UTF-8 would raise when it is fetched; here
    it gets replacement characters instead.
    """
    if not isinstance(database, SqliteDatabase):
        return list(run(database, statement, *arguments).fetchall())
    connection = database.connection()
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        return list(run(database, statement, *arguments).fetchall())
    finally:
        connection.text_factory = str


def vacuum(database: Database) -> None:
    """Give the space of deleted rows back; not inside a transaction."""
    if isinstance(database, SqliteDatabase):
        run(database, "VACUUM")
        run(database, "PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    else:
        run(database, f"VACUUM (ANALYZE) {', '.join(table._meta.table_name for table in TABLES)}")


def continue_numbers(database: Database, tables: Iterable[type[Table]]) -> None:
    """Let the next row of each table get a number above those that were inserted with theirs."""
    if isinstance(database, SqliteDatabase):
        return  # it looks at the greatest there is
    for table in tables:
        if isinstance(table._meta.primary_key, AutoField):
            name = table._meta.table_name
            run(
                database,
                f"SELECT setval(pg_get_serial_sequence(?, 'id'), (SELECT MAX(id) FROM {name}))",  # noqa: S608
                name,
            )
