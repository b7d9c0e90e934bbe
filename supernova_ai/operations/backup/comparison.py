"""Compare a backup with what is there now: what a restore would change, and what it would lose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from peewee import Database, fn

from supernova_ai.characters import counted
from supernova_ai.config import Loaded
from supernova_ai.config.differences import differences
from supernova_ai.errors import BackupError
from supernova_ai.keys import records
from supernova_ai.money import show
from supernova_ai.operations.backup.inspection import Inspection, Key
from supernova_ai.operations.backup.snapshot import count_rows, heads
from supernova_ai.paths import is_server, reason_of, sqlite_path
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, AuditRow, WindowRow

Relation = Literal["empty", "same", "newer", "older", "diverged", "other"]
"""What the database is, seen from the backup. ``other``: it belongs to another store."""

_CONTENT = ("attempt", "api_key", "audit", "advice", "session_turn")
"""A database without rows in these tables counts as empty."""


@dataclass(frozen=True, slots=True)
class RestorePlace:
    """Where a backup is restored to: a database, the data folder, and the folder of the configuration."""

    database: str
    data: Path
    config: Path

    def of(self, name: str) -> Path:
        """Return where the file of that name in the backup belongs.

        Raises:
            BackupError: it is no name that a backup gives.
        """
        room, *rest = PurePosixPath(name).parts
        folder = {"config": self.config, "archive": self.data / "archive"}.get(room)
        if folder is None or not rest or ".." in rest:
            raise BackupError(f"it has a file with an impossible name: {name!r}")
        return folder.joinpath(*rest)


class Later(NamedTuple):
    """What happened after the backup: attempts and what they cost in nano-USD, and audited operations."""

    attempts: int
    nano: int
    operations: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a restore would change; each pair is now and in the backup, and None is absent.

    ``rows`` has the number of rows by table, ``keys`` the state of each version of a key, ``settings`` the
    settings that differ, ``windows`` what the budgets have spent in nano-USD where it differs, ``files`` each
    file that would be ``new`` or ``changed``, ``masters`` the ids of the master keys.
    """

    relation: Relation
    later: Later
    rows: Mapping[str, tuple[int, int]]
    keys: Mapping[str, tuple[str | None, str | None]]
    settings: Mapping[str, tuple[Any, Any]]
    windows: Mapping[str, tuple[int | None, int | None]]
    files: Mapping[str, str]
    masters: tuple[str | None, str | None]

    @property
    def master_comes_back(self) -> bool:
        """Say whether the master key was rotated after the backup, whose master would be in force again."""
        now, then = self.masters
        return None not in (now, then) and now != then and self.relation != "other"

    @property
    def loses(self) -> str | None:
        """Say what would be replaced, as a sentence; None if nothing is there."""
        changed = [name for name, what in self.files.items() if what == "changed"]
        if self.relation == "empty":
            return f"these files differ from the backup's: {', '.join(changed)}" if changed else None
        if self.relation == "other":
            return "the database belongs to another store, with data of its own"
        if self.relation == "newer":
            attempts = counted(self.later.attempts, "attempt")
            operations = counted(self.later.operations, "audited operation")
            return (
                f"the database is newer than the backup: since then it has {attempts}, "
                f"which cost {show(self.later.nano)}, and {operations}"
            )
        if self.relation == "older":
            return "the database is older than the backup"
        if self.relation == "diverged":
            return "the database and the backup went different ways: each has what the other lacks"
        return "the database has all that the backup has"


def compare(store: Store, loaded: Loaded, place: RestorePlace, found: Inspection) -> Comparison:
    """Compare the open database, the configuration and the files of the place with the backup."""

    def operation(database: Database) -> Comparison:
        now = count_rows(database)
        keys = [Key(key.provider, key.slot, key.version, key.state) for key in records.all_versions(database)]
        spent = WindowRow.settled + WindowRow.held + WindowRow.lost
        windows = {
            (budget, period): amount
            for budget, period, amount in WindowRow.select(WindowRow.budget, WindowRow.period, spent)
            .where(WindowRow.subject == "")
            .tuples()
            .execute(database)
        }
        later = _later(database, found)
        return Comparison(
            relation=_relation(database, store, now, later, found),
            later=later,
            rows={name: (now.get(name, 0), count) for name, count in found.manifest.rows.items()},
            keys=_differences(_states(keys), _states(found.keys)),
            settings={
                name: (now, then)
                for name, now, then in differences(loaded.config.shown(), found.manifest.settings)
            },
            windows=_differences(_named(windows), _named(found.windows)),
            files=changes(place, found),
            masters=(records.master_id(database), found.manifest.master_id),
        )

    return store.read(operation)


@contextmanager
def existing(place: RestorePlace) -> Iterator[Store]:
    """Open the place's database; where there is no file yet, an empty one elsewhere."""
    with TemporaryDirectory() as empty:
        there = is_server(place.database) or sqlite_path(place.database).exists()
        with Store(place.database if there else Path(empty, "empty.db")) as store:
            yield store


def changes(place: RestorePlace, found: Inspection) -> dict[str, str]:
    """Return the paths of the files that a restore would make or change.

    Raises:
        BackupError: one that is there cannot be read.
    """
    result = {}
    for name, digest in found.files.items():
        path = place.of(name)
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    result[str(path)] = "changed"
        except FileNotFoundError:
            result[str(path)] = "new"
        except OSError as error:
            raise BackupError(
                f"{path} is in the place of a file and cannot be read: {reason_of(error)}"
            ) from error
    return result


def time_of(found: Inspection) -> str:
    """Return when the backup was made, in the local time zone."""
    return f"{datetime.fromtimestamp(found.manifest.created_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _later(database: Database, found: Inspection) -> Later:
    columns = fn.COUNT(AttemptRow.id), fn.COALESCE(fn.SUM(AttemptRow.cost), 0)
    newer = AttemptRow.started_ms > found.manifest.created_ms
    ((attempts, cost),) = AttemptRow.select(*columns).where(newer).tuples().execute(database)
    held = AttemptRow.select(fn.COALESCE(fn.SUM(AttemptRow.held), 0)).where(
        newer & (AttemptRow.state == "held")
    )
    ((open_,),) = held.tuples().execute(database)
    number, _ = found.manifest.heads["audit"] or (0, "")
    operations = AuditRow.select().where(AuditRow.number > number).count(database)
    return Later(attempts, int(cost) + int(open_), operations)


def _relation(
    database: Database, store: Store, now: Mapping[str, int], later: Later, found: Inspection
) -> Relation:
    if not any(now[name] for name in _CONTENT):
        return "empty"
    if store.id != found.manifest.store:
        return "other"
    if heads(database) == found.manifest.heads:
        return "same"
    number, mac = found.manifest.heads["audit"] or (0, "")
    here = dict(
        AuditRow.select(AuditRow.number, AuditRow.mac)
        .where(AuditRow.number == number)
        .tuples()
        .execute(database)
    )
    if number and not here:
        return "older" if not later.attempts else "diverged"
    if number and here[number] != mac:
        return "diverged"
    return "newer"


def _states(keys: list[Key]) -> dict[str, str]:
    return {f"{key.provider}/{key.slot} version {key.version}": key.state for key in keys}


def _named(windows: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {f"{budget} {period}": amount for (budget, period), amount in windows.items()}


def _differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*now, *then])
    return {name: (now.get(name), then.get(name)) for name in names if now.get(name) != then.get(name)}
