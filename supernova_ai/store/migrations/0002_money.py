"""Rollups beside the attempts, alerts as an outbox, and a journal of what people changed by hand."""

from __future__ import annotations

from typing import Any

from peewee import (
    AutoField,
    BigIntegerField,
    CompositeKey,
    Database,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)
from playhouse.migrate import SchemaMigrator, migrate


class Usage(Model):
    hour = IntegerField()
    provider = TextField()
    model = TextField()
    tier = TextField()
    task = TextField()
    prompt = TextField()
    error = TextField()
    attempts = IntegerField()
    settled = IntegerField()
    released = IntegerField()
    lost = IntegerField()
    cost_nano = BigIntegerField()
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()
    cached_tokens = BigIntegerField()
    cache_write_tokens = BigIntegerField()
    reasoning_tokens = BigIntegerField()

    class Meta:
        table_name = "usage_rollup"
        primary_key = CompositeKey("hour", "provider", "model", "tier", "task", "prompt", "error")


class Payer(Model):
    hour = IntegerField()
    user_id = TextField()
    session_id = TextField()
    attempts = IntegerField()
    answered = IntegerField()
    settled = IntegerField()
    released = IntegerField()
    lost = IntegerField()
    cost_nano = BigIntegerField()
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()

    class Meta:
        table_name = "payer_rollup"
        primary_key = CompositeKey("hour", "user_id", "session_id")


class Latency(Model):
    hour = IntegerField()
    provider = TextField()
    model = TextField()
    what = TextField()
    bucket = IntegerField()
    attempts = IntegerField()

    class Meta:
        table_name = "latency_rollup"
        primary_key = CompositeKey("hour", "provider", "model", "what", "bucket")


class Alert(Model):
    id = AutoField()
    budget = TextField()
    subject = TextField()
    period = TextField()
    threshold = IntegerField()
    spent_nano = BigIntegerField()
    limit_nano = BigIntegerField()
    at_ms = BigIntegerField()
    state = TextField(index=True)
    tries = IntegerField()
    next_ms = BigIntegerField()
    detail = TextField(null=True)

    class Meta:
        indexes = ((("budget", "subject", "period", "threshold"), True),)


class Journal(Model):
    id = AutoField()
    at_ms = BigIntegerField()
    event = TextField()
    attempt = TextField(null=True)
    before = TextField()
    after = TextField()
    reason = TextField()


def up(migrator: SchemaMigrator, database: Database) -> None:
    for rollup in (Usage, Payer, Latency):
        # On SQLite the rows lie in the order of their hours: a report reads them in a quarter of the time.
        rollup._meta.without_rowid = isinstance(database, SqliteDatabase)
    models = [Usage, Payer, Latency, Alert, Journal]
    with database.bind_ctx(models):
        database.create_tables(models, safe=False)
    late: Any = IntegerField(default=0)
    response: Any = TextField(null=True)
    wanted: Any = IntegerField(null=True)
    migrate(
        migrator.add_column("attempt", "late", late),
        migrator.add_column("attempt", "response_id", response),
        migrator.add_column("attempt", "max_tokens", wanted),
    )
