"""A store, a master and a vault for each test, and fake keyrings: one that stores, one that hangs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from supernova_ai.keys import MasterKey, Vault
from supernova_ai.store import Store
from tests.databases import new_file

# Read here: the tests themselves do not see the environment's SUPERNOVA_*.
SECRET_SERVICE = os.environ.get("SUPERNOVA_TEST_SECRET_SERVICE") == "1"


class FakeKeyring(KeyringBackend):
    """Stores entries in a dict. It has no priority, so ``keyring`` never chooses it."""

    def __init__(self, kept: dict[tuple[str, str], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = kept

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self._kept[service, username]


class HangingKeyring(KeyringBackend):
    """Answers only after ``released`` is set, like a stopped daemon."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.released = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.released.wait()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.released.wait()


def secret_service() -> KeyringBackend:
    """Return the Secret Service that ``keyring`` chooses; without one to use, skip the test."""
    from keyring.backends import SecretService

    if not SECRET_SERVICE:
        pytest.skip("no Secret Service to use: run under .ci/with-secret-service.sh")
    chosen = keyring.get_keyring()
    members: list[KeyringBackend] = getattr(chosen, "backends", [chosen])
    found = next((member for member in members if isinstance(member, SecretService.Keyring)), None)
    if found is None:
        # Not a skip: the variable asks for this test.
        pytest.fail(f"SUPERNOVA_TEST_SECRET_SERVICE is set, but keyring offers only {members}")
    return found


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(new_file(path)) as opened:
        yield opened


@pytest.fixture
def master() -> MasterKey:
    return MasterKey.of(bytes(range(32)))


@pytest.fixture
def vault(store: Store, master: MasterKey) -> Vault:
    return Vault(store, master, clock=lambda: 1_790_000_000.0)


@pytest.fixture
def kept() -> dict[tuple[str, str], str]:
    """Entries of the fake keyring, by service and user."""
    return {}


@pytest.fixture
def backend(kept: dict[tuple[str, str], str]) -> KeyringBackend:
    return FakeKeyring(kept)


@pytest.fixture
def hanging() -> Iterator[KeyringBackend]:
    keyring = HangingKeyring()
    yield keyring
    keyring.released.set()
