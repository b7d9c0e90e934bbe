"""A backup is restored on either engine, completely or not at all, and never over something unseen."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import keyring
import keyring.backends.fail
import pytest

from supernova_ai.audit import acting
from supernova_ai.config import Loaded
from supernova_ai.errors import BackupError, MasterKeyError, SchemaTooNew, StoreError
from supernova_ai.keys import MasterKey
from supernova_ai.ledger import Ledger
from supernova_ai.operations.backup import restore as restoring
from supernova_ai.operations.backup import snapshot
from supernova_ai.operations.backup.comparison import RestorePlace, compare, existing
from supernova_ai.operations.backup.inspection import inspect
from supernova_ai.operations.backup.pending import finish_interrupted
from supernova_ai.secret import Secret
from supernova_ai.store import Store, bulk, schema
from tests.databases import empty_schema
from tests.keys.conftest import FakeKeyring
from tests.operations.backup.conftest import (
    KEY,
    MASTER,
    PASSPHRASE,
    Back,
    Restore,
    contents,
    no_temporary_files,
    vault_of,
)
from tests.upkeep.sample_ledger import BUDGETS, report, run


@pytest.fixture(params=["to SQLite", "to PostgreSQL"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that is not there yet, or has no table, on either engine."""
    database = nullcontext(str(tmp_path / "new.db")) if request.param == "to SQLite" else empty_schema()
    with database as where:
        yield where


sqlite_only = pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)


def test_every_row_comes_back_on_any_engine(
    back_up: Back, restore_into: Restore, source: Store, target: str, tmp_path: Path
) -> None:
    """From each engine to each: all tables are equal, the audit has one more row, and the ledger is right."""
    before = contents(source)
    made = back_up()
    restore_into(made.file, target)
    with Store(target) as restored:
        after = contents(restored, without=("audit", "meta"))
        assert after == {name: before[name] for name in after}
        assert restored.id == source.id
        assert report(restored, tmp_path / "home" / "archive").problems == ()
        vault = vault_of(restored)
        assert vault.reveal("openai", "primary").reveal() == KEY.reveal()
        assert vault.verify_audit().ok
        assert list(vault.audit_events())[-1].event == "backup.restored"


def test_a_restored_store_goes_on(
    back_up: Back, restore_into: Restore, target: str, make_entry: Any, clock: Any, tmp_path: Path
) -> None:
    """New windows, alerts and journal rows get new numbers."""
    restore_into(back_up().file, target)
    clock.now += 40 * 86_400
    with Store(target) as restored:
        ledger = Ledger(restored, BUDGETS, clock=lambda: clock.now)
        hold = ledger.write(lambda database: ledger.hold(database, make_entry("0.1"))).result()
        ledger.close()
        assert report(restored, tmp_path / "home" / "archive").problems == ()
    assert hold.windows


@sqlite_only
def test_the_files_and_the_master_key_come_back(back_up: Back, restore_into: Restore, tmp_path: Path) -> None:
    """Configuration, templates and archives are equal byte for byte; the master key is only for its user."""
    done = restore_into(back_up().file)
    home = tmp_path / "home"
    for folder in ("config", "archive"):
        theirs = {file.relative_to(tmp_path): file.read_bytes() for file in (tmp_path / folder).rglob("*.*")}
        ours = {file.relative_to(home): file.read_bytes() for file in (home / folder).rglob("*.*")}
        assert ours == theirs != {}
    assert done.master == home / "master.key"
    assert (home / "master.key").read_text() == MASTER.reveal() + "\n"
    assert stat.S_IMODE((home / "master.key").stat().st_mode) == 0o600
    assert no_temporary_files(home)


@sqlite_only
def test_a_master_key_that_is_here_is_not_written(
    back_up: Back, restore_into: Restore, tmp_path: Path
) -> None:
    """If a source has the key already, no file gets it; with ``none`` neither."""
    made = back_up()
    ways: list[dict[str, Any]] = [
        {"environ": {"API_KEY_ENCRYPTION_KEY": MASTER.reveal()}},
        {"master_to": "none"},
    ]
    for number, given in enumerate(ways):
        done = restore_into(made.file, str(tmp_path / f"new-{number}.db"), **given)
        assert done.master is None
        assert not (tmp_path / "home" / "master.key").exists()


@sqlite_only
def test_another_data_folder_gets_its_own_master_key(
    back_up: Back, restore_into: Restore, tmp_path: Path
) -> None:
    """The key file of the present data folder does not serve another folder, so that gets the file too."""
    present = tmp_path / "present"
    present.mkdir()
    (present / "master.key").touch(mode=0o600)
    (present / "master.key").write_text(MASTER.reveal())
    done = restore_into(back_up().file, environ={"SUPERNOVA_HOME": str(present)})
    assert done.master == tmp_path / "home" / "master.key"
    assert done.master.exists()


@sqlite_only
def test_the_master_key_can_go_into_the_keyring(
    back_up: Back, restore_into: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Store
) -> None:
    """No file keeps it then; a keyring that cannot be used is reported before anything changes."""
    made = back_up()
    monkeypatch.setattr("keyring.get_keyring", keyring.backends.fail.Keyring)
    with pytest.raises(MasterKeyError, match="is not safe for a master key"):
        restore_into(made.file, master_to="keyring")
    assert not (tmp_path / "home").exists()
    kept: dict[tuple[str, str], str] = {}
    monkeypatch.setattr("keyring.get_keyring", lambda: FakeKeyring(kept))
    assert restore_into(made.file, master_to="keyring").master_note == "in the keyring"
    assert kept == {("supernova-ai", source.id): MASTER.reveal()}
    assert not (tmp_path / "home" / "master.key").exists()


@sqlite_only
def test_another_master_key_in_the_file_stays(back_up: Back, restore_into: Restore, tmp_path: Path) -> None:
    """The key then gets a file of its own name."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "master.key").write_text("77" * 32)
    done = restore_into(back_up().file)
    master = MasterKey.of(bytes.fromhex(MASTER.reveal()))
    assert done.master == tmp_path / "home" / f"master-{master.id[:8]}.key"
    assert (tmp_path / "home" / "master.key").read_text() == "77" * 32


def test_a_newer_database_is_not_replaced_unasked(
    back_up: Back, restore_into: Restore, source: Store, where: str
) -> None:
    """The message says what would be lost; with ``replace`` it is saved first, and can itself be restored."""
    made = back_up()
    run(source, "INSERT INTO journal (at_ms, event, before, after, reason) VALUES (1, 'x', '', '', 'later')")
    at_ms = made.manifest.created_ms + 1000
    run(source, "UPDATE attempt SET started_ms = ?, cost_nano = 7 WHERE id = 'attempt-50'", at_ms)
    now = contents(source)
    with pytest.raises(
        BackupError,
        match=r"newer than the backup: since then it has 1 attempt, which cost \$0.000000007, and 1 audited",
    ):
        restore_into(made.file, where)
    assert contents(source) == now
    done = restore_into(made.file, where, replace=True)
    assert done.before.later.nano == 7
    assert contents(source)["journal"] < now["journal"]
    assert done.saved is not None
    restore_into(done.saved, where, replace=True)
    again = contents(source, without=("audit", "meta"))
    assert again == {name: now[name] for name in again}


@sqlite_only
@pytest.mark.parametrize(
    ("change", "relation"),
    [
        ("DELETE FROM audit WHERE number > 1", "older"),
        ("UPDATE audit SET mac = 'x'", "diverged"),
        ("UPDATE meta SET value = '77777777777777777777777777777777' WHERE name = 'store'", "other"),
    ],
)
def test_what_is_there_is_recognised(
    back_up: Back, source: Store, where: str, loaded: Loaded, tmp_path: Path, change: str, relation: str
) -> None:
    """An older database, one with another history, and one of another store are told apart by their heads."""
    made = back_up()
    run(source, change)
    source.close()
    place = RestorePlace(where, tmp_path, tmp_path / "config")
    with Store(where) as store:
        found = compare(store, loaded, place, inspect(made.file, PASSPHRASE))
    assert (found.relation, found.loses is None) == (relation, False)


@sqlite_only
def test_a_preview_says_what_would_change_and_changes_nothing(
    back_up: Back, source: Store, loaded: Loaded, tmp_path: Path
) -> None:
    """Rows, keys, settings, what budgets spent, and files; a database that is not there is not made."""
    made = back_up()
    found = inspect(made.file, PASSPHRASE)
    vault_of(source).add("openai", "primary", Secret("sk-another-0123456789"))
    run(source, "UPDATE budget_window SET settled_nano = settled_nano + 5 WHERE budget = 'daily'")
    (tmp_path / "config" / "prompts" / "chat.md").unlink()
    (tmp_path / "config" / "supernova.yaml").write_text("{}")
    changes = compare(source, loaded, RestorePlace(source.where, tmp_path, tmp_path / "config"), found)
    assert changes.rows["api_key"] == (2, 1)
    assert changes.keys == {
        "openai/primary version 1": ("revoked", "active"),
        "openai/primary version 2": ("active", None),
    }
    assert all(now == then + 5 for now, then in changes.windows.values() if now and then)
    assert changes.windows
    assert sorted(changes.files.values()) == ["changed", "new"]
    elsewhere = RestorePlace(
        str(tmp_path / "none" / "new.db"), tmp_path / "none", tmp_path / "none" / "config"
    )
    with existing(elsewhere) as empty:
        assert compare(empty, loaded, elsewhere, found).loses is None
    assert not (tmp_path / "none").exists()


@sqlite_only
def test_files_that_differ_are_not_replaced_unasked(
    back_up: Back, restore_into: Restore, tmp_path: Path
) -> None:
    """Even if the database is empty: the configuration that is there is saved first."""
    made = back_up()
    mine = tmp_path / "home" / "config" / "supernova.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    with pytest.raises(BackupError, match=r"these files differ from the backup's: .*supernova\.yaml"):
        restore_into(made.file)
    assert mine.read_text() == "{}"
    assert restore_into(made.file, replace=True).saved
    assert mine.read_text() != "{}"


def test_a_database_in_use_is_refused(
    back_up: Back, restore_into: Restore, source: Store, where: str, make_entry: Any
) -> None:
    """While a process holds a lease, nothing is replaced."""
    made = back_up()
    ledger = Ledger(source, BUDGETS)
    ledger.write(lambda database: ledger.hold(database, make_entry("0.1"))).result()
    now = contents(source)
    with pytest.raises(StoreError, match=r"the database is in use by process \d+ on .*end it first"):
        restore_into(made.file, where, replace=True)
    assert contents(source) == now
    ledger.close()


@sqlite_only
def test_a_backup_of_an_older_schema_is_migrated(
    back_up: Back, restore_into: Restore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its tables are made as they were, filled, and then migrated as an old database is."""
    made = back_up()
    folder = tmp_path / "migrations"
    shutil.copytree(schema._MIGRATIONS, folder)
    (folder / "9999_later.py").write_text(
        "def up(_, database):\n    database.execute_sql(\"UPDATE attempt SET model = model || '!'\")\n"
    )
    monkeypatch.setattr(schema, "_MIGRATIONS", folder)
    restore_into(made.file)
    with Store(tmp_path / "home" / "supernova.db") as restored:
        found = restored.read(lambda d: bulk.run(d, "SELECT DISTINCT model FROM attempt").fetchall())
    assert {model for (model,) in found} == {"gpt!", "gpt-mini!"}


@sqlite_only
def test_a_backup_of_a_newer_schema_is_refused(
    back_up: Back, restore_into: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the version to upgrade to."""
    monkeypatch.setattr(snapshot, "latest_migration", lambda _: "9999_future")
    made = back_up()
    with pytest.raises(SchemaTooNew, match=r"written by supernova-ai .*9999_future.*upgrade"):
        restore_into(made.file)


def test_a_restore_that_fails_changes_nothing(
    back_up: Back,
    restore_into: Restore,
    source: Store,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An error in the middle of the transaction leaves database and files as they were."""
    made = back_up()
    run(source, "DELETE FROM journal")
    now = contents(source)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(restoring, "continue_numbers", fail)
    with pytest.raises(StoreError, match="no space left"):
        restore_into(made.file, where, replace=True)
    assert contents(source) == now
    assert no_temporary_files(tmp_path / "home")
    assert not (tmp_path / "home" / "config").exists()


@sqlite_only
def test_both_ends_are_audited(back_up: Back, restore_into: Restore, source: Store, tmp_path: Path) -> None:
    """Who made it, and who restored it, with the file's name; a backup that fails is recorded too."""
    made = back_up()
    with pytest.raises(BackupError, match="exists: name another file"):
        back_up(made.file)
    done, failed = list(vault_of(source).audit_events())[-2:]
    assert (done.event, done.subject, done.outcome) == ("backup.created", made.file.name, "done")
    assert (failed.event, failed.outcome[:7]) == ("backup.created", "failed:")
    with acting("cli", "ann"):
        restore_into(made.file)
    with Store(tmp_path / "home" / "supernova.db") as restored:
        last = list(vault_of(restored).audit_events())[-1]
    assert (last.event, last.actor, json.loads(last.details)["created_ms"]) == (
        "backup.restored",
        "ann",
        made.manifest.created_ms,
    )


@sqlite_only
def test_without_its_audit_row_there_is_no_backup(source: Store, loaded: Loaded, tmp_path: Path) -> None:
    """Where the audit cannot be signed, no file appears."""
    wrong = vault_of(source, Secret("77" * 32))
    with pytest.raises(Exception, match="is not the one the store was sealed with"):
        snapshot.create(source, wrong, loaded, to=tmp_path / "backups", passphrase=PASSPHRASE, master=MASTER)
    assert list((tmp_path / "backups").glob("*.backup")) == []
    assert no_temporary_files(tmp_path / "backups")


@sqlite_only
def test_the_key_is_nowhere_in_the_file(back_up: Back) -> None:
    """Nor the master key, nor any text of the database."""
    data = back_up().file.read_bytes()
    for text in (KEY.reveal(), MASTER.reveal(), "openai", "attempt"):
        assert text.encode() not in data
        assert text.encode().hex().encode() not in data


@sqlite_only
def test_a_key_that_does_not_open_is_found(back_up: Back, source: Store) -> None:
    """Verifying opens each key with the master key in the backup."""
    assert inspect(back_up().file, PASSPHRASE).opened == 1
    run(source, "UPDATE api_key SET version = 2")
    with pytest.raises(BackupError, match="a key in the backup does not open"):
        inspect(back_up().file, PASSPHRASE)


@sqlite_only
def test_a_store_without_master_key_is_backed_up(
    store: Store, loaded: Loaded, restore_into: Restore, tmp_path: Path
) -> None:
    """A ledger may have no keys: the audit of both is public."""
    assert snapshot.master_of(store, {}) is None
    made = snapshot.create(
        store, vault_of(store), loaded, to=tmp_path / "b", passphrase=PASSPHRASE, master=None
    )
    done = restore_into(made.file)
    assert done.master is None
    with closing(sqlite3.connect(tmp_path / "home" / "supernova.db")) as database:
        events = database.execute("SELECT event FROM audit ORDER BY number").fetchall()
    assert events == [("backup.restored",)]


@sqlite_only
def test_what_was_saved_without_its_master_key_is_restored(
    back_up: Back, restore_into: Restore, source: Store, where: str
) -> None:
    """The row of such a restore cannot be signed, and so is left out: the chain stays whole."""
    first = back_up()
    back_up()
    saved = restore_into(first.file, where, replace=True).saved  # no source has the master key here
    assert saved is not None
    assert inspect(saved, PASSPHRASE).master is None
    restore_into(saved, where, replace=True)
    assert vault_of(source).verify_audit().ok
    assert [event.event for event in vault_of(source).audit_events()][-1] == "backup.created"


@sqlite_only
def test_a_folder_that_cannot_be_used_is_named(back_up: Back, restore_into: Restore, tmp_path: Path) -> None:
    """A file in the place of the data folder, or of the configuration, is an error that names it."""
    made = back_up()
    (tmp_path / "home").write_text("a file")
    with pytest.raises(BackupError, match=r"cannot be restored into .*home"):
        restore_into(made.file)
    (tmp_path / "home").unlink()
    (tmp_path / "home" / "config" / "supernova.yaml").mkdir(parents=True)
    with pytest.raises(BackupError, match=r"supernova\.yaml is in the place of a file"):
        restore_into(made.file)


@sqlite_only
def test_files_that_cannot_be_put_in_place_wait(
    back_up: Back, restore_into: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is restored, the message says where they are, and the next start puts them there."""
    made = back_up()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as failing:
        failing.setattr("shutil.copyfileobj", full)
        with pytest.raises(BackupError, match="the file waits in"):
            restore_into(made.file)
    assert finish_interrupted(tmp_path / "home") == ["an interrupted restore of a backup was completed"]
    assert (tmp_path / "home" / "config" / "supernova.yaml").exists()
    assert (tmp_path / "home" / "master.key").exists()
