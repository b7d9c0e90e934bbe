"""Teams and tags of attempts, with a rollup and the scope of openings; and what prompt caches saved."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_CHANGES = """
ALTER TABLE attempt ADD COLUMN team TEXT;
ALTER TABLE attempt ADD COLUMN tags TEXT;
ALTER TABLE attempt ADD COLUMN saved_nano {big} DEFAULT 0 NOT NULL;

ALTER TABLE window_opening ADD COLUMN team TEXT;
ALTER TABLE window_opening ADD COLUMN tag TEXT;

ALTER TABLE usage_rollup ADD COLUMN saved_nano {big} DEFAULT 0 NOT NULL;
ALTER TABLE payer_rollup ADD COLUMN saved_nano {big} DEFAULT 0 NOT NULL;
ALTER TABLE daily_rollup ADD COLUMN saved_nano {big} DEFAULT 0 NOT NULL;

CREATE TABLE label_rollup (
    hour INTEGER NOT NULL, label TEXT NOT NULL, value TEXT NOT NULL, attempts INTEGER NOT NULL,
    answered INTEGER NOT NULL, cached INTEGER NOT NULL, settled INTEGER NOT NULL, released INTEGER NOT NULL,
    lost INTEGER NOT NULL, cost_nano {big} NOT NULL, prompt_tokens {big} NOT NULL,
    completion_tokens {big} NOT NULL, saved_nano {big} NOT NULL,
    PRIMARY KEY (hour, label, value)){clustered}
"""


def up(_: Any, database: Database) -> None:
    sqlite = isinstance(database, SqliteDatabase)
    types = (
        {"big": "INTEGER", "clustered": " WITHOUT ROWID"} if sqlite else {"big": "BIGINT", "clustered": ""}
    )
    for statement in _CHANGES.format_map(types).split(";"):
        database.execute_sql(statement)
