"""A store that is only read: on both engines nothing can be written, made or migrated through it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from peewee import Database

from supernova_ai.errors import SchemaTooNew, StoreError
from supernova_ai.store import ReadOnlyStore, Store, get_meta, set_meta
from supernova_ai.store.schema import known_migrations
from supernova_ai.store.tables import MetaRow
from tests.databases import MIGRATIONS, empty_schema


def test_it_reads_what_others_write(store: Store, where: str) -> None:
    """What another connection commits is seen by the next read, beside an open writer."""
    reader = ReadOnlyStore(where)
    for value in ("a", "b"):
        store.write(partial(set_meta, name="name", value=value)).result()
        assert reader.read(lambda database: get_meta(database, "name")) == value
    assert abs(reader.now_ms() - store.now_ms()) < 60_000


def test_one_read_sees_one_state(store: Store, where: str) -> None:
    """Figures that are read one after another agree, though a writer commits between them."""

    def twice(database: Database) -> list[int]:
        before = MetaRow.select().count(database)
        store.write(lambda database: set_meta(database, "between", "x")).result()
        return [before, MetaRow.select().count(database)]

    first, second = ReadOnlyStore(where).read(twice)
    assert first == second


@pytest.mark.parametrize(
    "statement", ["DELETE FROM meta", "DROP TABLE meta", "CREATE TABLE mine (id INTEGER)"]
)
def test_nothing_can_be_written(store: Store, where: str, statement: str) -> None:
    """The database itself refuses every change."""
    reader = ReadOnlyStore(where)
    with pytest.raises(StoreError, match=r"read-?only"):
        reader.read(lambda database: database.execute_sql(statement))
    assert store.read(lambda database: get_meta(database, "store")) == store.id


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    """The error says what will make it."""
    path = tmp_path / "none" / "supernova.db"
    with pytest.raises(StoreError, match=r"there is no database at .* yet: the first request"):
        ReadOnlyStore(path)
    assert not path.parent.exists()


@pytest.mark.parametrize("where", ["\0", "~nobody-has-this-name/x.db", ":memory:", "mysql://host/x"])
def test_a_name_that_cannot_be_used(where: str) -> None:
    """It is an error of ours, with a remedy."""
    with pytest.raises(StoreError, match="database"):
        ReadOnlyStore(where)


def test_another_version_wrote_it(store: Store, where: str) -> None:
    """A schema that is newer, or lacks a migration, is refused; nothing is migrated."""
    *_, before, last = known_migrations()
    deleted = f"DELETE FROM {MIGRATIONS} WHERE name = '{last}'"
    store.write(lambda database: database.execute_sql(deleted)).result()
    with pytest.raises(StoreError, match=rf"older version .*it lacks {last}.*`supernova costs`"):
        ReadOnlyStore(where)
    later = f"UPDATE {MIGRATIONS} SET name = '9999_later' WHERE name = '{before}'"
    store.write(lambda database: database.execute_sql(later)).result()
    with pytest.raises(SchemaTooNew, match="9999_later"):
        ReadOnlyStore(where)


def test_a_server_without_tables() -> None:
    """A schema without tables lacks every migration; none is made."""
    with empty_schema() as url, pytest.raises(StoreError, match="it lacks 0001_first"):
        ReadOnlyStore(url)
