"""The first tables. Frozen: later changes are migrations of their own."""

from __future__ import annotations

from typing import Any

from peewee import AutoField, BigIntegerField, BlobField, Database, IntegerField, Model, TextField


class Meta(Model):
    name = TextField(primary_key=True)
    value = TextField()


class Key(Model):
    id = TextField(primary_key=True)
    provider = TextField()
    slot = TextField()
    version = IntegerField()
    state = TextField()
    master_id = TextField()
    fingerprint = TextField()
    sealed = BlobField()
    created_ms = BigIntegerField()

    class Meta:
        table_name = "api_key"
        legacy_table_names = False  # its indexes are named after the table, as in tables.py
        indexes = ((("provider", "slot", "version"), True),)


class Audit(Model):
    number = IntegerField(primary_key=True)
    at_ms = BigIntegerField()
    event = TextField()
    subject = TextField()
    details = TextField()
    mac = TextField()


class Process(Model):
    id = TextField(primary_key=True)
    host = TextField()
    pid = IntegerField()
    lease_ms = BigIntegerField()


class Attempt(Model):
    id = TextField(primary_key=True)
    request = TextField(index=True)
    process = TextField()
    user_id = TextField(null=True)
    session_id = TextField(null=True)
    task = TextField()
    tier = TextField()
    provider = TextField()
    model = TextField()
    key_slot = TextField(null=True)
    state = TextField(index=True)
    held_nano = BigIntegerField()
    cost_nano = BigIntegerField()
    cost_basis = TextField(null=True)
    windows = TextField()
    prompt_tokens = IntegerField()
    completion_tokens = IntegerField()
    cached_tokens = IntegerField()
    cache_write_tokens = IntegerField()
    reasoning_tokens = IntegerField()
    started_ms = BigIntegerField(index=True)
    ended_ms = BigIntegerField(null=True)
    latency_ms = IntegerField(null=True)
    first_token_ms = IntegerField(null=True)
    error_class = TextField(null=True)
    prompt_name = TextField(null=True)
    prompt_hash = TextField(null=True)
    config_version = TextField()
    price_version = TextField()


class Window(Model):
    id = AutoField()
    budget = TextField()
    subject = TextField()
    period = TextField()
    settled_nano = BigIntegerField()
    held_nano = BigIntegerField()
    lost_nano = BigIntegerField()

    class Meta:
        table_name = "budget_window"
        legacy_table_names = False  # its indexes are named after the table, as in tables.py
        indexes = ((("budget", "subject", "period"), True),)


def up(_: Any, database: Database) -> None:
    models = [Meta, Key, Audit, Process, Attempt, Window]
    with database.bind_ctx(models):
        database.create_tables(models, safe=False)
