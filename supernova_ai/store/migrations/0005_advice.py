"""Advice as it was given, in a chain of hashes, for users who are known here by a token alone."""

from __future__ import annotations

from peewee import BigIntegerField, Database, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator


class Advice(Model):
    number = IntegerField(primary_key=True)
    id = TextField(unique=True)
    created_ms = BigIntegerField()
    user_token = TextField(null=True, index=True)
    symbol = TextField()
    action = TextField()
    content = TextField()
    bars = TextField(null=True)
    news = TextField(null=True)
    hash = TextField()

    class Meta:
        table_name = "advice"


class Link(Model):
    name = TextField(primary_key=True)
    number = IntegerField()
    hash = TextField()

    class Meta:
        table_name = "advice_chain"


class UserToken(Model):
    user_id = TextField(primary_key=True)
    token = TextField(unique=True)

    class Meta:
        table_name = "user_token"
        legacy_table_names = False  # its index has the table's name too


def up(_: SchemaMigrator, database: Database) -> None:
    models = [Advice, Link, UserToken]
    with database.bind_ctx(models):
        database.create_tables(models, safe=False)
