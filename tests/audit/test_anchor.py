"""The anchor outside the database: it only moves forward, shows earlier states, and stops no operation."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

import supernova_ai
from supernova_ai.audit.anchor import Anchor
from supernova_ai.keys import MasterKey, Vault, open_vault, opening
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from tests.keys.conftest import FakeKeyring, HangingKeyring

MASTER = MasterKey.of(bytes(range(32)))
KEYS = [Secret(f"sk-test-{number:08}") for number in range(4)]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"SUPERNOVA_HOME": str(tmp_path / "home")}


@pytest.fixture
def vault(store: Store, home: dict[str, str]) -> Vault:
    """A vault whose anchor is in a file, because its master is no keyring's."""
    return open_vault(store, explicit=MASTER, environ=home)


def file_of(vault: Vault, home: dict[str, str]) -> Path:
    return Path(home["SUPERNOVA_HOME"], "anchors", vault.store.id)


def put_back(path: Path, copy: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(path)) as now:
        copy.backup(now)


@pytest.fixture
def earlier(path: Path, vault: Vault) -> Iterator[sqlite3.Connection]:
    """A copy of the database that lacks the last of its operations."""
    vault.add("openai", "primary", KEYS[0])
    with closing(sqlite3.connect(":memory:")) as copy:
        with closing(sqlite3.connect(path)) as now:
            now.backup(copy)
        vault.add("openai", "primary", KEYS[1])
        yield copy


def test_it_follows_the_chain(vault: Vault, home: dict[str, str]) -> None:
    """After every operation it names the last row, in a file for this user only."""
    for rows, key in enumerate(KEYS, 2):
        vault.add("openai", "primary", key)
        assert file_of(vault, home).read_text().startswith(f"{rows}:")
        report = vault.verify_audit()
        assert (report.ok, report.rows) == (True, rows)
        assert f"row {rows} in the file" in str(report.anchor)
    assert file_of(vault, home).stat().st_mode & 0o777 == 0o600


def test_an_earlier_state_is_noticed_for_good(
    vault: Vault, earlier: sqlite3.Connection, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """New rows do not cover it: the anchor does not move to them, and each operation warns."""
    put_back(path, earlier)
    for key in KEYS[2:]:
        assert "put back to an earlier state" in str(vault.verify_audit().reason)
        caplog.clear()
        vault.add("openai", "backup", key)
        assert "audit.anchor.behind" in caplog.text
    assert not vault.verify_audit().ok


def test_an_earlier_state_that_is_accepted_verifies(
    vault: Vault, earlier: sqlite3.Connection, path: Path
) -> None:
    """``accept_audit`` is a row, and the anchor follows the chain again."""
    put_back(path, earlier)
    vault.accept_audit()
    assert [event.event for event in vault.audit_events()][-1] == "audit.accepted"
    vault.add("openai", "backup", KEYS[2])
    assert vault.verify_audit().ok


def test_a_missing_anchor_is_only_mentioned(vault: Vault, home: dict[str, str]) -> None:
    """On another machine there is none; the next operation writes one."""
    vault.add("openai", "primary", KEYS[0])
    file_of(vault, home).unlink()
    assert (vault.verify_audit().ok, vault.verify_audit().anchor) == (True, None)
    vault.add("openai", "primary", KEYS[1])
    assert vault.verify_audit().anchor is not None


@pytest.mark.parametrize("text", ["", "x", "9:abc:def", "٣:a:b", "1" * 9999])
def test_an_altered_anchor_is_named(vault: Vault, home: dict[str, str], text: str) -> None:
    """A file that no holder of the master wrote is reported, whatever it holds, and stays as it is."""
    vault.add("openai", "primary", KEYS[0])
    file_of(vault, home).write_text(text)
    assert "was altered" in str(vault.verify_audit().reason)
    vault.add("openai", "primary", KEYS[1])
    assert file_of(vault, home).read_text() == text


def test_an_anchor_that_cannot_be_written_stops_nothing(
    store: Store, home: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A file in place of its folder is one warning; the key is added."""
    Path(home["SUPERNOVA_HOME"]).mkdir()
    Path(home["SUPERNOVA_HOME"], "anchors").touch()
    vault = open_vault(store, explicit=MASTER, environ=home)
    for key in KEYS[:2]:
        vault.add("openai", "primary", key)
    assert caplog.text.count("audit.anchor.behind") == 1
    assert vault.reveal("openai", "primary").reveal() == KEYS[1].reveal()


class StoppingKeyring(HangingKeyring):
    """Has the store's master, and hangs when it is asked for anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        if not username.endswith(".audit"):
            return "5e" * 32
        self.asked += 1
        return super().get_password(service, username)


def test_a_keyring_that_hangs_stops_nothing(
    store: Store, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first operation waits for the timeout, those after it not at all."""
    monkeypatch.setattr(opening, "_TIMEOUT_S", 0.2)
    backend = StoppingKeyring()
    vault = open_vault(store, environ=home, backend=backend)
    vault.add("openai", "primary", KEYS[0])
    vault.add("openai", "primary", KEYS[1])
    assert backend.asked == 1
    backend.released.set()


def test_an_anchor_that_failed_once_is_still_the_anchor(
    vault: Vault, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compared, it can be accepted, and operations move it again after a rest."""

    def locked(*_: object) -> None:
        raise OSError("another process holds the lock")

    vault.add("openai", "primary", KEYS[0])
    with monkeypatch.context() as patch:
        patch.setattr(Anchor, "advance", locked)
        vault.add("openai", "primary", KEYS[1])
    vault.add("openai", "primary", KEYS[2])
    assert "row 2 in the file" in str(vault.verify_audit().anchor)
    vault.accept_audit()
    assert "row 5 in the file" in str(vault.verify_audit().anchor)
    monkeypatch.setattr(vault, "_anchor_rests_until", 0.0)
    vault.add("openai", "primary", KEYS[3])
    assert "row 6 in the file" in str(vault.verify_audit().anchor)


def test_where_the_master_is_in_the_keyring_the_anchor_is_too(store: Store, home: dict[str, str]) -> None:
    """Whoever restores all files of the machine does not restore the keyring's entry."""
    kept: dict[tuple[str, str], str] = {}
    backend: KeyringBackend = FakeKeyring(kept)
    vault = open_vault(store, environ=home, backend=backend, create=True)
    vault.add("openai", "primary", KEYS[0])
    assert kept["supernova-ai", f"{store.id}.audit"].startswith("2:")
    assert "in the keyring" in str(vault.verify_audit().anchor)
    assert not file_of(vault, home).exists()


def test_every_vault_of_the_package_keeps_an_anchor() -> None:
    """Commands and clients open their vault with ``open_vault``; a demonstration's is thrown away."""
    package = Path(supernova_ai.__file__).parent
    makers = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"(?<!\w)Vault\(", path.read_text()) and path.name != "vault.py"
    }
    assert makers == {"keys", "demo"}


def test_many_processes_move_it_forward_only(path: Path, vault: Vault, home: dict[str, str]) -> None:
    """Whoever is last, the anchor is at the end."""
    stores = [Store(path) for _ in range(4)]
    vaults = [open_vault(store, explicit=MASTER, environ=home) for store in stores]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: [one.add("openai", "primary", key) for key in KEYS], vaults))
    for store in stores:
        store.close()
    assert file_of(vault, home).read_text().startswith("17:")
    assert vault.verify_audit().ok
    assert {one.name for one in os.scandir(file_of(vault, home).parent)} <= {
        vault.store.id,
        f"{vault.store.id}.lock",
    }
