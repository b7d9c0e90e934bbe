"""Slices of windows, which processes count in by themselves."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_TABLE = """
CREATE TABLE window_slice (
    window_id INTEGER NOT NULL, process TEXT NOT NULL, size_nano {big} NOT NULL, settled_nano {big} NOT NULL,
    held_nano {big} NOT NULL, lost_nano {big} NOT NULL, PRIMARY KEY (window_id, process))
"""


def up(_: Any, database: Database) -> None:
    database.execute_sql(_TABLE.format(big="INTEGER" if isinstance(database, SqliteDatabase) else "BIGINT"))
