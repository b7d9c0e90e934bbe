"""Where a backup is written: a partial file, which gets its name only when the backup is whole and audited.

The row of the audit names the partial file. If the process is killed after that row, the next backup into the
folder gives the file its name; if it is killed before, the next backup deletes the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from filelock import FileLock, Timeout

from supernova_ai.errors import BackupError
from supernova_ai.paths import private_folder, sync_folder
from supernova_ai.store import Store
from supernova_ai.store.tables import AuditRow

CREATED = "backup.created"
"""The event of the audit; its details have the partial file's name as ``written_as``."""


@contextmanager
def new_backup(to: Path, store: Store, *, is_folder: bool = False) -> Iterator[tuple[Path, Path]]:
    """Give the paths of a partial file to write, and of the backup that it becomes at the end of the block.

    Args:
        to: a new file, or a folder, which is made if it is missing; then the name has the store and the time.
            A name with a dot is a file, unless there is such a folder.
        is_folder: it is a folder, whatever its name.

    Raises:
        BackupError: the file exists, or another backup is being made in the folder.
        OSError: the folder cannot be used.
    """
    to = to.expanduser()
    is_folder = is_folder or to.is_dir() or not to.suffix
    folder = to if is_folder else to.parent
    private_folder(folder)
    ending = f".{store.id[:8]}.partial"
    try:
        with FileLock(folder / ".supernova.lock", timeout=0, mode=0o600):
            for left in folder.glob(f".*{ending}"):
                _end_killed(left, store)
            if not is_folder and to.exists():
                raise BackupError(f"{to} exists: name another file, or a folder")
            file = _new_name(folder, store) if is_folder else to
            partial = folder / f".{file.name}.{token_hex(8)}{ending}"
            try:
                yield partial, file
                partial.replace(file)
                sync_folder(folder)
            finally:
                partial.unlink(missing_ok=True)
    except Timeout:
        raise BackupError(f"another process makes a backup in {folder}: wait until it is done") from None


def _end_killed(partial: Path, store: Store) -> None:
    """Give a partial file its name if its backup was published, else delete it."""
    rows = AuditRow.select(AuditRow.subject, AuditRow.details).where(
        (AuditRow.event == CREATED) & (AuditRow.outcome == "done")
    )
    for name, details in store.read(lambda database: list(rows.tuples().execute(database))):
        if json.loads(details)["written_as"] == partial.name:
            partial.replace(partial.with_name(name))
            sync_folder(partial.parent)
            return
    partial.unlink()


def _new_name(folder: Path, store: Store) -> Path:
    stem = f"supernova-{store.id[:8]}-{datetime.fromtimestamp(store.now(), UTC):%Y%m%d-%H%M%S}"
    names = (f"{stem}{f'-{number}' if number else ''}.backup" for number in range(1000))
    return next(folder / name for name in names if not (folder / name).exists())
