"""Feedback on requests, and the quality of their answers."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_TABLE = """
CREATE TABLE rating (
    request TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    task TEXT NOT NULL, prompt TEXT NOT NULL, started_ms {big} NOT NULL, quality INTEGER, score INTEGER,
    at_ms {big}, sealed {blob});
CREATE INDEX rating_user_id ON rating (user_id);
CREATE INDEX rating_started_ms ON rating (started_ms)
"""


def up(_: Any, database: Database) -> None:
    sqlite = isinstance(database, SqliteDatabase)
    types = {"big": "INTEGER", "blob": "BLOB"} if sqlite else {"big": "BIGINT", "blob": "BYTEA"}
    for statement in _TABLE.format_map(types).split(";"):
        database.execute_sql(statement)
