"""Which backups are in a folder, and which of them are kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peewee import Database

from supernova_ai.config.operations import Keep
from supernova_ai.errors import BackupError
from supernova_ai.keys import Vault
from supernova_ai.keys.audited_store import Record
from supernova_ai.operations.backup.container import Header
from supernova_ai.paths import open_regular, sync_folder

_NAME = re.compile(r"supernova-([0-9a-f]{8})-\d{8}-\d{6}(-\d+)?\.backup")

_PERIODS: dict[str, Callable[[datetime], str]] = {
    "daily": lambda at: f"{at:%Y-%m-%d}",
    "weekly": lambda at: f"{at:%G-W%V}",
    "monthly": lambda at: f"{at:%Y-%m}",
}


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A backup in a folder, by what its name and header say. Anybody can write those."""

    file: Path
    store: str
    created: datetime
    size: int


def backups_in(folder: Path) -> list[BackupFile]:
    """Return the backups in the folder, oldest first, without decrypting them.

    A file is one if ``create`` gave it its name, and its header agrees.
    """
    found = filter(None, map(_recognise, folder.expanduser().glob("*.backup")))
    return sorted(found, key=lambda backup: (backup.created, backup.file.name))


def superfluous(backups: Iterable[BackupFile], keep: Keep) -> list[BackupFile]:
    """Return those that are neither the last of one of the latest days, weeks or months, nor the last of all.

    Args:
        backups: of one store.
    """
    newest_first = sorted(backups, key=lambda backup: backup.created, reverse=True)
    kept = set(newest_first[:1])
    for name, period in _PERIODS.items():
        last_of: dict[str, BackupFile] = {}
        for backup in newest_first:
            last_of.setdefault(period(backup.created), backup)
        kept.update(list(last_of.values())[: getattr(keep, name)])
    return [backup for backup in reversed(newest_first) if backup not in kept]


def prune(folder: Path, store: str, vault: Vault, keep: Keep) -> list[BackupFile]:
    """Delete the store's backups that are not kept, and record each in the audit; return them.

    Raises:
        BackupError: one cannot be deleted.
        MasterKeyError: the audit cannot be signed.
    """
    folder = folder.expanduser()
    doomed = superfluous((one for one in backups_in(folder) if one.store == store), keep)
    for backup in doomed:

        def change(_: Database, record: Record, backup: BackupFile = backup) -> None:
            record("backup.pruned", backup.file.name, {"created": backup.created.isoformat()})
            backup.file.unlink(missing_ok=True)

        try:
            vault.audited(change)
        except OSError as error:
            raise BackupError(f"{backup.file} cannot be deleted: {error.strerror}") from error
    if doomed:
        sync_folder(folder)
    return doomed


def _recognise(file: Path) -> BackupFile | None:
    named = _NAME.fullmatch(file.name)
    if not named:
        return None
    try:
        with open_regular(file) as opened:
            header = Header.read(opened)
        created = datetime.fromtimestamp(header.created_ms / 1000, UTC)
        size = file.stat().st_size
    except (OSError, BackupError, ValueError, OverflowError):
        return None
    return BackupFile(file, header.store, created, size) if header.store.startswith(named[1]) else None
