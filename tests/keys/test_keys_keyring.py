from __future__ import annotations

import os
import threading
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend
from keyring.errors import KeyringLocked

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import MasterKey, Vault, resolve
from supernova_ai.secret import Secret
from supernova_ai.store import Store


class Answering(KeyringBackend):
    """Calls a function for each get and ignores each set."""

    def __init__(self, answer: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def get_password(self, service: str, username: str) -> str | None:
        text: str | None = self._answer()
        return text

    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Plaintext(KeyringBackend):
    """Imitates a plaintext backend of keyrings.alt: the check uses the module's name."""

    __module__ = "keyrings.alt.file"
    given: list[str]

    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.given.append(password)


class Derived(Plaintext):
    """A subclass of an unsafe backend."""


def make(kind: type[Any]) -> Any:
    backend = kind()
    backend.given = []
    return backend


def chain(*members: KeyringBackend) -> KeyringBackend:
    """Return a chainer with exactly these members."""
    kind = type("Chain", (ChainerBackend,), {"backends": list(members), "priority": 0})
    backend: KeyringBackend = kind()
    return backend


@pytest.mark.parametrize("kind", [fail.Keyring, null.Keyring, Plaintext, Derived])
def test_unsafe_backends_are_refused(store: Store, kind: type[KeyringBackend]) -> None:
    """A backend that stores nothing, or plaintext, is refused; the error names it and the safe ways."""
    backend = make(kind)
    with pytest.raises(MasterKeyError) as caught:
        resolve(store, environ={}, backend=backend, create=True)
    message = str(caught.value)
    assert f"{kind.__module__}.{kind.__qualname__}" in message
    for way in (
        "supernova-master",
        "SUPERNOVA_MASTER_KEY_FILE",
        "API_KEY_ENCRYPTION_KEY",
        "openssl rand -hex 32",
    ):
        assert way in message
    assert backend.given == []


def test_chainer_of_unsafe_backends_is_refused(store: Store) -> None:
    """A chainer with only unsafe members is refused."""
    with pytest.raises(MasterKeyError, match="Chain"):
        resolve(store, environ={}, backend=chain(make(Plaintext), make(null.Keyring)), create=True)


def test_safe_member_of_a_chainer_is_used(
    store: Store, backend: KeyringBackend, kept: dict[tuple[str, str], str]
) -> None:
    """The safe member of a chainer is used; the unsafe member receives nothing."""
    unsafe = make(Plaintext)
    resolve(store, environ={}, backend=chain(unsafe, backend), create=True)
    assert list(kept) == [("supernova-ai", store.id)]
    assert unsafe.given == []


@pytest.mark.parametrize("answer", [b"5e" * 32, 7, object()], ids=["bytes", "number", "object"])
def test_a_keyring_that_returns_no_text_is_refused(store: Store, answer: Any) -> None:
    """The error names the type that the backend returned, and does not show the value."""
    with pytest.raises(MasterKeyError, match=f"the keyring returned {type(answer).__name__}") as caught:
        resolve(store, environ={}, backend=Answering(lambda: answer))
    assert "5e5e" not in str(caught.value)


def test_hanging_keyring_times_out(store: Store, hanging: KeyringBackend) -> None:
    """A keyring that never answers times out, and does not keep the process from exiting."""
    with pytest.raises(MasterKeyError, match=r"did not answer within 0\.01 s.*SUPERNOVA_MASTER_KEY_FILE"):
        resolve(store, environ={}, backend=hanging, create=True, timeout=0.01)
    waiting = [thread for thread in threading.enumerate() if thread.name == "supernova-keyring"]
    assert waiting
    assert all(thread.daemon for thread in waiting)


@pytest.mark.parametrize("error", [KeyringLocked("the collection is locked"), OSError("the bus is gone")])
def test_failing_keyring_is_named(store: Store, error: Exception) -> None:
    """Every backend error becomes a MasterKeyError with its reason and the other sources of a master."""

    def answer() -> str:
        raise error

    with pytest.raises(
        MasterKeyError, match=rf"{type(error).__name__}: {error}.*API_KEY_ENCRYPTION_KEY"
    ) as caught:
        resolve(store, environ={}, backend=Answering(answer))
    assert caught.value.__cause__ is error


class Quoting(Answering):
    """Raises an error that quotes the password it should store."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise ValueError(f"cannot keep {password!r}, {b64encode(password.encode()).decode()}", password)


def test_a_backends_error_shows_no_master(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that the backend's error quotes is neither in our message nor in a chained error."""
    monkeypatch.setattr(os, "urandom", lambda size: bytes(range(100, 100 + size)))
    master = bytes(range(100, 132)).hex()

    def answer() -> str:
        raise ValueError(f"{master} has no checksum")

    for backend in (Quoting(lambda: None), Answering(answer)):
        with pytest.raises(MasterKeyError, match=r"ValueError: .*\[redacted\]") as caught:
            resolve(store, environ={}, backend=backend, create=True)
        shown = "".join(traceback.TracebackException.from_exception(caught.value).format())
        for form in (master, master[:20], b64encode(master.encode()).decode()[:40]):
            assert form not in shown


def test_keyring_that_forgets_is_noticed(store: Store) -> None:
    """A keyring that does not return the new master is refused before any key is stored."""
    with pytest.raises(MasterKeyError, match="did not store"):
        resolve(store, environ={}, backend=Answering(lambda: None), create=True)


def test_entry_that_is_no_key_is_refused(store: Store) -> None:
    """An entry that was overwritten with another text is an error that does not show the text."""
    with pytest.raises(MasterKeyError, match="must be 32 random bytes") as caught:
        resolve(store, environ={}, backend=Answering(lambda: "hunter2"), create=True)
    assert store.id in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_new_master_is_created_once_and_stored(
    store: Store, backend: KeyringBackend, kept: dict[tuple[str, str], str]
) -> None:
    """Without a source and a record, a master is created in the keyring under the store's id."""
    made = resolve(store, environ={}, backend=backend, create=True)
    ((place, text),) = kept.items()
    assert place == ("supernova-ai", store.id)
    assert MasterKey.of(bytes.fromhex(text)).id == made.id
    assert resolve(store, environ={}, backend=backend).id == made.id


def test_no_master_is_created_without_create(
    store: Store, backend: KeyringBackend, kept: dict[tuple[str, str], str]
) -> None:
    """Without ``create`` an empty keyring is an error that names the command to create a master."""
    with pytest.raises(MasterKeyError, match="supernova keys add"):
        resolve(store, environ={}, backend=backend)
    assert kept == {}


def test_missing_master_is_never_replaced(
    vault: Vault, store: Store, backend: KeyringBackend, kept: dict[tuple[str, str], str]
) -> None:
    """If the store holds a record, even a revoked one, an empty keyring is an error and stays empty."""
    vault.add("openai", "primary", Secret("sk-test-00000001"))
    vault.remove("openai", "primary")
    with pytest.raises(MasterKeyError, match="the master key is missing: the store holds keys"):
        resolve(store, environ={}, backend=backend, create=True)
    assert kept == {}


@pytest.mark.parametrize("unsafe", [False, True], ids=["empty", "unsafe"])
def test_missing_master_is_named(
    vault: Vault, store: Store, master: MasterKey, backend: KeyringBackend, unsafe: bool, tmp_path: Path
) -> None:
    """If the store holds keys, the error names their master and its places, and does not advise a new one."""
    vault.add("openai", "primary", Secret("sk-test-00000001"))
    home = {"SUPERNOVA_HOME": str(tmp_path)}
    with pytest.raises(MasterKeyError, match=f"sealed with master {master.id[:8]}…") as told:
        resolve(store, environ=home, backend=make(null.Keyring) if unsafe else backend)
    assert str(told.value).startswith("the master key is missing: ")
    assert str(tmp_path / "master.key") in str(told.value)
    assert "openssl" not in str(told.value)
    assert "SUPERNOVA_MASTER_KEY_FILE" in str(told.value)


def test_two_processes_make_one_master(
    path: Path, backend: KeyringBackend, kept: dict[tuple[str, str], str]
) -> None:
    """Concurrent starts on an empty store all get the same master."""
    stores = [Store(path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        masters = list(
            pool.map(lambda store: resolve(store, environ={}, backend=backend, create=True), stores)
        )
    for store in stores:
        store.close()
    assert len({master.id for master in masters}) == 1
    assert len(kept) == 1
