"""Places that a master key can be rotated to: the new one is beside the old until it is in force.

After a crash both are there, and the store's record of its master's id says which one is in force.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys.keyring_entry import ADVICE, KeyringEntry
from supernova_ai.keys.master import KINDS, MasterKey
from supernova_ai.keys.master_files import (
    FILE_VARIABLE,
    Source,
    earlier_file,
    next_file,
    read_file,
    usual_file,
)
from supernova_ai.keys.master_sources import VARIABLE, anchor_entry, next_entry
from supernova_ai.paths import new_file, private_folder, sync_folder
from supernova_ai.secret import Secret
from supernova_ai.store import Store

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend


def master_of(text: Secret, kind: str) -> MasterKey:
    """Return the master key that the text gives in hex, for a place of this kind."""
    return MasterKey.of(bytes.fromhex(text.reveal()), kind=kind, source=f"the rotation to {KINDS[kind]}")


def _id(text: Secret) -> str:
    return master_of(text, FilePlace.kind).id


def create_key_file(path: Path) -> Secret:
    """Make a file with a new master key, mode 0600, in a folder of mode 0700; return the key in hex.

    Raises:
        MasterKeyError: there is such a file already, or it cannot be written.
    """
    created = Secret(os.urandom(32).hex())
    _write(path, created)
    return created


class MasterPlace(Protocol):
    """A place for the next master key. All methods raise ``MasterKeyError`` if it cannot be used."""

    kind: str
    advice: list[str]
    """What the user must do after the rotation."""

    def waiting(self, in_force: str) -> Secret | None:
        """Return the next master if it is there, as after a crash; its id may be ``in_force`` already."""

    def prepare(self, new: Secret) -> None:
        """Put the next master beside the old one, and read it back."""

    def promote(self, in_force: str) -> None:
        """Let the next master, whose id is ``in_force``, take the place of the old one."""


class KeyringPlace:
    """The store's entry in the keyring; the next master has an entry of its own.

    Args:
        timeout: seconds to wait for each access.
    """

    kind = "keyring"

    def __init__(self, store: Store, *, backend: KeyringBackend | None, timeout: float) -> None:
        self.advice: list[str] = []
        self._entry = KeyringEntry(store.id, backend=backend, timeout=timeout)
        self._next = next_entry(store, backend=backend, timeout=timeout)
        self._anchor = anchor_entry(store, backend=backend, timeout=timeout)

    def waiting(self, in_force: str) -> Secret | None:  # noqa: ARG002 - as the other places
        return self._next.get()

    def prepare(self, new: Secret) -> None:
        _set(self._next, new)

    def promote(self, in_force: str) -> None:
        new = self._next.get()
        if new is not None and _id(new) == in_force:
            _set(self._entry, new)
            self._next.delete()

    def drop(self) -> None:
        """Delete the store's entries, after its master and the anchor of its audit went to another place."""
        for entry in (self._next, self._anchor, self._entry):
            entry.delete()


class FilePlace:
    """A file. Other databases may use it too, so the old master stays beside it under another name.

    Args:
        path: the file; by default the one in ``SUPERNOVA_MASTER_KEY_FILE``, else ``master.key`` in the data
            folder.
    """

    kind = "file"

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        named = environ.get(FILE_VARIABLE)
        usual = _absolute(Path(named) if named else usual_file(environ))
        self._path = usual if path is None else _absolute(path)
        self._next = next_file(self._path)
        known = self._path == usual
        self.advice = [] if known else [f"set {FILE_VARIABLE}={self._path} wherever this database is used"]

    def waiting(self, in_force: str) -> Secret | None:
        _sweep(self._next)
        if self._next.exists():
            return _read(self._next)
        if not self._path.exists() or _id(text := _read(self._path)) == in_force:
            return None
        return text  # from the rotation of another database, or written by the user

    def prepare(self, new: Secret) -> None:
        _write(self._next, new)

    def promote(self, in_force: str) -> None:
        if not self._next.exists() or _id(_read(self._next)) != in_force:
            return
        if self._path.exists():
            old = earlier_file(self._path, _id(_read(self._path)))
            self._path.replace(old)
            self.advice.append(f"delete {old}, the old master key, when no other database needs it")
        self._next.replace(self._path)
        sync_folder(self._path.parent)


class EnvironmentPlace:
    """A file from which the user takes the variable's value: a terminal would keep it in its scrollback.

    Raises:
        MasterKeyError: no file is given.
    """

    kind = "environment"

    def __init__(self, path: Path | None) -> None:
        if path is None:
            raise MasterKeyError(
                f"{VARIABLE} cannot be set from here: name a new file with --file. The new master key is "
                f"written to it, and you set the variable from it"
            )
        self._path = _absolute(path)
        self.advice = [
            f"set {VARIABLE} to the text in {self._path} wherever this database is used, then delete the file"
        ]

    def waiting(self, in_force: str) -> Secret | None:  # noqa: ARG002 - as the other places
        _sweep(self._path)
        return _read(self._path) if self._path.exists() else None

    def prepare(self, new: Secret) -> None:
        _write(self._path, new)

    def promote(self, in_force: str) -> None:
        pass


def _absolute(path: Path) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 - raises nothing without a home folder


def _set(entry: KeyringEntry, text: Secret) -> None:
    entry.set(text)
    stored = entry.get()
    if stored is None or stored.reveal() != text.reveal():
        raise MasterKeyError(f"the keyring did not store the new master key. {ADVICE}")


def _read(path: Path) -> Secret:
    return read_file(path, Source("file", f"the file {path}"), private=True).text


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")


def _sweep(path: Path) -> None:
    """Delete what a crash left beside the file."""
    _temporary(path).unlink(missing_ok=True)


def _write(path: Path, text: Secret) -> None:
    """Write a file that does not exist yet; after a crash it is there as a whole, or not at all."""
    temporary = _temporary(path)
    try:
        private_folder(path.parent)
        _sweep(path)
        with new_file(temporary) as file:
            file.write(f"{text.reveal()}\n".encode())
        os.link(temporary, path)  # fails if there is one
        sync_folder(path.parent)
    except FileExistsError:
        raise MasterKeyError(f"{path} exists already: it is never overwritten. Name another file") from None
    except OSError as error:
        raise MasterKeyError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    if _read(path).reveal() != text.reveal():
        raise MasterKeyError(f"{path} does not hold the master key that was written to it")
