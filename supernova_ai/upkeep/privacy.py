"""What is known of one user: all of it to hand out, and a pseudonym in its place when they leave.

Sums must stay: what was spent was spent. So a user is not deleted: the token that stands for them in records
of advice takes their place everywhere, and the row that says whose token it is goes. Every window, rollup and
chain still verifies. What may name them in free text goes: conversations are deleted and their sessions get
names by chance, and news that came with advice is removed. The texts of advice stay, for they must be kept,
and nobody knows whose they are.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from peewee import Database

from supernova_ai import sessions
from supernova_ai.advisor import records
from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.execution import cached_answers
from supernova_ai.identifiers import storable
from supernova_ai.keys import Vault
from supernova_ai.ledger import archive_files
from supernova_ai.ledger.archive_files import Manifest
from supernova_ai.sessions.turns import Seal, SessionKey
from supernova_ai.store import Store, bulk, erased
from supernova_ai.store.engines import snapshot
from supernova_ai.store.tables import (
    AdviceRow,
    AlertRow,
    AnswerRow,
    AttemptRow,
    DailyRow,
    JournalRow,
    OpeningRow,
    PayerRow,
    SessionTurnRow,
    Table,
    UserTokenRow,
    WindowRow,
)
from supernova_ai.upkeep import archive

Found = dict[str, list[dict[str, Any]]]
"""Rows by table."""

PLACES: dict[type[Table], str] = {
    AttemptRow: "user_id",
    PayerRow: "user_id",
    DailyRow: "user_id",
    WindowRow: "subject",
    OpeningRow: "user_id",
    AlertRow: "subject",
}
"""Where a user's id stands as it was given, and is replaced; a test finds every column of the kind."""

_THEIRS: dict[type[Table], str] = {**PLACES, SessionTurnRow: "user_id", AnswerRow: "user_id"}
_SESSIONS = (AttemptRow, PayerRow)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was done: the pseudonym, and how many rows got it, by table.

    ``restored`` are archives whose rows came back into the table; ``left`` files that still name the user.
    """

    pseudonym: str
    rows: Mapping[str, int]
    restored: tuple[str, ...]
    left: tuple[str, ...]


def export(store: Store, user: str, *, folder: Path, vault: Vault | None = None) -> Found:
    """Return every row of the user, by table, with the columns as they are stored.

    Args:
        folder: where the archives of attempts are.
        vault: opens sessions and cached answers; without it their text is left out.

    Raises:
        InvalidRequest: nothing is known of the user, or a record of theirs was altered.
        MasterKeyError: the vault has not what the sessions are sealed with.
        StoreError: an archive that may have rows of the user cannot be read.
    """
    found = _found(store, user, folder)
    for row in found["advice"]:
        record = AdviceRow(id=row["id"], content=row["content"], bars=row["bars"], news=row["news"])
        row |= {"bars": records.bars_of(record), "news": records.news_of(record)}
        row["content"] = json.loads(record.content)
    turns = found["session_turn"]
    seal = Seal(vault.session_cipher(), store.id, os.urandom) if vault and turns else None
    for row in turns:
        sealed = bytes(row.pop("sealed"))
        if seal:
            said = seal.open(SessionKey(user, row["session_id"]), row["number"], row["at_ms"], sealed)
            row |= {"message": said.message, "answer": said.answer}
    cached = found["answer"]
    cache = cached_answers.StoredAnswers(store, vault.answer_cipher()) if vault and cached else None
    for row in cached:
        kept = AnswerRow(
            place=row["place"], user=user, expires_ms=row["expires_ms"], sealed=row.pop("sealed")
        )
        if cache:
            row["text"] = cache.open(kept)
    return found


def _found(store: Store, user: str, folder: Path) -> Found:
    storable("the user's id", user)  # of any length: earlier versions kept longer ids than are taken now
    found = store.read(lambda database: _known(database, user, folder)) if user else {}
    if not any(found.values()):
        raise InvalidRequest(f"nothing is known of user {user!r}: is the id written as it is in calls?")
    return found


def _known(database: Database, user: str, folder: Path) -> Found:
    with snapshot(database):
        found = {
            table._meta.table_name: list(_rows(database, table, f"{column} = ?", user))
            for table, column in _THEIRS.items()
        }
        found["attempt"] += _archived(database, folder, user)
        theirs = "user_token IN (SELECT token FROM user_token WHERE user_id = ?)"
        found["advice"] = list(_rows(database, AdviceRow, theirs, user))
        return found


def erase(store: Store, user: str, *, folder: Path, now_ms: int) -> Erasure:
    """Put a pseudonym in the user's place everywhere; after a crash, run it again.

    Archived attempts that name the user come back into the table, and their files are deleted: archive anew.
    Calls of the user that are running keep nothing more under the id: they find a tombstone. A call that
    begins later is of a new user.

    Raises:
        InvalidRequest: nothing is known of the user.
        StoreError: an archive that may name the user cannot be read.
    """
    _found(store, user, folder)
    restored: list[str] = []
    while True:
        looked = store.read(archive.archives).keys()
        more, left = _bring_back(store, user, folder, now_ms)
        restored += more
        done = store.write(partial(_erase, store=store, user=user, looked=looked, now_ms=now_ms)).result()
        if done is not None:
            return Erasure(*done, tuple(restored), tuple(left))


def _erase(
    database: Database, *, store: Store, user: str, looked: Collection[str], now_ms: int
) -> tuple[str, dict[str, int]] | None:
    """Erase the user, unless rows were archived since the archives were looked through: then do nothing."""
    if archive.archives(database).keys() - set(looked):
        return None
    erased.mark(database, user, now_ms=store.now_ms())  # read here: calls begin while this waits its turn
    pseudonym = records.token(database, user)
    counts = {}
    _rename_sessions(database, user)
    for table, column in PLACES.items():
        name = table._meta.table_name
        change = f"UPDATE {name} SET {column} = ? WHERE {column} = ?"  # noqa: S608 - names of ours
        counts[name] = int(bulk.run(database, change, pseudonym, user).rowcount)
    counts["session_turn"] = sessions.erase(database, user=user)
    counts["answer"] = cached_answers.erase(database, user=user)
    counts["advice"] = int(AdviceRow.update(news=None).where(AdviceRow.user == pseudonym).execute(database))
    UserTokenRow.delete().where(UserTokenRow.user == user).execute(database)
    JournalRow.insert(
        at_ms=now_ms,
        event="privacy.erased",
        before="",
        after=pseudonym,
        reason=json.dumps(counts),
    ).execute(database)
    return pseudonym, counts


def _rename_sessions(database: Database, user: str) -> None:
    names: set[str] = set()
    for table in _SESSIONS:
        select = f"SELECT DISTINCT session_id FROM {table._meta.table_name} WHERE user_id = ?"  # noqa: S608
        names.update(name for (name,) in bulk.run(database, select, user).fetchall() if name)
    for session in names:
        name = f"session-{uuid.uuid4().hex}"
        for table in _SESSIONS:
            change = (
                f"UPDATE {table._meta.table_name} SET session_id = ? WHERE user_id = ? AND session_id = ?"  # noqa: S608
            )
            bulk.run(database, change, name, user, session)


def _bring_back(store: Store, user: str, folder: Path, now_ms: int) -> tuple[list[str], list[str]]:
    """Put the archived attempts of each file that names the user back into the table, and delete the file.

    Returns:
        Which files these were; and those that name the user too but that an interrupted run of the archive
        left, or one that is under way: they are not touched.
    """
    files = sorted(archive_files.of_store(folder, store.id))  # before the journal is read: it may name more

    def look(database: Database) -> tuple[dict[str, Manifest], list[Path]]:
        with snapshot(database):
            return archive.archives(database), archive.left_over(database, folder, store.id)

    in_force, unnamed = store.read(look)
    for manifest in in_force.values():
        if reason := archive_files.damage(manifest, folder):
            raise _unreadable(manifest.file, reason, "erase")
    restored, left = [], []
    for file in files:
        if not _names(file, user):
            continue
        if file in unnamed:
            left.append(file.name)
            continue
        if file.name in in_force:
            archive.restore(store, file, now_ms=now_ms)
        archive_files.discard(file)
        restored.append(file.name)
    return restored, left


def _unreadable(file: str, reason: str, command: str) -> StoreError:
    return StoreError(
        f"archive {file} may name the user, and cannot be read: {reason}. Get an undamaged copy of it, or "
        f"give the folder where it is, and {command} again."
    )


def _names(file: Path, user: str) -> bool:
    with suppress(OSError, EOFError, ValueError):  # of what a crash left, half of a file
        return any(row["user_id"] == user for row in archive_files.read(file))
    return True


def _archived(database: Database, folder: Path, user: str) -> Iterator[dict[str, Any]]:
    for name, manifest in archive.archives(database).items():
        if reason := archive_files.damage(manifest, folder):
            raise _unreadable(name, reason, "export")
        yield from (row for row in archive_files.read(folder / name) if row["user_id"] == user)


def _rows(database: Database, table: type[Table], where: str, user: str) -> Iterator[dict[str, Any]]:
    names = bulk.columns(table)
    for page in bulk.pages(database, table, where=where, arguments=[user]):
        yield from (dict(zip(names, row, strict=True)) for row in page)
