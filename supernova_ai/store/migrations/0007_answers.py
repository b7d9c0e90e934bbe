"""Cached answers, sealed; and who was erased of late, so that calls under way keep nothing more of them."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_TABLES = """
CREATE TABLE answer (
    place TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL, created_ms {big} NOT NULL,
    expires_ms {big} NOT NULL, sealed {blob} NOT NULL);
CREATE INDEX answer_user_id ON answer (user_id);
CREATE INDEX answer_created_ms ON answer (created_ms);
CREATE INDEX answer_expires_ms ON answer (expires_ms);

CREATE TABLE erased (
    subject TEXT NOT NULL PRIMARY KEY, at_ms {big} NOT NULL)
"""


def up(_: Any, database: Database) -> None:
    sqlite = isinstance(database, SqliteDatabase)
    types = {"big": "INTEGER", "blob": "BLOB"} if sqlite else {"big": "BIGINT", "blob": "BYTEA"}
    for statement in _TABLES.format_map(types).split(";"):
        database.execute_sql(statement)
