"""Deployments are known by their model and address too. What was learnt of them without is forgotten."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_HEALTH = """
CREATE TABLE health (
    deployment TEXT NOT NULL PRIMARY KEY, tier TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    key_slot TEXT, address TEXT, state TEXT NOT NULL, since_ms {big} NOT NULL, until_ms {big},
    failures INTEGER NOT NULL, error TEXT, probed_ms {big}, probe TEXT)
"""


def up(_: Any, database: Database) -> None:
    database.execute_sql("ALTER TABLE attempt ADD COLUMN address TEXT")
    database.execute_sql("DROP TABLE health")
    database.execute_sql(_HEALTH.format(big="INTEGER" if isinstance(database, SqliteDatabase) else "BIGINT"))
