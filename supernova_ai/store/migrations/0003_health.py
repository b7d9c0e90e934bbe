"""Breakers and probes of deployments, patterns of failures, and the fingerprint of an attempt's failure."""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, Database, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator, migrate


class Pattern(Model):
    fingerprint = TextField(primary_key=True)
    provider = TextField()
    model = TextField()
    error = TextField()
    status = IntegerField(null=True)
    message = TextField()
    first_ms = BigIntegerField()
    last_ms = BigIntegerField()
    seen = IntegerField()

    class Meta:
        table_name = "failure_pattern"


class Health(Model):
    deployment = TextField(primary_key=True)
    provider = TextField()
    model = TextField()
    state = TextField()
    since_ms = BigIntegerField()
    until_ms = BigIntegerField(null=True)
    failures = IntegerField()
    error = TextField(null=True)
    probed_ms = BigIntegerField(null=True)
    probe = TextField(null=True)


def up(migrator: SchemaMigrator, database: Database) -> None:
    models = [Pattern, Health]
    with database.bind_ctx(models):
        database.create_tables(models, safe=False)
    fingerprint: Any = TextField(null=True)
    migrate(migrator.add_column("attempt", "fingerprint", fingerprint))
