"""A rollup of users by the day, made from the hourly one: reports of months read far fewer rows."""

from __future__ import annotations

from peewee import BigIntegerField, CompositeKey, Database, IntegerField, Model, SqliteDatabase, TextField
from playhouse.migrate import SchemaMigrator


class Daily(Model):
    day = IntegerField()
    user_id = TextField()
    attempts = IntegerField()
    answered = IntegerField()
    settled = IntegerField()
    released = IntegerField()
    lost = IntegerField()
    cost_nano = BigIntegerField()
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()

    class Meta:
        table_name = "daily_rollup"
        primary_key = CompositeKey("day", "user_id")


def up(_: SchemaMigrator, database: Database) -> None:
    Daily._meta.without_rowid = isinstance(database, SqliteDatabase)  # as the others, for the same reason
    with database.bind_ctx([Daily]):
        database.create_tables([Daily], safe=False)
    database.execute_sql(
        "INSERT INTO daily_rollup (day, user_id, attempts, answered, settled, released, lost, cost_nano, "
        "prompt_tokens, completion_tokens) "
        "SELECT hour / 24, user_id, SUM(attempts), SUM(answered), SUM(settled), SUM(released), SUM(lost), "
        "SUM(cost_nano), SUM(prompt_tokens), SUM(completion_tokens) "
        "FROM payer_rollup GROUP BY hour / 24, user_id"
    )
