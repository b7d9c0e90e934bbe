"""Windows know the scope of their budget and with what they opened; processes say which budgets they keep."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_CHANGES = """
ALTER TABLE budget_window ADD COLUMN scope TEXT DEFAULT '' NOT NULL;
DROP INDEX budget_window_budget_subject_period;
CREATE UNIQUE INDEX budget_window_budget_subject_period_scope
    ON budget_window (budget, subject, period, scope);

CREATE TABLE window_opening (
    window_id INTEGER NOT NULL PRIMARY KEY, provider TEXT, user_id TEXT, task TEXT, start_ms {big} NOT NULL,
    end_ms {big} NOT NULL, opened_ms {big} NOT NULL, settled_nano {big} NOT NULL);

CREATE INDEX attempt_user_id ON attempt {hashed}(user_id);

ALTER TABLE process ADD COLUMN budgets TEXT DEFAULT '{{}}' NOT NULL
"""


def up(_: Any, database: Database) -> None:
    # PostgreSQL's other index refuses long texts, and earlier versions kept ids of any length.
    sqlite = isinstance(database, SqliteDatabase)
    words = {"big": "INTEGER", "hashed": ""} if sqlite else {"big": "BIGINT", "hashed": "USING hash "}
    for statement in _CHANGES.format_map(words).split(";"):
        database.execute_sql(statement)
