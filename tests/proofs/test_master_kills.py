"""Rotations of the master key that are killed at every write, and one while other processes call."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend
from peewee import SqliteDatabase

from supernova_ai.keys import MasterKey, Vault, resolve
from supernova_ai.operations.master_rotation import rotate_master
from supernova_ai.secret import Secret
from supernova_ai.sessions import SessionKey, history
from supernova_ai.sessions.history import ExchangeCipher
from supernova_ai.store import Store
from tests.processes import kill_at, run_in_child

pytestmark = pytest.mark.proof

FIRST = bytes(range(1, 33)).hex()
KEY = Secret("sk-test-00000001")
TALK = SessionKey("ann", "talk")


class FileKeyring(KeyringBackend):
    """A keyring that outlives its process: each entry is a file, written at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._folder = folder

    def get_password(self, service: str, username: str) -> str | None:
        file = self._folder / f"{service}.{username}"
        return file.read_text() if file.exists() else None

    def set_password(self, service: str, username: str, password: str) -> None:
        file = self._folder / f"{service}.{username}"
        file.with_suffix(".tmp").write_text(password)
        file.with_suffix(".tmp").replace(file)

    def delete_password(self, service: str, username: str) -> None:
        (self._folder / f"{service}.{username}").unlink()


def kill_at_write(number: int) -> None:
    """Kill this process at its n-th statement, commit, write of a file or write of the keyring."""
    database = (SqliteDatabase, ("cursor", "commit"))
    keyring = (FileKeyring, ("set_password", "delete_password"))
    files = (os, ("open", "fsync", "link", "replace", "unlink", "rename"))
    kill_at(number, (database, keyring, files))


class Place:
    """A folder with a store, and where its master is; "moved" is one that goes from the keyring to a file."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.backend = FileKeyring(folder)
        self.environ = {"SUPERNOVA_HOME": str(folder)}
        if kind == "file":
            self.environ["SUPERNOVA_MASTER_KEY_FILE"] = str(folder / "master")

    def copy(self, folder: Path) -> Place:
        shutil.copytree(self.folder, folder)
        return Place(folder, self.kind)

    def make(self) -> None:
        with Store(self.folder / "supernova.db") as store:
            if self.kind != "file":
                self.backend.set_password("supernova-ai", store.id, FIRST)
            else:
                (self.folder / "master").touch(0o600)
                (self.folder / "master").write_text(FIRST)
            vault = self.vault(store)
            vault.add("openai", "primary", KEY)
            cipher = ExchangeCipher(vault.session_cipher(), store.id, os.urandom)
            store.write(
                lambda database: history.append(database, cipher, TALK, 1, message="hi", answer="ho")
            ).result()

    def vault(self, store: Store) -> Vault:
        return Vault(store, lambda: resolve(store, environ=self.environ, backend=self.backend))

    def rotate(self) -> bool:
        """Rotate, and return whether an earlier rotation was finished instead."""
        with Store(self.folder / "supernova.db") as store:
            to = "file" if self.kind == "moved" else None
            return rotate_master(store, to=to, grace_s=0, environ=self.environ, backend=self.backend).finished

    def check(self) -> str:
        """Everything opens, and the audit verifies; return the id of the master in force."""
        with Store(self.folder / "supernova.db") as store:
            vault = self.vault(store)
            assert vault.reveal("openai", "primary").reveal() == KEY.reveal()
            cipher = ExchangeCipher(vault.session_cipher(), store.id, os.urandom)
            (turn,) = store.read(lambda database: history.read(database, cipher, TALK, 0))
            assert turn.message == "hi"
            report = vault.verify_audit()
            assert report.ok, report.reason
            return resolve(store, environ=self.environ, backend=self.backend).id


@pytest.mark.parametrize("kind", ["keyring", "file", "moved"])
def test_a_rotation_killed_at_any_write_leaves_the_old_or_the_new_master(kind: str, tmp_path: Path) -> None:
    """After SIGKILL at each write, everything opens with one of two masters; the same command finishes."""
    template = Place(tmp_path / "template", kind)
    template.folder.mkdir()
    # In children: a process that opened SQLite must not fork and go on.
    assert run_in_child(template.make) == 0
    old, seen, number = MasterKey.of(bytes.fromhex(FIRST)).id, set(), 0
    while True:
        place = template.copy(tmp_path / str(number))

        def killed(place: Place = place, number: int = number) -> None:
            kill_at_write(number)
            place.rotate()

        def after(place: Place = place) -> None:
            found = place.check()
            finished = place.rotate()
            assert place.check() != old
            names = {one.name for one in place.folder.iterdir()}
            assert not [name for name in names if name.endswith((".next", ".tmp"))]
            os._exit(10 + 2 * (found == old) + finished)

        status = run_in_child(killed)
        outcome = run_in_child(after)
        assert outcome in {10, 11, 12}, f"killed at write {number}"
        seen.add(outcome)
        shutil.rmtree(place.folder)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        number += 1
    assert number > 20
    assert seen == {10, 11, 12}  # new and tidy, new and finished by the second run, old
