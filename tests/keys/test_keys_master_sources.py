"""One contract for every source of the master key: what it gives, names and refuses.

.ci/with-secret-service.sh adds the real keyring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import MasterKey, Vault, resolve, reveal
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from tests.keys.conftest import secret_service

HEX = bytes(range(1, 33)).hex()
OTHER = bytes(range(2, 34)).hex()
KEY = Secret("sk-test-00000001")


@dataclass
class Place:
    """A source of the master key: its kind, its words in messages, its variables, and the keyring."""

    kind: str
    words: str
    environ: Mapping[str, str]
    backend: KeyringBackend
    file: Path | None = None

    def put(self, store: Store, text: str) -> None:
        if self.file:
            self.file.write_text(text)
            self.file.chmod(0o600)
        elif self.kind == "keyring":
            self.backend.set_password("supernova-ai", store.id, text)
        else:
            self.environ = {"API_KEY_ENCRYPTION_KEY": text}


@pytest.fixture(params=["credential", "file", "environment", "keyring", "secret service"])
def place(
    request: pytest.FixtureRequest, store: Store, tmp_path: Path, backend: KeyringBackend
) -> Iterator[Place]:
    file = tmp_path / "supernova-master"
    if request.param == "credential":
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        yield Place("credential", f"systemd credential {file}", environ, backend, file)
    elif request.param == "file":
        environ = {"SUPERNOVA_MASTER_KEY_FILE": str(file)}
        yield Place("file", f"file {file}", environ, backend, file)
    elif request.param == "environment":
        yield Place("environment", "API_KEY_ENCRYPTION_KEY", {}, backend)
    else:
        real = request.param == "secret service"
        service = secret_service() if real else backend
        yield Place("keyring", "keyring's entry supernova-ai", {}, service)
        if service.get_password("supernova-ai", store.id) is not None:
            service.delete_password("supernova-ai", store.id)


def test_it_gives_the_master_and_its_name(store: Store, place: Place) -> None:
    """The master opens what it sealed before; it and its source are named, without its text."""
    place.put(store, HEX)
    master = resolve(store, environ=place.environ, backend=place.backend)
    assert (master.id, master.kind) == (MasterKey.of(bytes.fromhex(HEX)).id, place.kind)
    assert place.words in master.source
    Vault(store, master).add("openai", "primary", KEY)
    again = Vault(store, lambda: resolve(store, environ=place.environ, backend=place.backend))
    assert again.reveal("openai", "primary").reveal() == KEY.reveal()


def test_its_bytes_are_revealed_for_a_backup(store: Store, place: Place) -> None:
    """``reveal`` gives the master in hex with its source, and refuses one that is not the store's."""
    place.put(store, HEX.upper())
    text, source = reveal(store, environ=place.environ, backend=place.backend)
    assert (text.reveal(), source.kind) == (HEX, place.kind)
    Vault(store, MasterKey.of(bytes.fromhex(OTHER))).add("openai", "primary", KEY)
    with pytest.raises(MasterKeyError, match="given as an argument"):
        reveal(store, environ=place.environ, backend=place.backend)


def test_a_wrong_master_names_both_sources(store: Store, place: Place) -> None:
    """The error names the source of the wrong master, and where the right one was."""
    place.put(store, HEX)
    Vault(store, resolve(store, environ=place.environ, backend=place.backend)).add("openai", "primary", KEY)
    place.put(store, OTHER)
    with pytest.raises(MasterKeyError, match=r"which was .*: provide that one") as caught:
        resolve(store, environ=place.environ, backend=place.backend)
    assert place.words in str(caught.value)
    assert OTHER not in str(caught.value)


def test_a_text_that_is_no_master_is_not_shown(store: Store, place: Place) -> None:
    """The error names the source and what it must hold, not what it holds."""
    place.put(store, "hunter2")
    with pytest.raises(MasterKeyError, match=r"must (be|hold) 32 random bytes") as caught:
        resolve(store, environ=place.environ, backend=place.backend)
    assert place.words.strip() in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_missing_master_says_where_it_was(store: Store, place: Place) -> None:
    """If no source has the master any more, the error says in which kind of source it was."""
    place.put(store, HEX)
    master = resolve(store, environ=place.environ, backend=place.backend)
    Vault(store, master).add("openai", "primary", KEY)
    if place.kind == "keyring":
        place.backend.delete_password("supernova-ai", store.id)
    was = {
        "credential": "a systemd credential",
        "file": "in a file",
        "environment": "in API_KEY_ENCRYPTION_KEY",
        "keyring": "in the keyring",
    }
    with pytest.raises(MasterKeyError, match=f"master {master.id[:8]}…, which was {was[place.kind]}"):
        resolve(store, environ={}, backend=place.backend)
