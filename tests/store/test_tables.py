"""The migrations create exactly the tables of the code; each runs completely or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai.errors import StoreError
from supernova_ai.store import Store
from supernova_ai.store import schema as migrating
from supernova_ai.store.tables import TABLES, MetaRow

HISTORY = "schema_migration"
SHIPPED = sorted(file.stem for file in migrating._MIGRATIONS.glob("[0-9]*.py"))


def schema(database: Database) -> dict[str, tuple[list[Any], set[Any]]]:
    """Return every table's columns, in order, and its indexes, without their SQL text.

    SQLite's automatic index of a primary key is left out: rollup tables have none.
    """
    return {
        table: (
            database.get_columns(table),
            {
                (index.name, tuple(index.columns), index.unique)
                for index in database.get_indexes(table)
                if not index.name.startswith("sqlite_autoindex")
            },
        )
        for table in database.get_tables()
        if table != HISTORY
    }


def test_tables_and_migrations_agree(store: Store, new_database: Callable[[], str]) -> None:
    """Migrations and models give the same names, order, types, nulls, defaults, keys and indexes."""

    def recreated(database: Database) -> dict[str, tuple[list[Any], set[Any]]]:
        with database.bind_ctx(TABLES):
            database.drop_tables(TABLES)
            database.create_tables(TABLES)
        return schema(database)

    migrated = store.read(schema)
    with Store(new_database()) as other:
        assert migrated == other.write(recreated).result()
    assert len(migrated) == len(TABLES)


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the real migrations to which a test adds its own."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrating._MIGRATIONS, folder)
    monkeypatch.setattr(migrating, "_MIGRATIONS", folder)
    return folder


def applied(store: Store) -> list[str]:
    rows = store.read(lambda d: d.execute_sql(f"SELECT name FROM {HISTORY} ORDER BY name").fetchall())
    return [name for (name,) in rows]


GOOD = """
def up(migrator, database):
    database.execute_sql("CREATE TABLE later (x INTEGER)")
"""
BAD = """
def up(migrator, database):
    database.execute_sql("CREATE TABLE half (x INTEGER)")
    database.execute_sql("UPDATE meta SET value = 'changed'")
    database.execute_sql("INSERT INTO nowhere VALUES (1)")
"""


def test_a_new_migration_runs_once_and_keeps_the_rows(where: str, migrations: Path) -> None:
    """Opening an older database migrates it once."""
    with Store(where) as store:
        identity = store.id
    (migrations / "9999_later.py").write_text(GOOD)
    for _ in range(2):
        with Store(where) as store:
            assert applied(store) == [*SHIPPED, "9999_later"]
            assert store.id == identity
            assert "later" in store.read(lambda d: d.get_tables())


def test_a_failing_migration_leaves_nothing(where: str, migrations: Path) -> None:
    """A failed migration leaves no table, row or record, and the older version still opens."""
    with Store(where) as store:
        identity = store.id
    (migrations / "9999_breaks.py").write_text(BAD)
    with pytest.raises(StoreError, match="nowhere"):
        Store(where)
    (migrations / "9999_breaks.py").unlink()
    with Store(where) as store:
        assert applied(store) == SHIPPED
        assert set(store.read(lambda d: d.get_tables())) == {t._meta.table_name for t in TABLES} | {HISTORY}
        assert store.read(lambda d: [row.value for row in MetaRow.select().execute(d)]) == [identity]


def test_a_migration_whose_record_fails_leaves_nothing(where: str, migrations: Path) -> None:
    """A migration and its record are one transaction."""
    Store(where).close()
    taken = f"INSERT INTO {HISTORY} (name, applied) VALUES ('9999_later', '2026-01-01')"
    (migrations / "9999_later.py").write_text(f'{GOOD}    database.execute_sql("{taken}")\n')
    with pytest.raises(StoreError, match=r"(?i)unique"):
        Store(where)
    (migrations / "9999_later.py").unlink()
    with Store(where) as store:
        assert "later" not in store.read(lambda d: d.get_tables())
        assert applied(store) == SHIPPED
