"""Tests against a real OS keyring. They run if SUPERNOVA_TEST_SECRET_SERVICE=1 is set:

.ci/with-secret-service.sh uv run pytest tests/keys/test_secret_service.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import Vault, resolve
from supernova_ai.secret import Secret
from supernova_ai.store import Store

pytestmark = pytest.mark.skipif(
    os.environ.get("SUPERNOVA_TEST_SECRET_SERVICE") != "1",
    reason="no Secret Service to use: run under .ci/with-secret-service.sh",
)

KEY = Secret("sk-test-00000001")


@pytest.fixture
def service(store: Store) -> Iterator[KeyringBackend]:
    """The Secret Service that ``keyring`` chooses; the test's entry is deleted at the end."""
    from keyring.backends import SecretService

    backend = keyring.get_keyring()
    members = getattr(backend, "backends", [backend])
    found = next((member for member in members if isinstance(member, SecretService.Keyring)), None)
    if found is None:
        # Not a skip: the variable asks for this test.
        pytest.fail(f"SUPERNOVA_TEST_SECRET_SERVICE is set, but keyring offers only {members}")
    service: KeyringBackend = found
    yield service
    if service.get_password("supernova-ai", store.id) is not None:
        service.delete_password("supernova-ai", store.id)


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
