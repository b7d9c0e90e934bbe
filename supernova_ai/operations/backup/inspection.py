"""Read a backup to its end: check everything in it, and find what a preview compares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from supernova_ai.errors import BackupError, SupernovaError
from supernova_ai.keys import MasterKey
from supernova_ai.keys.crypto import Binding, unseal
from supernova_ai.operations.backup.contents import FILE, MASTER, TABLE, Manifest, Part, Reader
from supernova_ai.secret import Secret
from supernova_ai.store.bulk import PAGE


class Key(NamedTuple):
    """A version of a key, as far as it may be shown."""

    provider: str
    slot: str
    version: int
    state: str


@dataclass(slots=True)
class Inspection:
    """What a backup holds. ``files`` has the SHA-256 of each file; ``windows`` the amounts that each budget
    window spent, in nano-USD, without those of single users.
    """

    manifest: Manifest
    master: MasterKey | None = None
    keys: list[Key] = field(default_factory=list)
    opened: int = 0
    windows: dict[tuple[str, str], int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def inspect(
    path: Path, passphrase: Secret, *, on_progress: Callable[[int, int], object] = lambda *_: None
) -> Inspection:
    """Decrypt a backup and check its hashes and counts, and that its master key opens its keys.

    Args:
        on_progress: called with how many rows and files are read, and of how many.

    Raises:
        BackupError: something is wrong with it.
        SchemaTooNew: a newer version of this package wrote it.
    """
    with Reader(path, passphrase) as reader, reader.explained():
        found = Inspection(reader.manifest)
        counts: dict[str, int] = {}
        total = sum(found.manifest.rows.values()) + len(found.manifest.files)
        for part in reader.parts():
            if part.name == MASTER:
                found.master, _ = read_master(part, found.manifest)
            elif part.name.startswith(FILE):
                found.files[part.name.removeprefix(FILE)] = _hash(part.rows)
            else:
                name = part.name.removeprefix(TABLE)
                note = _NOTES.get(name)
                counts[name] = 0
                for row in part.rows:
                    counts[name] += 1
                    if counts[name] % PAGE == 0:
                        on_progress(sum(counts.values()) + len(found.files), total)
                    if note:
                        note(found, dict(zip(part.columns, row, strict=True)))
            on_progress(sum(counts.values()) + len(found.files), total)
        if counts != dict(found.manifest.rows) or set(found.files) != set(found.manifest.files):
            raise BackupError("its parts are not those that its manifest names")
    return found


def read_master(part: Part, manifest: Manifest) -> tuple[MasterKey, Secret]:
    """Return the master key of that part, and its bytes in hex.

    Raises:
        BackupError: it is not the one that the manifest names.
    """
    ((text,),) = part.rows
    master = MasterKey.of(bytes.fromhex(text))
    if master.id != manifest.master_id:
        raise BackupError("the master key in the backup is not the one of its keys")
    return master, Secret(text)


def _note_key(found: Inspection, row: Mapping[str, Any]) -> None:
    found.keys.append(Key(row["provider"], row["slot"], row["version"], row["state"]))
    if found.master and row["sealed"] and row["master_id"] == found.master.id:
        _open(found, found.master, row)


def _note_window(found: Inspection, row: Mapping[str, Any]) -> None:
    if not row["subject"]:
        amounts = row["settled_nano"], row["held_nano"], row["lost_nano"]
        found.windows[row["budget"], row["period"]] = sum(amounts)


_NOTES = {"api_key": _note_key, "budget_window": _note_window}
"""What is noted of each row of these tables."""


def _open(found: Inspection, master: MasterKey, row: Mapping[str, Any]) -> None:
    binding = Binding(
        found.manifest.store, row["provider"], row["slot"], row["id"], row["version"], row["master_id"]
    )
    try:
        unseal(master.wrapping, binding, row["sealed"])
    except SupernovaError as error:
        raise BackupError(f"a key in the backup does not open: {error}") from None
    found.opened += 1


def _hash(rows: Iterable[tuple[bytes]]) -> str:
    digest = hashlib.sha256()
    for (piece,) in rows:
        digest.update(piece)
    return digest.hexdigest()
