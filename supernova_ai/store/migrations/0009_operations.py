"""Lifecycles of keys, one audit of all operations, versions of the configuration, jobs and their leader."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_CHANGES = """
ALTER TABLE api_key ADD COLUMN reason TEXT;
ALTER TABLE api_key ADD COLUMN activated_ms {big};
ALTER TABLE api_key ADD COLUMN until_ms {big};
ALTER TABLE api_key ADD COLUMN expires_ms {big};
ALTER TABLE api_key ADD COLUMN checked_ms {big};
ALTER TABLE api_key ADD COLUMN check_result TEXT;
ALTER TABLE api_key ADD COLUMN used_ms {big};

ALTER TABLE audit ADD COLUMN actor TEXT;
ALTER TABLE audit ADD COLUMN source TEXT;
ALTER TABLE audit ADD COLUMN outcome TEXT;

ALTER TABLE attempt ADD COLUMN environment TEXT;
ALTER TABLE attempt ADD COLUMN key_version INTEGER;

ALTER TABLE alert ADD COLUMN kind TEXT DEFAULT 'budget' NOT NULL;
ALTER TABLE alert ADD COLUMN message TEXT;
DROP INDEX alert_budget_subject_period_threshold;
CREATE UNIQUE INDEX alert_kind_budget_subject_period_threshold
    ON alert (kind, budget, subject, period, threshold);

CREATE TABLE config_version (
    number INTEGER NOT NULL PRIMARY KEY, at_ms {big} NOT NULL, version TEXT NOT NULL,
    content_hash TEXT NOT NULL, environment TEXT NOT NULL, actor TEXT NOT NULL, cause TEXT NOT NULL,
    settings TEXT NOT NULL, sealed {blob});

CREATE TABLE job (
    name TEXT NOT NULL PRIMARY KEY, fence INTEGER NOT NULL, started_ms {big} NOT NULL, ended_ms {big},
    done_ms {big}, duration_ms INTEGER, outcome TEXT, runs INTEGER NOT NULL, failures INTEGER NOT NULL);

CREATE TABLE leader (
    role TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, until_ms {big} NOT NULL)
"""


def up(_: Any, database: Database) -> None:
    sqlite = isinstance(database, SqliteDatabase)
    types = {"big": "INTEGER", "blob": "BLOB"} if sqlite else {"big": "BIGINT", "blob": "BYTEA"}
    for statement in _CHANGES.format_map(types).split(";"):
        database.execute_sql(statement)
