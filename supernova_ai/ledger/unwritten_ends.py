"""Ends that the ledger does not have yet.

An end is *owed* while the database cannot be reached: it waits in a file that outlives the process. It is
*stuck* when the database refuses it: it waits in a table, where it blocks nobody, until it can be written.
Either may be tried any number of times, by any process, because a hold ends once.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from peewee import Database

from supernova_ai.ledger import holds
from supernova_ai.ledger.archive_files import sync_folder
from supernova_ai.ledger.holds import End, Hold, Spent
from supernova_ai.log import get_logger
from supernova_ai.store.tables import StuckEndRow

log = get_logger(__name__)

MOST_BYTES = 16_000_000
"""The most that the file may have: some 30,000 ends, and there are no more than calls under way."""

Ending = tuple[Hold, End]
Look = Callable[[Database, list[Spent]], object]
"""Is shown how the windows stand after a hold in them ended, inside the same operation."""


class UnwrittenEnds:
    """The owed ends of one database on this machine. Threads and processes may share the file.

    Args:
        path: the file; it is made, for its owner alone, when there is something to owe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unsaved: dict[str, Ending] = {}  # where the file cannot be written

    def add(self, endings: Iterable[Ending]) -> None:
        """Keep the ends, durably; in memory, with a word in the log, where the file cannot be written."""
        kept = {hold.attempt: (hold, end) for hold, end in endings}
        try:
            if kept:
                self._append("".join(f"\n{_dump(ending)}\n" for ending in kept.values()).encode())
        except OSError as error:
            log.warning("ledger.owed.not_saved", file=str(self._path), ends=len(kept), reason=str(error))
            self._unsaved |= kept

    def _append(self, lines: bytes) -> None:
        # Each line begins with a line feed of its own: the one before may have been cut off by a kill.
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = False
        while not there:  # else a reader has moved the file away meanwhile, and may not see these lines
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
                if file.tell() + len(lines) > MOST_BYTES:
                    raise OSError(f"it has {MOST_BYTES:,} bytes already")
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileNotFoundError):
                    there = os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        sync_folder(self._path.parent)

    def take(self) -> tuple[list[Ending], list[Path]]:
        """Return what is owed, and the files to ``discard`` once it is written or owed again."""
        with suppress(OSError):  # none is owed, or the folder cannot be written: then its file stays in use
            self._path.rename(self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex}"))
        found, self._unsaved = self._unsaved, {}
        files = []
        for file in self._path.parent.glob("*.owed.*"):
            if file.stem == self._path.name:
                try:
                    found |= {ending[0].attempt: ending for ending in _read(file)}
                    files.append(file)
                except OSError as error:
                    if file.exists():  # and was not just discarded by another process
                        log.warning("ledger.owed.unreadable", file=str(file), reason=str(error))
        return list(found.values()), files

    def discard(self, files: Iterable[Path]) -> None:
        """Delete the files: every end in them is durable elsewhere."""
        for file in files:
            with suppress(OSError):  # it is read once more, and does no harm
                file.unlink()


def write(database: Database, ending: Ending, look: Look, now_ms: int) -> bool | None:
    """Write an end, or set it aside if the database refuses it; inside an operation of the writer.

    Returns:
        Whether the hold ended by it; None if it is set aside.
    """
    savepoint = database.savepoint()
    with savepoint:
        try:
            return apply(database, ending, look)
        except Exception as error:
            savepoint.rollback(begin=False)  # raises where the transaction is gone: the end is owed as before
            reason = f"{type(error).__name__}: {error}".splitlines()[0].replace("\0", "")[:200]
    hold, _ = ending
    log.error("ledger.end.set_aside", attempt=hold.attempt, reason=reason)
    row = {"at_ms": now_ms, "ending": _dump(ending), "reason": ascii(reason)[1:-1]}
    StuckEndRow.insert(attempt=hold.attempt, **row).on_conflict(
        conflict_target=[StuckEndRow.attempt], update=row
    ).execute(database)
    return None


def apply(database: Database, ending: Ending, look: Look) -> bool:
    """End the hold, also if it was given up as lost before; return whether it ended by this."""
    hold, end = ending
    windows = holds.end(database, hold, end)
    if windows is None and end.state != "lost":
        windows = holds.end(database, hold, end, was="lost")
    look(database, windows or [])
    return windows is not None


def retry(database: Database, look: Look, now_ms: int) -> None:
    """Try the ends again that were set aside; forget those whose holds have ended by now."""
    for row in list(StuckEndRow.select().execute(database)):
        ending = _load(row.ending)
        if ending is not None and write(database, ending, look, now_ms) is not None:
            StuckEndRow.delete().where(StuckEndRow.attempt == row.attempt).execute(database)


def _dump(ending: Ending) -> str:
    return json.dumps([asdict(part) for part in ending], default=str)  # ASCII, so that any text can be kept


def _load(text: str) -> Ending | None:
    try:
        ending: Ending = _endings().validate_python(json.loads(text))
    except ValueError:
        return None
    return ending


@cache
def _endings() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Ending)


def _read(file: Path) -> Iterator[Ending]:
    with file.open("rb") as lines:
        while line := lines.readline(MOST_BYTES):
            ending = _load(line.decode("ascii", "replace"))
            if ending is not None:
                yield ending
            elif line.strip():
                log.warning("ledger.owed.unreadable", file=str(file), reason=f"a line of {len(line)} bytes")
