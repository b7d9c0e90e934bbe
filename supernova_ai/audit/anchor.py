"""The anchor: the end of the audit chain, kept outside the database.

The chain alone does not show that the whole database was put back to an earlier state. The anchor does: it
names a row that the chain no longer has, or has with another MAC. It only moves forward along the chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from peewee import Database

from supernova_ai.audit.chain import Chain, link_at
from supernova_ai.paths import new_file, open_regular, private_folder, sync_folder

if TYPE_CHECKING:
    from filelock import FileLock

_LOCK_TIMEOUT_S = 2.0


class AnchorPlace(Protocol):
    """Where an anchor is kept, with its name in messages."""

    name: str

    def get(self) -> str | None: ...

    def set(self, text: str) -> None: ...


class AnchorFile:
    """A file that only this user may read, written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"the file {path}"

    def get(self) -> str | None:
        """Return the text; None if there is no file.

        Raises:
            OSError: it cannot be read.
        """
        try:
            with open_regular(self._path, 2**20) as file:
                return file.read().decode(errors="replace").strip()
        except FileNotFoundError:
            return None

    def set(self, text: str) -> None:
        """Write the text; raises as ``get`` does."""
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        temporary.unlink(missing_ok=True)  # of a crash; processes take turns
        with new_file(temporary) as file:
            file.write(f"{text}\n".encode())
        temporary.replace(self._path)
        sync_folder(self._path.parent)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The anchor of one store.

    Args:
        lock: a file beside which processes take turns.
    """

    place: AnchorPlace
    lock: Path

    def advance(self, chain: Chain, database: Database) -> str | None:
        """Move to the end of the chain, and return None; if the chain does not lead there, return why not.

        Raises:
            OSError: the place or the lock cannot be used.
            VaultError: the same of a keyring.
        """
        with self._locked():
            known, text = self.place.get(), chain.end(database)
            if known is not None and (problem := self._find_problem(chain, database, known)):
                return problem
            if text and _rows(chain, text) > _rows(chain, known):
                self.place.set(text)
            return None

    def accept(self, chain: Chain, database: Database) -> None:
        """Move to the end of the chain from wherever it is; raises as ``advance`` does."""
        with self._locked():
            if text := chain.end(database):
                self.place.set(text)

    def compare(self, chain: Chain, database: Database, text: str) -> tuple[str, str | None]:
        """Return what the anchor says, and why the chain does not contain it, if so.

        Args:
            text: what ``place`` holds, read before the snapshot of the database: it may be behind, not ahead.
        """
        said = f"row {_rows(chain, text)} in {self.place.name}"
        return said, self._find_problem(chain, database, text)

    def _find_problem(self, chain: Chain, database: Database, text: str) -> str | None:
        if (end := chain.parse(text)) is None:
            return f"{self.place.name}, which names the end of the chain, was altered"
        number, link = end
        if link_at(database, number) == link:
            return None
        return (
            f"the database was put back to an earlier state, or rows were replaced: {self.place.name} says "
            f"that row {number} was written, and the chain does not have it. If you restored a backup, run "
            f"`supernova audit accept`"
        )

    def _locked(self) -> FileLock:
        from filelock import FileLock  # with a change only: it imports asyncio

        private_folder(self.lock.parent)
        return FileLock(self.lock, timeout=_LOCK_TIMEOUT_S, mode=0o600)


Anchors = Callable[[str | None], Anchor]
"""Gives the anchor of a store, for the kind of source that its master key is in; None if it has none."""


def _rows(chain: Chain, text: str | None) -> int:
    end = chain.parse(text) if text else None
    return end[0] if end else 0
