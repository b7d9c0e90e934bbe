"""Privacy: export all data of one user, and replace the user by a pseudonym everywhere.

Sums must stay, so the user's rows are not deleted. The token that stands for the user in records of advice
replaces the id everywhere, and the row that links the token to the id is deleted. All windows, rollups and
hash chains still verify. Free text that may name the user is deleted: conversations, feedback, and the news
that came with advice; sessions get random names. The texts of advice must be kept, and stay under the
pseudonym.
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

from supernova_ai import ratings, sessions
from supernova_ai.advisor import records
from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.execution import cached_answers
from supernova_ai.identifiers import storable
from supernova_ai.keys import Vault
from supernova_ai.keys.audited_store import Record
from supernova_ai.sessions.history import ExchangeCipher, SessionKey
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
    RatingRow,
    SessionTurnRow,
    Table,
    UserTokenRow,
    WindowRow,
)
from supernova_ai.store.user_tokens import user_token
from supernova_ai.upkeep import archive, archive_files, configured_users
from supernova_ai.upkeep.archive_files import Manifest

RowsByTable = dict[str, list[dict[str, Any]]]
"""The rows of each table, each by column."""

USER_COLUMNS: dict[type[Table], str] = {
    AttemptRow: "user_id",
    PayerRow: "user_id",
    DailyRow: "user_id",
    WindowRow: "subject",
    OpeningRow: "user_id",
    AlertRow: "subject",
}
"""The columns that have a user's id in clear, which is replaced; a test finds every such column."""

_OF_USERS: dict[type[Table], str] = {
    WindowRow: "(scope = '' OR REPLACE(scope, '\"user\": \"*\"', '') <> scope)",
    AlertRow: "NOT EXISTS (SELECT 1 FROM budget_window own WHERE own.budget = alert.budget AND own.subject = "
    "alert.subject AND own.period = alert.period AND own.scope <> '' AND "
    "REPLACE(own.scope, '\"user\": \"*\"', '') = own.scope)",
}
"""The condition for such a column to have a user: other subjects are a team, or the value of a tag."""

_EXPORTED: dict[type[Table], str] = {
    **USER_COLUMNS,
    **dict.fromkeys((SessionTurnRow, AnswerRow, RatingRow), "user_id"),
}
_SESSIONS = (AttemptRow, PayerRow)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The pseudonym, and how many rows got it, by table.

    ``restored`` are archives whose rows were put back into the table; ``left`` are files that still name the
    user.
    """

    pseudonym: str
    rows: Mapping[str, int]
    restored: tuple[str, ...]
    left: tuple[str, ...]


def export_user(vault: Vault, user: str, *, folder: Path) -> RowsByTable:
    """Return every row of the user, by table, with the columns as they are stored. Audited by the pseudonym.

    Args:
        vault: decrypts sessions, cached answers and comments.
        folder: where the archives of attempts are.

    Raises:
        InvalidRequest: the store has no data of the user, or a record of theirs was altered.
        MasterKeyError: the vault lacks the master key of the sessions.
        StoreError: an archive that may have rows of the user cannot be read.
    """
    store = vault.store
    found = _found(store, user, folder)
    vault.audited(lambda database, record: record("privacy.exported", user_token(database, user)))
    for row in found["advice"]:
        record = AdviceRow(id=row["id"], content=row["content"], bars=row["bars"], news=row["news"])
        row |= {name: records.kept_input(record, name) for name in ("bars", "news")}
        row["content"] = json.loads(record.content)
    if turns := found["session_turn"]:
        cipher = ExchangeCipher(vault.session_cipher(), store.id, os.urandom)
        for row in turns:
            sealed, key = bytes(row.pop("sealed")), SessionKey(user, row["session_id"])
            said = cipher.decrypt(key, row["number"], row["at_ms"], sealed)
            row |= {"message": said.message, "answer": said.answer}
    cache = cached_answers.StoredAnswers(store, vault.answer_cipher)
    for row in found["answer"]:
        kept = AnswerRow(
            place=row["place"], user=user, expires_ms=row["expires_ms"], sealed=row.pop("sealed")
        )
        row["text"] = cache.open(kept)
    comments = ratings.comments(vault, ((row["request"], row.pop("sealed")) for row in found["rating"]))
    for row in found["rating"]:
        row["comment"] = comments.get(row["request"])
    return found


def _found(store: Store, user: str, folder: Path) -> RowsByTable:
    storable("the user's id", user)  # of any length: earlier versions accepted longer ids
    found = store.read(lambda database: _known(database, user, folder)) if user else {}
    if not any(found.values()):
        raise InvalidRequest(f"there is no data of user {user!r}: is the id written as in calls?")
    return found


def _known(database: Database, user: str, folder: Path) -> RowsByTable:
    with snapshot(database):
        found = {
            table._meta.table_name: list(_rows(database, table, _where(table, column), user))
            for table, column in _EXPORTED.items()
        }
        found["attempt"] += _archived(database, folder, user)
        theirs = "user_token IN (SELECT token FROM user_token WHERE user_id = ?)"
        found["advice"] = list(_rows(database, AdviceRow, theirs, user))
        found["config_version"] = configured_users.export(database, user)
        return found


def erase_user(vault: Vault, user: str, *, folder: Path, now_ms: int) -> Erasure:
    """Replace the user by a pseudonym everywhere; after a crash, run it again.

    Archived attempts that name the user are put back into the table, and their files are deleted: archive
    again. Running calls of the user store nothing more under the id, because they find a tombstone. A call
    that begins later is of a new user.

    Raises:
        InvalidRequest: the store has no data of the user.
        StoreError: an archive that may name the user cannot be read.
    """
    store = vault.store
    _found(store, user, folder)
    restored: list[str] = []
    while True:
        checked = store.read(archive.current_archives).keys()
        more, left = _restore_archives(vault, user, folder, now_ms)
        restored += more
        done = vault.audited(partial(_erase, store=store, user=user, checked=checked, now_ms=now_ms))
        if done is not None:
            return Erasure(*done, tuple(restored), tuple(left))


def _erase(
    database: Database, record: Record, *, store: Store, user: str, checked: Collection[str], now_ms: int
) -> tuple[str, dict[str, int]] | None:
    """Erase the user; return None and do nothing if rows were archived after the archives were checked."""
    if archive.current_archives(database).keys() - set(checked):
        return None
    # The time is read here, because calls begin while this operation waits for the writer.
    erased.mark(database, user, now_ms=store.now_ms())
    pseudonym = user_token(database, user)
    counts = {}
    _rename_sessions(database, user)
    for table, column in USER_COLUMNS.items():
        name = table._meta.table_name
        change = f"UPDATE {name} SET {column} = ? WHERE {_where(table, column)}"  # noqa: S608 - names of ours
        counts[name] = int(bulk.run(database, change, pseudonym, user).rowcount)
    for name, count in configured_users.rename(database, user, pseudonym).items():
        counts[name] = counts.get(name, 0) + count
    counts["session_turn"] = sessions.erase(database, user=user)
    counts["answer"] = cached_answers.erase(database, user=user)
    counts["rating"] = ratings.erase(database, user=user)
    counts["advice"] = int(AdviceRow.update(news=None).where(AdviceRow.user == pseudonym).execute(database))
    UserTokenRow.delete().where(UserTokenRow.user == user).execute(database)
    record("privacy.erased", pseudonym, counts)
    JournalRow.insert(
        at_ms=now_ms,
        event="privacy.erased",
        before="",
        after=pseudonym,
        reason=json.dumps(counts),
    ).execute(database)
    return pseudonym, counts


def _where(table: type[Table], column: str) -> str:
    of_users = _OF_USERS.get(table)
    return f"{column} = ? AND {of_users}" if of_users else f"{column} = ?"


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


def _restore_archives(vault: Vault, user: str, folder: Path, now_ms: int) -> tuple[list[str], list[str]]:
    """Put the attempts of each archive that names the user back into the table, and delete the file.

    Returns:
        These files; and the files that name the user but are not in the journal, which an interrupted or
        running archive command wrote: they are not touched.
    """
    store = vault.store
    # Listed before the journal is read: it then names every finished archive among them.
    files = sorted(archive_files.archives_of(folder, store.id))

    def read(database: Database) -> tuple[dict[str, Manifest], list[Path]]:
        with snapshot(database):
            return archive.current_archives(database), archive.left_over(database, folder, store.id)

    current, unnamed = store.read(read)
    for manifest in current.values():
        if reason := archive_files.find_damage(manifest, folder):
            raise _unreadable(manifest.file, reason, "erase")
    restored, left = [], []
    for file in files:
        if not _names(file, user):
            continue
        if file in unnamed:
            left.append(file.name)
            continue
        if file.name in current:
            archive.restore_attempts(vault, file, now_ms=now_ms)
        archive_files.delete_archive(file)
        restored.append(file.name)
    return restored, left


def _unreadable(file: str, reason: str, command: str) -> StoreError:
    return StoreError(
        f"archive {file} may name the user, and cannot be read: {reason}. Use an undamaged copy of it, or "
        f"name the folder where it is, and {command} again."
    )


def _names(file: Path, user: str) -> bool:
    with suppress(OSError, EOFError, ValueError):  # a crash may have left an incomplete file
        return any(row["user_id"] == user for row in archive_files.read_rows(file))
    return True


def _archived(database: Database, folder: Path, user: str) -> Iterator[dict[str, Any]]:
    for name, manifest in archive.current_archives(database).items():
        if reason := archive_files.find_damage(manifest, folder):
            raise _unreadable(name, reason, "export")
        yield from (row for row in archive_files.read_rows(folder / name) if row["user_id"] == user)


def _rows(database: Database, table: type[Table], where: str, user: str) -> Iterator[dict[str, Any]]:
    names = bulk.columns(table)
    for page in bulk.pages(database, table, where=where, arguments=[user]):
        yield from (dict(zip(names, row, strict=True)) for row in page)
