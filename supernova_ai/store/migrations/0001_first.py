"""The tables of the first release. Frozen once it is out: later changes are migrations of their own."""

from __future__ import annotations

from typing import Any

from peewee import Database, SqliteDatabase

_SQLITE = {
    "big": "INTEGER",
    "blob": "BLOB",
    "serial": "INTEGER",
    # The rows of a rollup lie in the order of their hours: a report reads them in a quarter of the time.
    "clustered": " WITHOUT ROWID",
}
_POSTGRES = {"big": "BIGINT", "blob": "BYTEA", "serial": "SERIAL", "clustered": ""}

_TABLES = """
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY, provider TEXT NOT NULL, slot TEXT NOT NULL, version INTEGER NOT NULL,
    state TEXT NOT NULL, master_id TEXT NOT NULL, fingerprint TEXT NOT NULL, sealed {blob} NOT NULL,
    created_ms {big} NOT NULL);
CREATE UNIQUE INDEX api_key_provider_slot_version ON api_key (provider, slot, version);

CREATE TABLE audit (
    number INTEGER NOT NULL PRIMARY KEY, at_ms {big} NOT NULL, event TEXT NOT NULL, subject TEXT NOT NULL,
    details TEXT NOT NULL, mac TEXT NOT NULL);

CREATE TABLE process (
    id TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, lease_ms {big} NOT NULL);

CREATE TABLE attempt (
    id TEXT NOT NULL PRIMARY KEY, request TEXT NOT NULL, process TEXT NOT NULL, user_id TEXT, session_id TEXT,
    task TEXT NOT NULL, tier TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, key_slot TEXT,
    state TEXT NOT NULL, held_nano {big} NOT NULL, cost_nano {big} NOT NULL, cost_basis TEXT,
    windows TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    started_ms {big} NOT NULL, ended_ms {big}, latency_ms INTEGER, first_token_ms INTEGER, error_class TEXT,
    prompt_name TEXT, prompt_hash TEXT, config_version TEXT NOT NULL, price_version TEXT NOT NULL,
    late INTEGER NOT NULL, response_id TEXT, max_tokens INTEGER, fingerprint TEXT);
CREATE INDEX attempt_request ON attempt (request);
CREATE INDEX attempt_started_ms ON attempt (started_ms);
CREATE INDEX attempt_state ON attempt (state);

CREATE TABLE budget_window (
    id {serial} NOT NULL PRIMARY KEY, budget TEXT NOT NULL, subject TEXT NOT NULL, period TEXT NOT NULL,
    settled_nano {big} NOT NULL, held_nano {big} NOT NULL, lost_nano {big} NOT NULL);
CREATE UNIQUE INDEX budget_window_budget_subject_period ON budget_window (budget, subject, period);

CREATE TABLE usage_rollup (
    hour INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, tier TEXT NOT NULL,
    task TEXT NOT NULL, prompt TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL,
    cached INTEGER NOT NULL, settled INTEGER NOT NULL, released INTEGER NOT NULL, lost INTEGER NOT NULL,
    cost_nano {big} NOT NULL, prompt_tokens {big} NOT NULL, completion_tokens {big} NOT NULL,
    cached_tokens {big} NOT NULL, cache_write_tokens {big} NOT NULL, reasoning_tokens {big} NOT NULL,
    PRIMARY KEY (hour, provider, model, tier, task, prompt, error)){clustered};

CREATE TABLE payer_rollup (
    hour INTEGER NOT NULL, user_id TEXT NOT NULL, session_id TEXT NOT NULL, attempts INTEGER NOT NULL,
    answered INTEGER NOT NULL, cached INTEGER NOT NULL, settled INTEGER NOT NULL, released INTEGER NOT NULL,
    lost INTEGER NOT NULL, cost_nano {big} NOT NULL, prompt_tokens {big} NOT NULL,
    completion_tokens {big} NOT NULL,
    PRIMARY KEY (hour, user_id, session_id)){clustered};

CREATE TABLE daily_rollup (
    day INTEGER NOT NULL, user_id TEXT NOT NULL, attempts INTEGER NOT NULL, answered INTEGER NOT NULL,
    cached INTEGER NOT NULL, settled INTEGER NOT NULL, released INTEGER NOT NULL, lost INTEGER NOT NULL,
    cost_nano {big} NOT NULL, prompt_tokens {big} NOT NULL, completion_tokens {big} NOT NULL,
    PRIMARY KEY (day, user_id)){clustered};

CREATE TABLE latency_rollup (
    hour INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, what TEXT NOT NULL,
    bucket INTEGER NOT NULL, attempts INTEGER NOT NULL,
    PRIMARY KEY (hour, provider, model, what, bucket)){clustered};

CREATE TABLE failure_pattern (
    fingerprint TEXT NOT NULL PRIMARY KEY, provider TEXT NOT NULL, model TEXT NOT NULL, error TEXT NOT NULL,
    status INTEGER, message TEXT NOT NULL, first_ms {big} NOT NULL, last_ms {big} NOT NULL,
    seen INTEGER NOT NULL);

CREATE TABLE health (
    deployment TEXT NOT NULL PRIMARY KEY, provider TEXT NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL,
    since_ms {big} NOT NULL, until_ms {big}, failures INTEGER NOT NULL, error TEXT, probed_ms {big},
    probe TEXT);

CREATE TABLE alert (
    id {serial} NOT NULL PRIMARY KEY, budget TEXT NOT NULL, subject TEXT NOT NULL, period TEXT NOT NULL,
    threshold INTEGER NOT NULL, spent_nano {big} NOT NULL, limit_nano {big} NOT NULL, at_ms {big} NOT NULL,
    state TEXT NOT NULL, tries INTEGER NOT NULL, next_ms {big} NOT NULL, detail TEXT);
CREATE INDEX alert_state ON alert (state);
CREATE UNIQUE INDEX alert_budget_subject_period_threshold ON alert (budget, subject, period, threshold);

CREATE TABLE journal (
    id {serial} NOT NULL PRIMARY KEY, at_ms {big} NOT NULL, event TEXT NOT NULL, attempt TEXT,
    before TEXT NOT NULL, after TEXT NOT NULL, reason TEXT NOT NULL);

CREATE TABLE advice (
    number INTEGER NOT NULL PRIMARY KEY, id TEXT NOT NULL, created_ms {big} NOT NULL, user_token TEXT,
    symbol TEXT NOT NULL, action TEXT NOT NULL, content TEXT NOT NULL, bars TEXT, news TEXT,
    hash TEXT NOT NULL);
CREATE UNIQUE INDEX advice_id ON advice (id);
CREATE INDEX advice_user_token ON advice (user_token);

CREATE TABLE advice_chain (
    name TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL, hash TEXT NOT NULL);

CREATE TABLE user_token (
    user_id TEXT NOT NULL PRIMARY KEY, token TEXT NOT NULL);
CREATE UNIQUE INDEX user_token_token ON user_token (token);

CREATE TABLE session_turn (
    user_id TEXT NOT NULL, session_id TEXT NOT NULL, number INTEGER NOT NULL, at_ms {big} NOT NULL,
    sealed {blob} NOT NULL,
    PRIMARY KEY (user_id, session_id, number));
CREATE INDEX session_turn_at_ms ON session_turn (at_ms)
"""


def up(_: Any, database: Database) -> None:
    types = _SQLITE if isinstance(database, SqliteDatabase) else _POSTGRES
    for statement in _TABLES.format_map(types).split(";"):
        database.execute_sql(statement)
