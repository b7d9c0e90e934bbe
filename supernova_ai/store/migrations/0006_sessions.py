"""What was said in conversations, sealed."""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, Database, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator


class SessionTurn(Model):
    user_id = TextField()
    session_id = TextField()
    number = IntegerField()
    at_ms = BigIntegerField(index=True)
    sealed = BlobField()

    class Meta:
        table_name = "session_turn"
        legacy_table_names = False  # its index has the table's name too
        primary_key = CompositeKey("user_id", "session_id", "number")


def up(_: SchemaMigrator, database: Database) -> None:
    with database.bind_ctx([SessionTurn]):
        database.create_tables([SessionTurn], safe=False)
