"""Bulk reads and inserts: a table is read in pages, so that a million rows need little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from peewee import CompositeKey, Database, DatabaseError, PostgresqlDatabase

from supernova_ai.store.postgres import Postgres, peewee_errors
from supernova_ai.store.tables import Table

Row = tuple[Any, ...]
Statement = tuple[str, tuple[Any, ...]]
"""SQL with ``?`` for its arguments, and these."""

PAGE = 2_000
_PARAMETERS = 30_000  # SQLite takes 32,766 in one statement


def columns(table: type[Table]) -> tuple[str, ...]:
    """Return the column names of the table, in order."""
    return tuple(field.column_name for field in table._meta.sorted_fields)


def key(table: type[Table]) -> tuple[str, ...]:
    """Return the column names of the primary key."""
    primary: Any = table._meta.primary_key
    names = primary.field_names if isinstance(primary, CompositeKey) else (primary.name,)
    return tuple(table._meta.fields[name].column_name for name in names)


def pages(
    database: Database,
    table: type[Table],
    *,
    order: Sequence[str] = (),
    where: str = "",
    arguments: Sequence[Any] = (),
    after: Sequence[Any] | None = None,
    size: int = PAGE,
) -> Iterator[list[Row]]:
    """Yield the rows with all columns, one page at a time.

    Args:
        order: columns that are unique together; by default the primary key.
        where: a condition in SQL with ``?`` for its arguments.
        after: skip the rows up to the one with these values of ``order``.
    """
    names = columns(table)
    order = order or key(table)
    positions = [names.index(name) for name in order]
    while True:
        conditions, values = ([where], list(arguments)) if where else ([], [])
        if after is not None:
            conditions.append(f"({', '.join(order)}) > ({marks(len(order))})")
            values.extend(after)
        limits = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        select = (
            f"SELECT {', '.join(names)} FROM {table._meta.table_name}{limits} "  # noqa: S608 - names of ours
            f"ORDER BY {', '.join(order)} LIMIT {size}"
        )
        rows = run(database, select, *values).fetchall()
        if rows:
            yield rows
        if len(rows) < size:
            return
        after = [rows[-1][position] for position in positions]


def insert(
    database: Database, table: type[Table], rows: Sequence[Row], names: Sequence[str] | None = None
) -> None:
    """Insert the rows, which have these columns; by default all columns of the table in order."""
    names = names or columns(table)
    if isinstance(database, PostgresqlDatabase):
        _copy_in(database, f"{table._meta.table_name} ({', '.join(names)})", rows)
        return
    size = _PARAMETERS // len(names)
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        values = ", ".join([f"({marks(len(names))})"] * len(chunk))
        statement = f"INSERT INTO {table._meta.table_name} ({', '.join(names)}) VALUES {values}"  # noqa: S608
        run(database, statement, *(value for row in chunk for value in row))


def _copy_in(database: PostgresqlDatabase, into: str, rows: Sequence[Row]) -> None:
    """Insert with COPY, which takes a seventh of the time of INSERT."""
    from psycopg import Error

    try:
        with database.cursor().copy(f"COPY {into} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except Error as error:  # peewee wraps the errors of statements only
        raise DatabaseError(str(error)) from error


def run(database: Database, statement: str, *arguments: Any) -> Any:
    """Run SQL with ``?`` for its arguments; return the cursor."""
    if isinstance(database, PostgresqlDatabase):
        return database.execute_sql(_native(statement), arguments)
    with peewee_errors:
        return database.connection().execute(statement, arguments)


def run_all(database: Database, statements: Sequence[Statement]) -> list[list[Row]]:
    """Run statements in one round trip; return the rows of each."""
    if isinstance(database, Postgres):
        return database.trip([(_native(sql), arguments) for sql, arguments in statements])
    with peewee_errors:
        connection = database.connection()
        return [connection.execute(sql, arguments).fetchall() for sql, arguments in statements]


def run_later(database: Database, statements: Sequence[Statement]) -> None:
    """Run statements whose rows nobody needs; on a server with the next trip, at the latest to commit."""
    if isinstance(database, Postgres):
        database.queue((_native(sql), arguments) for sql, arguments in statements)
    else:
        run_all(database, statements)


def marks(count: int) -> str:
    """Return the ``?`` of so many arguments."""
    return ", ".join("?" * count)


@lru_cache(maxsize=1024)
def _native(statement: str) -> str:
    """Return the statement in the form of PostgreSQL's driver."""
    return statement.replace("?", PostgresqlDatabase.param)
