"""Rotate the master key: all that is sealed in the store is sealed again under a new one, in one transaction.

At every point of a crash the store opens, and running this again finishes: the new master is in its place
before anything changes, and the store's record of its master's id says which of the two is in force.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai import ratings
from supernova_ai.audit import current_actor
from supernova_ai.audit.chain import Chain
from supernova_ai.errors import KeyCorrupt, MasterKeyError
from supernova_ai.keys import MasterKey, master_history, open_vault, records, reveal
from supernova_ai.keys.crypto import seal, unseal
from supernova_ai.keys.master_files import FILE_VARIABLE, Source
from supernova_ai.keys.master_places import EnvironmentPlace, FilePlace, KeyringPlace, MasterPlace, master_of
from supernova_ai.keys.master_sources import CREDENTIAL, KEYRING_TIMEOUT, VARIABLE
from supernova_ai.keys.records import SealedKey
from supernova_ai.reload import versions
from supernova_ai.secret import Secret
from supernova_ai.sessions import SessionKey, history
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import AnswerRow, ConfigVersionRow, RatingRow, SessionTurnRow, Table

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_NONCE = 12
_PAGE = 500
"""Rows in memory at a time."""


class SealedTable(NamedTuple):
    """A table whose column ``sealed`` holds a nonce of 12 bytes and a ciphertext, or NULL.

    ``bound`` returns a row's associated data for the store's id and the values of its primary key.
    """

    table: type[Table]
    cipher: Callable[[MasterKey], AESGCM]
    bound: Callable[..., bytes]


SEALED = (
    SealedTable(
        SessionTurnRow,
        lambda master: master.sessions,
        lambda store, user, session, number: history.associated_data(
            store, SessionKey(user, session), number
        ),
    ),
    SealedTable(ConfigVersionRow, lambda master: master.versions, versions.associated_data),
    SealedTable(RatingRow, lambda master: master.comments, ratings.associated_data),
)
"""What is sealed again besides API keys. Cached answers are deleted."""


@dataclass(frozen=True, slots=True)
class MasterRotation:
    """What was done: the new master's id, and how many keys and other rows are sealed with it now.

    ``damaged`` keys and rows did not open before, and stay as they are. ``finished`` means that only the rest
    of an earlier rotation was done. ``advice`` is what the user must do now.
    """

    master_id: str
    kind: str
    keys: int = 0
    rows: int = 0
    damaged: int = 0
    finished: bool = False
    advice: tuple[str, ...] = ()


def rotate_master(
    store: Store,
    *,
    to: str | None = None,
    file: Path | None = None,
    grace_s: float,
    environ: Mapping[str, str],
    backend: KeyringBackend | None = None,
    timeout: float = KEYRING_TIMEOUT,
) -> MasterRotation:
    """Rotate the store's master key. Not inside an operation.

    Args:
        to: ``keyring``, ``file`` or ``environment``; None is where it is now.
        file: the file of ``file``, by default the one in ``SUPERNOVA_MASTER_KEY_FILE``, else ``master.key``
            in the data folder; or the new file from which the user sets the variable for ``environment``.
        grace_s: for so many seconds, processes that have the old master get the new one from the store.
        backend: the keyring; None takes the one that ``keyring`` chooses.
        timeout: seconds to wait for each access to the keyring.

    Raises:
        MasterKeyError: there is no master key, its new place cannot be used, or something does not open with
            the new one.
    """
    if store.read(records.master_id) is None:
        raise MasterKeyError("there is no master key to rotate: nothing is sealed in this database yet")
    text, source = reveal(store, environ=environ, backend=backend, timeout=timeout)
    in_keyring = KeyringPlace(store, backend=backend, timeout=timeout)
    place = _place(to or source.kind, file, environ, in_keyring)
    old = master_of(text, source.kind)
    new, done = store.write(lambda database: _switch(store, database, old, text, place, grace_s)).result()
    broken = 0 if done.finished else store.read(lambda database: _count_broken(store, database, new))
    if broken > done.damaged:
        raise MasterKeyError(
            f"{broken} keys or rows do not open with the new master key (id {new.id[:8]}…), which is in "
            f"force. The old one was left in its place: restore a backup of the database made before"
        )
    store.write(lambda database: place.promote(records.master_id(database) or "")).result()
    advice = place.advice
    if source.kind != place.kind:
        if source.kind == in_keyring.kind:
            in_keyring.drop()
        else:
            advice = [*advice, *_old_source(source, environ)]
    vault = open_vault(store, explicit=new, environ=environ, backend=backend)
    vault.unlock()
    vault.advance_anchor()
    return replace(done, advice=tuple(advice))


def _old_source(source: Source, environ: Mapping[str, str]) -> list[str]:
    """Return what the user must do with a source from which the master went elsewhere."""
    if source.kind == EnvironmentPlace.kind:
        return [f"unset {VARIABLE}"]
    if source.kind != FilePlace.kind:
        return [f"take the credential {CREDENTIAL} out of the unit"]
    unset = [f"unset {FILE_VARIABLE}"] if environ.get(FILE_VARIABLE) else []
    return [*unset, f"delete {source}, the old master key, when no other database needs it"]


def _place(to: str, file: Path | None, environ: Mapping[str, str], in_keyring: KeyringPlace) -> MasterPlace:
    if to == in_keyring.kind:
        return in_keyring
    if to == EnvironmentPlace.kind:
        return EnvironmentPlace(file)
    if to == FilePlace.kind:
        return FilePlace(file, environ)
    raise MasterKeyError(
        "a systemd credential cannot be written from here: rotate with --to file --file PATH, and make a "
        "credential of that file (docs/keys.md)"
    )


def _switch(
    store: Store, database: Database, old: MasterKey, text: Secret, place: MasterPlace, grace_s: float
) -> tuple[MasterKey, MasterRotation]:
    now_ms = store.now_ms()
    if records.master_id(database) != old.id:
        raise MasterKeyError("another process rotated the master key just now: there is nothing left to do")
    old = master_history.in_force(database, old, now_ms)
    # In this transaction: another process that rotates must not overwrite what waits there.
    following = place.waiting(old.id)
    if following is None:
        following = Secret(os.urandom(32).hex())
        place.prepare(following)
    new = master_of(following, place.kind)
    if new.id == old.id:  # a crash left it there after it came into force
        return old, MasterRotation(old.id, place.kind, finished=True)
    master_history.succeed(database, old, text, new, os.urandom)
    if grace_s > 0:
        master_history.hand_over(database, old, following, now_ms + int(grace_s * 1000), os.urandom)
    keys, damaged = _reseal_keys(store, database, old, new)
    rows = 0
    for table in SEALED:
        resealed, failed = _reseal_rows(store, database, table, old, new)
        rows, damaged = rows + resealed, damaged + failed
    AnswerRow.delete().execute(database)
    records.change_master(database, new.id, new.kind)
    new = master_history.in_force(database, new, now_ms)
    Chain(store.id, (*new.earlier, new.audit)).append(
        database,
        now_ms,
        current_actor(),
        "master.rotated",
        new.id,
        {"before": old.id, "to": new.kind, "keys": keys, "rows": rows, "damaged": damaged},
    )
    return new, MasterRotation(new.id, new.kind, keys, rows, damaged)


def _reseal_keys(store: Store, database: Database, old: MasterKey, new: MasterKey) -> tuple[int, int]:
    """Seal every key again; return how many, and how many did not open."""
    done = damaged = 0
    for sealed in records.sealed_keys(database, store.id):
        binding = replace(sealed.binding, master_id=new.id)
        try:
            key = unseal(old.wrapping, sealed.binding, sealed.record)
        except KeyCorrupt:
            damaged += 1
            continue
        records.reseal(database, SealedKey(binding, seal(new.wrapping, binding, key, os.urandom)))
        done += 1
    return done, damaged


def _reseal_rows(
    store: Store, database: Database, sealed: SealedTable, old: MasterKey, new: MasterKey
) -> tuple[int, int]:
    """Seal every row of the table again, page by page; return how many, and how many did not open."""
    done = damaged = 0
    key = bulk.key(sealed.table)
    column, *positions = (bulk.columns(sealed.table).index(name) for name in ("sealed", *key))
    update = f"UPDATE {sealed.table._meta.table_name} SET sealed = ? WHERE "  # noqa: S608 - names of ours
    update += " AND ".join(f"{name} = ?" for name in key)
    for page in _pages(store, database, sealed):
        changed = []
        for row, bound in page:
            if (text := _open(sealed.cipher(old), row[column], bound)) is not None:
                nonce = os.urandom(_NONCE)
                content = nonce + sealed.cipher(new).encrypt(nonce, text, bound)
                changed.append((content, *(row[position] for position in positions)))
        if changed:
            database.cursor().executemany(update.replace("?", database.param), changed)
        done, damaged = done + len(changed), damaged + len(page) - len(changed)
    return done, damaged


def _count_broken(store: Store, database: Database, master: MasterKey) -> int:
    """Return how many keys and rows do not open with the master."""
    broken = 0
    for key in records.sealed_keys(database, store.id):
        try:
            unseal(master.wrapping, key.binding, key.record)
        except KeyCorrupt:
            broken += 1
    for sealed in SEALED:
        column = bulk.columns(sealed.table).index("sealed")
        for page in _pages(store, database, sealed):
            broken += sum(_open(sealed.cipher(master), row[column], bound) is None for row, bound in page)
    return broken


def _pages(store: Store, database: Database, sealed: SealedTable) -> Iterator[list[tuple[bulk.Row, bytes]]]:
    """Yield the table's rows that hold something sealed, each with what it is bound to."""
    positions = [bulk.columns(sealed.table).index(name) for name in bulk.key(sealed.table)]
    for page in bulk.pages(database, sealed.table, where="sealed IS NOT NULL", size=_PAGE):
        yield [(row, sealed.bound(store.id, *(row[position] for position in positions))) for row in page]


def _open(cipher: AESGCM, content: Any, bound: bytes) -> bytes | None:
    raw = bytes(content)
    try:
        return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], bound)
    except (InvalidTag, ValueError):
        return None
