"""Ends of holds that are not in the database yet.

An end is *pending* while the database cannot be reached: it waits in a file that outlives the process. An end
is *set aside* when the database refuses it: it waits in the table ``stuck_end``, and delays no other end. Any
process may try either again, any number of times, because a hold ends only once.
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
from supernova_ai.ledger.batch import Batch, batch_in
from supernova_ai.ledger.holds import End, Hold
from supernova_ai.ledger.slices import Spent
from supernova_ai.log import get_logger
from supernova_ai.paths import sync_folder
from supernova_ai.store.tables import StuckEndRow

log = get_logger(__name__)

MOST_BYTES = 16_000_000
"""The most that the file may have: about 30,000 ends. Each running call has one end at most."""

Ending = tuple[Hold, End]
ThresholdCheck = Callable[[Database, list[Spent]], object]
"""Is called with what is spent in a hold's windows after it ended, inside the same operation."""


class PendingEnds:
    """The pending ends of one database on this machine. Threads and processes may share the file.

    Args:
        path: the file; it is made when the first end is added, and only its owner can read it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unsaved: dict[str, Ending] = {}  # while the file cannot be written

    def add(self, endings: Iterable[Ending]) -> bool:
        """Save the ends durably; if the file cannot be written, log that and keep them in memory.

        Returns:
            Whether they are durable.
        """
        added = {hold.attempt: (hold, end) for hold, end in endings}
        try:
            if added:
                self._append("".join(f"\n{_dump(ending)}\n" for ending in added.values()).encode())
        except OSError as error:
            log.warning("ledger.owed.not_saved", file=str(self._path), ends=len(added), reason=str(error))
            self._unsaved |= added
            return False
        return True

    def _append(self, lines: bytes) -> None:
        # Each line begins with a line feed too: a kill may have cut off the line before it.
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        in_place = False
        while not in_place:  # a reader may rename the file between opening and writing, and miss these lines
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
                if file.tell() + len(lines) > MOST_BYTES:
                    raise OSError(f"it has {MOST_BYTES:,} bytes already")
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileNotFoundError):
                    in_place = os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        sync_folder(self._path.parent)

    def take(self) -> tuple[list[Ending], list[Path]]:
        """Return the pending ends, and the files to ``discard`` once the ends are written or added again."""
        with suppress(OSError):  # no file, or the folder cannot be written: then its file stays in use
            self._path.rename(self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex}"))
        found, self._unsaved = self._unsaved, {}
        files = []
        for file in self._taken():
            try:
                found |= {ending[0].attempt: ending for ending in _read(file)}
                files.append(file)
            except OSError as error:
                if file.exists():  # else another process has just deleted it
                    log.warning("ledger.owed.unreadable", file=str(file), reason=str(error))
        return list(found.values()), files

    def count(self) -> int:
        """Return how many ends are in files; this changes nothing."""
        count = 0
        for file in (self._path, *self._taken()):
            with suppress(FileNotFoundError), file.open("rb") as lines:
                count += sum(1 for line in lines if line.strip())
        return count

    def _taken(self) -> Iterator[Path]:
        """Yield the files that a process has taken, and not discarded yet."""
        return (file for file in self._path.parent.glob("*.owed.*") if file.stem == self._path.name)

    def discard(self, files: Iterable[Path]) -> None:
        """Delete the files: every end in them is durable elsewhere."""
        for file in files:
            with suppress(OSError):  # its ends are then read once more, which does no harm
                file.unlink()


def write_or_set_aside(
    database: Database, ending: Ending, check_thresholds: ThresholdCheck, now_ms: int
) -> bool | None:
    """Write an end, or set it aside if the database refuses it; inside an operation of the writer.

    Returns:
        Whether this end ended the hold; None if it is set aside.
    """
    savepoint = database.savepoint()
    with savepoint:
        try:
            with batch_in(database) as batch:
                return write_end(batch, ending, check_thresholds)
        except Exception as error:
            savepoint.rollback(begin=False)  # raises if the transaction is gone: then the end stays pending
            reason = f"{type(error).__name__}: {error}".splitlines()[0].replace("\0", "")[:200]
    hold, _ = ending
    log.error("ledger.end.set_aside", attempt=hold.attempt, reason=reason)
    row = {"at_ms": now_ms, "ending": _dump(ending), "reason": ascii(reason)[1:-1]}
    StuckEndRow.insert(attempt=hold.attempt, **row).on_conflict(
        conflict_target=[StuckEndRow.attempt], update=row
    ).execute(database)
    return None


def write_end(batch: Batch, ending: Ending, check_thresholds: ThresholdCheck) -> bool:
    """End the hold, even if it was marked as lost before; return whether this end ended it."""
    hold, end = ending
    windows = holds.end_hold(batch, hold, end)
    if windows is None and end.state != "lost":
        windows = holds.end_hold(batch, hold, end, was="lost")
    check_thresholds(batch.database, windows or [])
    return windows is not None


def retry_set_aside(database: Database, check_thresholds: ThresholdCheck, now_ms: int) -> None:
    """Try the ends that were set aside again; delete those whose holds have ended by now."""
    for row in list(StuckEndRow.select().execute(database)):
        ending = _load(row.ending)
        if ending and write_or_set_aside(database, ending, check_thresholds, now_ms) is not None:
            StuckEndRow.delete().where(StuckEndRow.attempt == row.attempt).execute(database)


def _dump(ending: Ending) -> str:
    return json.dumps([asdict(part) for part in ending], default=str)  # ASCII: it can hold any text


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
