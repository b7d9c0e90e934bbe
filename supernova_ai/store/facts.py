"""Facts about the store itself, by name: its identity, the head of the audit chain."""

from __future__ import annotations

from peewee import Database

from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.tables import MetaRow


def fact(database: Database, name: str) -> str | None:
    """Return the fact of that name, None if there is none."""
    for (value,) in damaged_rows(database, "SELECT value FROM meta WHERE name = ?", name):
        return str(value)
    return None


def set_fact(database: Database, name: str, value: str) -> None:
    """Keep the fact, in place of what was there."""
    MetaRow.insert(name=name, value=value).on_conflict(
        conflict_target=[MetaRow.name], preserve=[MetaRow.value]
    ).execute(database)


def first_fact(database: Database, name: str, value: str) -> str:
    """Keep the fact unless there is one of that name; return the one that is kept."""
    MetaRow.insert(name=name, value=value).on_conflict_ignore().execute(database)
    return fact(database, name) or value
