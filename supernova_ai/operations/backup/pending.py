"""The files of a restore. They come into place after the database does, or not at all.

They wait in a folder of their own. The transaction that restores the database leaves a mark with the folder's
name; then the files move to their places. After a crash, the mark says whether to go on with the moves or to
delete the folder. So the database and the files are all as before, or all restored.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from peewee import Database

from supernova_ai.errors import BackupError, StoreError
from supernova_ai.paths import new_file, private_folder, sync_folder
from supernova_ai.store import Store, bulk, get_meta, set_meta

_FOLDER, _PLAN, _MARK = ".restore-", "plan.json", "restore.pending"


class PendingFiles:
    """Files that wait to come into place.

    Args:
        data: the folder in which they wait; on a crash, ``finish_interrupted`` finds them there.
        database: the database whose restore they belong to.
    """

    def __init__(self, data: Path, database: str) -> None:
        self.folder = data / f"{_FOLDER}{token_hex(8)}"
        self._database = database
        self._moves: list[tuple[str, str]] = []
        self.folder.mkdir(mode=0o700)

    @property
    def targets(self) -> list[Path]:
        """The places that the files will come into."""
        return [Path(target) for _, target in self._moves]

    @contextmanager
    def add(self, target: Path) -> Iterator[BinaryIO]:
        """Open a new file, which only this user may read, that will come into this place."""
        name = str(len(self._moves))
        with new_file(self.folder / name) as file:
            yield file
        self._moves.append((name, str(target.absolute())))

    def drop(self, target: Path) -> None:
        """Let the file of that place not come into it after all."""
        self._moves = [(name, place) for name, place in self._moves if place != str(target.absolute())]

    def mark(self, database: Database) -> None:
        """Make all files durable, and mark in the database's transaction that they come into place."""
        with new_file(self.folder / _PLAN) as file:
            file.write(json.dumps({"database": self._database, "moves": self._moves}).encode())
        sync_folder(self.folder)
        set_meta(database, _MARK, self.folder.name)

    def move(self, store: Store) -> None:
        """Move the files into their places."""
        _move(self.folder, self._moves)
        _done(self.folder, store)

    def discard(self) -> None:
        """Delete the files."""
        shutil.rmtree(self.folder)


@contextmanager
def one_restore(data: Path) -> Iterator[None]:
    """Let no other restore run into the folder, and finish one that was interrupted there.

    Raises:
        BackupError: another one runs, or the folder cannot be used.
    """
    try:
        private_folder(data)
        with FileLock(data / ".restore.lock", timeout=0, mode=0o600):
            _finish(data)
            yield
    except Timeout:
        raise BackupError(f"another process restores a backup into {data}: wait until it is done") from None
    except OSError as error:
        raise BackupError(f"the backup cannot be restored into {data}: {error.strerror or error}") from error


def finish_interrupted(data: Path) -> list[str]:
    """Finish or undo the restores into this folder that were interrupted; return what was done.

    Raises:
        StoreError: the database of one cannot be opened.
    """
    if not any(data.glob(f"{_FOLDER}*/")):
        return []
    try:
        with FileLock(data / ".restore.lock", timeout=0, mode=0o600):
            return _finish(data)
    except Timeout:
        return []  # it is not interrupted: it runs


def _finish(data: Path) -> list[str]:
    done = []
    for folder in data.glob(f"{_FOLDER}*/"):
        plan = folder / _PLAN
        if plan.exists() and (found := _read(plan)) and _was_restored(folder, found["database"]):
            with Store(found["database"]) as store:
                _move(folder, found["moves"])
                _done(folder, store)
            done.append("an interrupted restore of a backup was completed")
        else:
            shutil.rmtree(folder)
            done.append("an interrupted restore of a backup was undone: nothing of it is left")
    return done


def _was_restored(folder: Path, database: str) -> bool:
    try:
        with Store(database) as store:
            return store.read(lambda database: get_meta(database, _MARK)) == folder.name
    except StoreError as error:
        error.add_note(
            f"A restore into it was interrupted, and {folder} has its files. If the database is gone for "
            f"good, delete that folder"
        )
        raise


def _read(plan: Path) -> Any:
    try:
        return json.loads(plan.read_text(encoding="utf-8"))
    except ValueError:  # the crash came while it was written, and so before the mark
        return None


def _move(folder: Path, moves: list[tuple[str, str]]) -> None:
    for name, target in moves:
        if (folder / name).exists():  # else it was moved before the crash
            try:
                _put(folder / name, Path(target).resolve())  # a link stays a link
            except OSError as error:
                raise BackupError(
                    f"{target} cannot be written: {error.strerror or error}. The database is restored, and "
                    f"the file waits in {folder}: correct the reason, then run any supernova command"
                ) from error


def _put(waiting: Path, place: Path) -> None:
    private_folder(place.parent)
    beside = place.with_name(f".{place.name}{_FOLDER}")
    beside.unlink(missing_ok=True)  # of a crash
    with waiting.open("rb") as source, new_file(beside) as file:  # it may be on another disk
        shutil.copyfileobj(source, file)
    beside.replace(place)
    sync_folder(place.parent)


def _done(folder: Path, store: Store) -> None:
    store.write(lambda database: bulk.run(database, "DELETE FROM meta WHERE name = ?", _MARK)).result()
    shutil.rmtree(folder)
