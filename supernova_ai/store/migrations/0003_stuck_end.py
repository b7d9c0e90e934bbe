"""Ends of holds that the database refused, set aside so that they block nobody."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase


def up(_: Any, database: Database) -> None:
    big = "INTEGER" if isinstance(database, SqliteDatabase) else "BIGINT"
    database.execute_sql(
        f"CREATE TABLE stuck_end (attempt TEXT NOT NULL PRIMARY KEY, at_ms {big} NOT NULL, "
        f"ending TEXT NOT NULL, reason TEXT NOT NULL)"
    )
