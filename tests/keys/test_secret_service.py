"""Tests against a real OS keyring, through Python and the command, if SUPERNOVA_TEST_SECRET_SERVICE=1 is set:

.ci/with-secret-service.sh uv run pytest tests/keys/test_secret_service.py
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from supernova_ai.cli import app
from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import Vault, resolve
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from tests.cli.conftest import Supernova, supernova
from tests.keys.conftest import secret_service

__all__ = ["supernova"]

KEY = Secret("sk-test-00000001")


@pytest.fixture
def service(store: Store) -> Iterator[KeyringBackend]:
    """The Secret Service that ``keyring`` chooses; the test's entry is deleted at the end."""
    service = secret_service()
    yield service
    for user in ("", ".next", ".audit"):
        if service.get_password("supernova-ai", store.id + user) is not None:
            service.delete_password("supernova-ai", store.id + user)


@pytest.fixture
def command(
    store: Store,
    tmp_path: Path,
    supernova: Supernova,
    monkeypatch: pytest.MonkeyPatch,
    service: KeyringBackend,
) -> Supernova:
    """Run a command on the store, whose only source of a master key is the Secret Service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPERNOVA_HOME", str(Path(store.where).parent))
    monkeypatch.setattr(app, "forbid_core_dumps", lambda: None)
    return supernova


def test_master_is_created_and_found_again(store: Store, path: Path, service: KeyringBackend) -> None:
    """A key stored under a master from the Secret Service opens after the store was reopened."""
    Vault(store, lambda: resolve(store, environ={}, create=True)).add("openai", "primary", KEY)
    store.close()
    with Store(path) as again:
        vault = Vault(again, lambda: resolve(again, environ={}))
        assert vault.reveal("openai", "primary").reveal() == KEY.reveal()
    assert len(service.get_password("supernova-ai", store.id) or "") == 64


def test_lost_entry_is_an_error(store: Store, service: KeyringBackend) -> None:
    """If the entry is deleted from the Secret Service, that is an error, and no new master is created."""
    Vault(store, lambda: resolve(store, environ={}, create=True)).add("openai", "primary", KEY)
    service.delete_password("supernova-ai", store.id)
    with pytest.raises(MasterKeyError, match="the master key is missing"):
        resolve(store, environ={}, create=True)
    assert service.get_password("supernova-ai", store.id) is None


def test_the_life_of_keys_and_of_the_master_through_the_command(
    store: Store, service: KeyringBackend, command: Supernova, tmp_path: Path
) -> None:
    """Keys are added, rotated and revoked, and the master is rotated in the service, into a file and back."""

    def entry(suffix: str = "") -> str | None:
        return service.get_password("supernova-ai", store.id + suffix)

    assert command("keys", "add", "openai", stdin=KEY.reveal()).code == 0
    first = entry()
    assert command("keys", "rotate", "openai", "--no-check", stdin="sk-test-00000002").code == 0
    assert command("keys", "rotate-master", "--grace", "0s").code == 0
    assert entry() not in (None, first)
    assert entry(".next") is None
    moved = command("keys", "rotate-master", "--to", "file", "--file", str(tmp_path / "master"))
    assert (moved.code, entry()) == (0, None)
    assert "SUPERNOVA_MASTER_KEY_FILE" in moved.out
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("SUPERNOVA_MASTER_KEY_FILE", str(tmp_path / "master"))
        assert command("audit", "verify").code == 0
        assert command("keys", "rotate-master", "--to", "keyring").code == 0
    vault = Vault(store, lambda: resolve(store, environ={}))
    assert vault.reveal("openai", "primary").reveal() == "sk-test-00000002"
    assert command("keys", "revoke", "openai", "--yes").code == 0
    verified = command("audit", "verify")
    assert verified.code == 0
    assert "in the keyring" in verified.out
    assert (entry(".audit") or "").startswith(f"{len(list(vault.audit_events()))}:")


def test_a_database_put_back_is_noticed_by_the_keyring(
    store: Store, service: KeyringBackend, command: Supernova
) -> None:
    """The anchor in the Secret Service is ahead of an older copy of the database, until that is accepted."""
    assert command("keys", "add", "openai", stdin=KEY.reveal()).code == 0
    assert store.file is not None
    with closing(sqlite3.connect(store.file)) as now, closing(sqlite3.connect(":memory:")) as copy:
        now.backup(copy)
        assert command("keys", "remove", "openai", "--yes").code == 0
        copy.backup(now)
    broken = command("audit", "verify")
    assert (broken.code, "put back to an earlier state" in broken.out) == (4, True)
    assert command("audit", "accept", "--yes").code == 0
    assert command("audit", "verify").code == 0
