"""Opening a store: the file, its permissions, and the errors."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock
from peewee import Database

from supernova_ai.errors import SchemaTooNew, StoreError
from supernova_ai.store import Store, get_meta, set_meta
from supernova_ai.store.tables import MetaRow
from tests.processes import FORK

NOBODY = 65534


def put(name: str, store: Store) -> None:
    store.write(lambda database: MetaRow.insert(name=name, value="x").execute(database)).result()


def names(store: Store) -> set[str]:
    return {row.name for row in store.read(lambda database: list(MetaRow.select().execute(database)))}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_created_and_every_file_is_private(path: Path) -> None:
    """Only the owner can read the folder, the database, its write-ahead log and its lock file."""
    with Store(path) as store:
        put("row", store)
        files = {file.name: mode(file) for file in path.parent.iterdir()}
    assert set(files) >= {"supernova.db", "supernova.db-wal"}
    assert set(files.values()) == {0o600}
    assert mode(path.parent) == 0o700


def test_rows_and_id_survive_reopening(where: str) -> None:
    """A reopened store has the same rows and the same id."""
    with Store(where) as store:
        put("row", store)
        identity = store.id
    with Store(where) as again:
        assert "row" in names(again)
        assert again.id == identity


def test_every_store_has_its_own_id(new_database: Callable[[], str]) -> None:
    """Two stores never share an id, because encrypted keys are bound to it."""
    with Store(new_database()) as one, Store(new_database()) as two:
        assert one.id != two.id


def test_commits_are_durable(path: Path) -> None:
    """The writer's connection uses WAL mode and synchronous=FULL."""

    def pragma(database: Database, name: str) -> object:
        return database.execute_sql(f"PRAGMA {name}").fetchone()[0]

    with Store(path) as store:
        assert store.write(lambda database: pragma(database, "journal_mode")).result() == "wal"
        assert store.write(lambda database: pragma(database, "synchronous")).result() == 2  # FULL


def test_two_stores_of_a_process_keep_their_log(path: Path) -> None:
    """Another process that closes does not take itself for the last, and remove the write-ahead log."""
    other = f"from supernova_ai.store import Store; Store({str(path)!r}).close()"
    with Store(path) as first:
        first.write(lambda database: set_meta(database, "name", "before")).result()  # it stays connected
        with Store(path):
            subprocess.run([sys.executable, "-c", other], check=True)
        assert path.with_name(f"{path.name}-wal").exists()
        first.write(lambda database: set_meta(database, "name", "after")).result()
    with Store(path) as store:
        assert store.read(lambda database: get_meta(database, "name")) == "after"


def test_a_sqlite_url_is_a_path(tmp_path: Path) -> None:
    """A path may be given as a sqlite:/// URL."""
    with Store(f"sqlite:///{tmp_path}/by-url.db"):
        assert (tmp_path / "by-url.db").exists()


@pytest.mark.parametrize("url", ["mysql://host/db", "mongodb://host/db", "http://host/db"])
def test_other_databases_are_refused(url: str) -> None:
    """A URL of another database is refused; the error names the supported ones."""
    with pytest.raises(StoreError, match=r"must be a file, or postgresql://.*no driver for this scheme"):
        Store(url)


def test_a_database_of_a_newer_version_is_not_changed(where: str) -> None:
    """A newer version's database is refused by name, and nothing in it changes."""

    def tables(database: Database) -> dict[str, object]:
        names = database.get_tables()
        return {name: database.execute_sql(f"SELECT * FROM {name}").fetchall() for name in names}

    def from_the_future(database: Database) -> None:
        database.execute_sql(
            "INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2099-01-01')"
        )

    with Store(where) as store:
        store.write(from_the_future).result()
        before = store.read(tables)
        with pytest.raises(
            SchemaTooNew,
            match=r"^the database \S+ was written by a newer version .* \(it has 9999_future\): upgrade",
        ):
            Store(where)
        assert store.read(tables) == before


def test_a_file_that_is_no_database_is_not_changed(path: Path) -> None:
    """A file that is not a database is an error with its remedy, and does not change."""
    path.parent.mkdir()
    path.write_text("Dear diary, today I bought at the top.\n" * 50)
    with pytest.raises(
        StoreError, match="not a SQLite database: restore a backup, or set 'database'"
    ) as caught:
        Store(path)
    assert str(path) in str(caught.value)
    assert path.read_text().startswith("Dear diary")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    """A folder instead of a database file is a StoreError that names it."""
    with pytest.raises(StoreError, match=f"{tmp_path.name}"):
        Store(tmp_path)


def test_a_file_in_the_place_of_the_folder_says_what_to_do(tmp_path: Path) -> None:
    """A file in place of the database's folder is a StoreError that says what to set."""
    (tmp_path / "home").write_text("a file")
    for place in ("home/supernova.db", "home/deeper/supernova.db"):
        with pytest.raises(StoreError, match="There is a file in place of its folder: set SUPERNOVA_HOME"):
            Store(tmp_path / place)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own folders refuse the user of ``ordinary_user``."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Run as a user whom file permissions restrict, even if the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_folder_says_what_to_do(folder: Path) -> None:
    """A read-only folder is an error with its remedy; after it is made writable, the store opens."""
    folder.chmod(0o555)
    with ordinary_user(), pytest.raises(StoreError, match="Make its folder writable by this user"):
        Store(folder / "supernova.db")
    folder.chmod(0o755)
    with Store(folder / "supernova.db") as store:
        put("row", store)
        assert "row" in names(store)


def test_a_folder_that_cannot_be_created_says_what_to_do(folder: Path) -> None:
    """A missing folder below a read-only one is the same error, and nothing is created."""
    folder.chmod(0o555)
    with ordinary_user(), pytest.raises(StoreError, match="Make its folder writable by this user"):
        Store(folder / "deeper" / "supernova.db")
    assert list(folder.iterdir()) == []


def test_a_read_only_file_says_what_to_do(folder: Path) -> None:
    """A read-only database file is an error with its remedy, and keeps its rows."""
    path = folder / "supernova.db"
    with Store(path) as store:
        put("row", store)
    for file in folder.iterdir():
        file.chmod(0o444)
    with (
        ordinary_user(),
        pytest.raises(StoreError, match="Make its folder writable by this user, and the file"),
    ):
        Store(path)
    for file in folder.iterdir():
        file.chmod(0o600)
    with Store(path) as store:
        assert "row" in names(store)


def test_a_read_that_fails_is_a_store_error(store: Store) -> None:
    """A database error during a read is a StoreError, and the next read works."""
    with pytest.raises(StoreError, match="nowhere") as caught:
        store.read(lambda database: database.execute_sql("SELECT * FROM nowhere"))
    assert store.where.partition("?")[0] in str(caught.value)
    assert names(store) == {"store"}


def test_other_errors_of_a_read_are_unchanged(store: Store) -> None:
    """An error that is not the database's reaches the caller unchanged."""

    def operation(database: Database) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        store.read(operation)


def test_many_processes_may_open_a_fresh_database_at_once(where: str) -> None:
    """Every process opens the database, sees the same id and can write."""
    count = 4
    together, found = FORK.Barrier(count), FORK.SimpleQueue()

    def opening(number: int, together: Barrier) -> None:
        together.wait()
        with Store(where) as store:
            put(f"row-{number}", store)
            found.put(store.id)

    processes = [FORK.Process(target=opening, args=(i, together)) for i in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * count
    assert len({found.get() for _ in range(count)}) == 1
    with Store(where) as store:
        assert names(store) == {"store"} | {f"row-{i}" for i in range(count)}


@pytest.mark.parametrize(
    ("name", "said"),
    [("nova\0.db", "control character"), ("~nobody-of-that-name/nova.db", "Set 'database' to a full path")],
    ids=["nul", "no home"],
)
def test_a_path_that_no_file_can_have_is_refused(name: str, said: str) -> None:
    """A NUL in the path, or "~" without a home folder, is a StoreError that says what to set."""
    with pytest.raises(StoreError, match=said):
        Store(name)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o666, True), (0o640, True)])
def test_a_file_that_others_may_read_is_logged(
    mode: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database file that other users may access still opens, with a warning."""
    file = tmp_path / "open.db"
    Store(file).close()
    file.chmod(mode)
    caplog.clear()
    Store(file).close()
    assert (f"mode {mode:04o}" in caplog.text) is warned


def test_a_current_database_is_opened_without_the_lock(tmp_path: Path) -> None:
    """A database that had all migrations is opened while another process holds the lock for making one."""
    path = tmp_path / "nova.db"
    Store(path).close()
    with FileLock(f"{path}.lock"):
        Store(path).close()
