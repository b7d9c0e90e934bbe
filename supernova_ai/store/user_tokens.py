"""The token that stands for a user where the id must not: in records of advice and rows of the audit.

An erasure deletes the row that links the two; what is recorded under the token is anonymous from then on.
"""

from __future__ import annotations

import uuid

from peewee import Database

from supernova_ai.store.tables import UserTokenRow


def user_token(database: Database, user: str) -> str:
    """Return the user's token; the first record of a user creates it."""
    insert = UserTokenRow.insert(user=user, token=f"user-{uuid.uuid4().hex}")
    insert.on_conflict_ignore().execute(database)
    (row,) = UserTokenRow.select().where(UserTokenRow.user == user).execute(database)
    return str(row.token)
