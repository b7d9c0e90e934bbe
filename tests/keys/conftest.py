"""A store, a master and a vault for each test, and fake keyrings: one that stores, one that hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from supernova_ai.keys import MasterKey, Vault
from supernova_ai.keys import master as master_module
from supernova_ai.store import Store
from tests.databases import new_file


class FakeKeyring(KeyringBackend):
    """Stores entries in a dict. It has no priority, so ``keyring`` never chooses it."""

    def __init__(self, kept: dict[tuple[str, str], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = kept

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._kept[service, username] = password


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


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the master key that an earlier test left in this process."""
    monkeypatch.setattr(master_module, "_remembered", None)


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
