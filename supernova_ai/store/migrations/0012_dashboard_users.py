"""The users of the dashboard."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_TABLE = """
CREATE TABLE dashboard_user (
    name TEXT NOT NULL PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL, state TEXT NOT NULL,
    created_ms {big} NOT NULL, changed_ms {big} NOT NULL, locked_until_ms {big})
"""


def up(_: Any, database: Database) -> None:
    database.execute_sql(_TABLE.format(big="INTEGER" if isinstance(database, SqliteDatabase) else "BIGINT"))
