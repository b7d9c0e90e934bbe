"""``supernova backup``: what it prints, asks and refuses, and its exit codes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import config as configuration
from supernova_ai.money import to_nano
from supernova_ai.operations.backup import pending, snapshot
from supernova_ai.operations.backup.container import Cost
from supernova_ai.store import Store
from supernova_ai.store.tables import WindowRow
from tests.cli.conftest import KEY, Supernova

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "COST", Cost(log_n=4))


@pytest.fixture
def data(supernova: Supernova, configure: Callable[..., Path], supernova_home: Path) -> Path:
    """A data folder with a key in its database, and a configuration."""
    configure("http://127.0.0.1:9")
    assert supernova("keys", "add", "openai", stdin=KEY).code == 0
    return supernova_home


@pytest.fixture
def backup(supernova: Supernova, data: Path) -> Path:
    """A backup of it."""
    assert supernova("backup", "create", stdin=PASSPHRASE).code == 0
    (file,) = (data / "backups").glob("*.backup")
    return file


def test_create_says_what_it_wrote_and_what_to_do(supernova: Supernova, data: Path, folder: Path) -> None:
    """The file is only for its user, and named after the store; --to names a folder or a new file."""
    made = supernova("backup", "create", stdin=f"{PASSPHRASE}\n")
    (file,) = (data / "backups").glob("*.backup")
    assert made.out.startswith(f"{file}: ")
    assert "Keep it on another disk" in made.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    named = supernova("backup", "create", "--to", "mine.backup", "--json", stdin=PASSPHRASE).json
    assert (named["file"], named["manifest"]["rows"]["api_key"]) == ("mine.backup", 1)
    again = supernova("backup", "create", "--to", "mine.backup", stdin=PASSPHRASE)
    assert (again.code, "mine.backup exists: name another file, or a folder" in again.err) == (7, True)


def test_the_passphrase_comes_from_a_private_file(supernova: Supernova, data: Path, folder: Path) -> None:
    """One that others may read is refused, and so is a short one; neither is repeated."""
    file = folder / "pass"
    file.write_text(f"{PASSPHRASE}\n")
    file.chmod(0o644)
    refused = supernova("backup", "create", "--passphrase-file", "pass")
    assert (refused.code, "must be yours, with mode 0600" in refused.err) == (2, True)
    file.chmod(0o600)
    assert supernova("backup", "create", "--passphrase-file", "pass").code == 0
    (made,) = (data / "backups").glob("*.backup")
    assert supernova("backup", "verify", str(made), stdin=PASSPHRASE).code == 0
    short = supernova("backup", "create", stdin="too short")
    assert (short.code, "at least 12 characters, and this has 9" in short.err) == (2, True)
    assert "too short" not in short.err


def test_list_needs_no_passphrase(supernova: Supernova, backup: Path, tmp_path: Path) -> None:
    """It shows time, size and file; a folder without backups is said to be one."""
    listed = supernova("backup", "list")
    assert listed.out.split()[-1] == str(backup)
    assert [row["file"] for row in supernova("backup", "list", "--json").json] == [str(backup)]
    (empty := tmp_path / "empty").mkdir()
    assert supernova("backup", "list", str(empty)).out.replace("\n", "") == f"no backups in {empty}"


@pytest.mark.parametrize("command", [("list",), ("prune", "--yes")], ids=" ".join)
def test_a_folder_that_does_not_exist_is_refused(supernova: Supernova, command: tuple[str, ...]) -> None:
    """A misspelt folder is not taken for one without backups."""
    result = supernova("backup", *command, "nowhere")
    assert (result.code, "there is no folder nowhere" in result.err) == (2, True)


def test_verify_tells_a_wrong_passphrase_from_other_files(supernova: Supernova, backup: Path) -> None:
    """Exit 7, with the reason; a whole one is said to be whole, and that its key opens."""
    right = supernova("backup", "verify", str(backup), stdin=PASSPHRASE)
    assert right.out.splitlines()[-1].endswith("environment development, is whole")
    assert "its master key opens its keys, 1 in all" in right.out
    wrong = supernova("backup", "verify", str(backup), stdin="wrong horse battery")
    assert (wrong.code, "the passphrase is wrong, or the file is damaged" in wrong.err) == (7, True)
    backup.write_text("x" * 1000)
    other = supernova("backup", "verify", str(backup), stdin=PASSPHRASE)
    assert (other.code, "is not a backup of supernova-ai" in other.err) == (7, True)
    missing = supernova("backup", "verify", "/nowhere", stdin=PASSPHRASE)
    assert (missing.code, "/nowhere cannot be read: No such file" in missing.err) == (7, True)


def test_restore_into_a_folder_shows_how_to_use_it(
    supernova: Supernova, backup: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SUPERNOVA_HOME set to it, the restored key is there."""
    done = supernova("backup", "restore", str(backup), "--into", "there", stdin=PASSPHRASE)
    there = folder / "there"
    used = f"export SUPERNOVA_HOME={there} SUPERNOVA_CONFIG={there}/config/supernova.yaml"
    assert f"use the folder: {used}" in done.out
    assert "use the database" not in done.out
    assert "budgets do not know what was spent after" in done.out
    assert "the master key: this machine has it already" in done.out
    again = supernova(
        "backup", "restore", str(backup), "--into", "again", "--master-to", "file", stdin=PASSPHRASE
    )
    assert f"the master key: in {Path('again', 'master.key')}" in again.out
    monkeypatch.setenv("SUPERNOVA_HOME", str(folder / "there"))
    assert supernova("keys", "list", "--json").json[0]["provider"] == "openai"
    assert supernova("audit", "verify").code == 0


def test_restore_refuses_then_asks_then_replaces(supernova: Supernova, backup: Path, data: Path) -> None:
    """Without --replace it says what would be lost; with it, it asks, saves what is there, and warns."""
    assert supernova("keys", "remove", "openai", "--yes").code == 0
    refused = supernova("backup", "restore", str(backup), stdin=PASSPHRASE)
    assert (refused.code, "the database is newer than the backup" in refused.err) == (7, True)
    preview = supernova("backup", "restore", str(backup), "--preview", stdin=PASSPHRASE)
    assert "keys: openai/primary version 1: revoked → active" in preview.out
    assert "it needs --replace" in preview.out
    plain = supernova("backup", "restore", str(backup), "--preview", "--json", stdin=PASSPHRASE).json
    assert plain["changes"]["keys"] == {"openai/primary version 1": ["revoked", "active"]}
    assert plain["changes"]["later"] == {"attempts": 0, "operations": 2, "cost": "0"}
    unanswered = supernova("backup", "restore", str(backup), "--replace", stdin=f"{PASSPHRASE}\nn\n")
    assert unanswered.code == 1
    done = supernova("backup", "restore", str(backup), "--replace", "--yes", stdin=PASSPHRASE)
    assert done.code == 0
    assert "openai/primary version 1 was revoked after the backup, and is active again" in done.out
    assert len(list((data / "backups").glob("*.backup"))) == 2
    assert supernova("audit", "accept", "--yes").code == 0
    assert supernova("audit", "verify").code == 0


def test_amounts_in_the_preview_are_in_usd(supernova: Supernova, backup: Path, data: Path) -> None:
    """As everywhere in JSON, they are texts; a window that is not in the backup has null there."""
    window = WindowRow(budget="daily", subject="", period="2026-11-30", settled=to_nano("1.65"), scope="")
    with Store(data / "supernova.db") as store:
        store.write(lambda database: window.insert(window.__data__).execute(database)).result()
    plain = supernova("backup", "restore", str(backup), "--preview", "--json", stdin=PASSPHRASE).json
    assert plain["changes"]["windows"] == {"daily 2026-11-30": ["1.65", None]}


def test_a_master_key_that_comes_back_is_told(supernova: Supernova, backup: Path, data: Path) -> None:
    """A backup of before a rotation brings the old master key back, which may have leaked."""
    rotated = supernova("keys", "rotate-master", "--to", "file")
    assert rotated.code == 0, rotated.err
    preview = supernova("backup", "restore", str(backup), "--preview", stdin=PASSPHRASE)
    assert "the master key from before the rotation would be in force again" in preview.out
    done = supernova("backup", "restore", str(backup), "--replace", "--yes", stdin=PASSPHRASE)
    assert "the master key from before the rotation is in force again" in done.out, done.err


def test_a_backup_of_another_environment_is_not_restored_here(
    supernova: Supernova, backup: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would mix the ledgers of two environments."""
    (folder / "config" / "environments").mkdir()
    (folder / "config" / "environments" / "staging.yaml").write_text("{}")
    monkeypatch.setenv("SUPERNOVA_ENV", "staging")
    refused = supernova("backup", "restore", str(backup), stdin=PASSPHRASE)
    assert (refused.code, "is of environment 'development', and 'staging' is in force" in refused.err) == (
        2,
        True,
    )


def test_a_database_that_the_configuration_does_not_name_is_said(
    supernova: Supernova, data: Path, folder: Path, configure: Callable[..., Path], tmp_path: Path
) -> None:
    """The restored configuration names the old database, or another one was asked for."""
    configure("http://127.0.0.1:9", database=str(tmp_path / "named.db"))
    made = supernova("backup", "create", "--to", "named.backup", stdin=PASSPHRASE)
    assert made.code == 0
    done = supernova("backup", "restore", "named.backup", "--into", "there", stdin=PASSPHRASE)
    assert f"set 'database' in the configuration to {Path('there', 'supernova.db')}" in done.out
    empty = supernova("backup", "restore", "named.backup", "--into", " ", stdin=PASSPHRASE)
    assert (empty.code, "--into is empty" in empty.err) == (2, True)


def test_prune_asks_and_keeps_the_last(supernova: Supernova, backup: Path, data: Path) -> None:
    """Nothing is deleted without an answer."""
    supernova("backup", "create", stdin=PASSPHRASE)
    asked = ("backup", "prune", "--daily", "1", "--weekly", "0", "--monthly", "0")
    assert supernova(*asked, stdin="n\n").code == 1
    assert len(list((data / "backups").glob("*.backup"))) == 2
    assert "deleted 1 of 2 backups" in supernova(*asked, "--yes").out
    assert not backup.exists()
    assert "deleted 0 of 1 backup" in supernova("backup", "prune", "--daily", "0", "--yes").out


def test_any_command_finishes_an_interrupted_restore(
    supernova: Supernova, data: Path, backup: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that died after the database was restored left its files; the next command moves them."""
    yaml = folder / "config" / "supernova.yaml"
    written = yaml.read_text()
    yaml.write_text("{}")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(pending, "_move", die)
        supernova("backup", "restore", str(backup), "--replace", "--yes", stdin=PASSPHRASE)
    assert yaml.read_text() == "{}"
    after = supernova("keys", "list")
    assert (after.code, after.err) == (0, "an interrupted restore of a backup was completed\n")
    assert yaml.read_text() == written
    assert list(data.glob(".restore-*")) == []


def test_the_passphrase_is_asked_twice_on_a_terminal(
    supernova: Supernova, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error would make a backup that nobody can open."""
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **given: Any) -> str:
        asked.append(given)
        return PASSPHRASE

    monkeypatch.setattr("typer.prompt", prompt)
    monkeypatch.setattr("supernova_ai.cli.backup.sys.stdin", type("Tty", (), {"isatty": lambda _: True})())
    monkeypatch.setattr("sys.argv", ["supernova"])
    from supernova_ai.cli.backup import _passphrase

    loaded = configuration.load()
    assert _passphrase(loaded, None, confirm=True).reveal() == PASSPHRASE
    assert asked == [{"hide_input": True, "confirmation_prompt": True}]


@pytest.mark.skipif(os.name != "posix", reason="a database is a file here")
def test_a_damaged_database_is_named_with_its_remedy(supernova: Supernova, backup: Path, data: Path) -> None:
    """It is not overwritten: the message says to restore elsewhere or to move it."""
    database = data / "supernova.db"
    database.write_bytes(b"nonsense" * 1000)
    failed = supernova("backup", "restore", str(backup), "--replace", "--yes", stdin=PASSPHRASE)
    assert failed.code == 7
    assert "not a database" in failed.err
    assert database.read_bytes() == b"nonsense" * 1000
    database.unlink()
    with Store(database):
        pass
