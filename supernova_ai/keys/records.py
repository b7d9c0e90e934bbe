"""The rows of the vault: reading and changing them inside one operation on the store, nothing decrypted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from peewee import SQL, Database, fn

from supernova_ai.keys.audit import HEAD, moment
from supernova_ai.keys.crypto import Binding
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.facts import fact
from supernova_ai.store.tables import AuditRow, KeyRow, MetaRow, SessionTurnRow, Table

_SEALED_WITH = "master.id"

# Written out, since every attempt runs it, and building it with peewee takes ten times as long as running it.
# A state that is neither is damage: the slot is not empty.
_FIND = (
    "SELECT id, version, state, master_id, sealed FROM api_key "
    "WHERE provider = ? AND slot = ? AND COALESCE(state, '') <> 'revoked' "
    "ORDER BY CASE state WHEN 'active' THEN 0 ELSE 1 END, version DESC LIMIT 1"
)
_EVERY = (
    "SELECT provider, slot, version, state, fingerprint, created_ms FROM api_key "
    "ORDER BY provider, slot DESC, version"
)
_MOST_VERSIONS = 1_000_000
"""A version above it is damage: the next one must not come near to what a column can hold."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of one version of a key. The fingerprint is the same whenever the key is.

    ``version`` is 0 where the record is damaged and has no number there.
    """

    provider: str
    slot: str
    version: int
    state: str
    fingerprint: str
    created: datetime


@dataclass(frozen=True, slots=True)
class SealedKey:
    """An active key as it is stored; only ``Vault.open`` can read it."""

    place: Binding
    record: bytes = field(repr=False)


def insert(database: Database, place: Binding, fingerprint: str, record: bytes, created_ms: int) -> KeyInfo:
    """Write a sealed record as its slot's active version; the version before it is revoked."""
    revoke(database, place.provider, place.slot)
    KeyRow.insert(
        id=place.key_id,
        provider=place.provider,
        slot=place.slot,
        version=place.version,
        state="active",
        master_id=place.master_id,
        fingerprint=fingerprint,
        sealed=record,
        created_ms=created_ms,
    ).execute(database)
    return KeyInfo(place.provider, place.slot, place.version, "active", fingerprint, moment(created_ms))


def revoke(database: Database, provider: str, slot: str) -> None:
    """Revoke the slot's current version and wipe its record, so that later copies do not carry it on."""
    KeyRow.update(state="revoked", sealed=b"").where(_current(provider, slot)).execute(database)


def providers(database: Database) -> list[str]:
    """Return the providers that have a key in any slot."""
    statement = "SELECT DISTINCT provider FROM api_key WHERE COALESCE(state, '') <> 'revoked'"
    return [_text(name) for (name,) in damaged_rows(database, statement)]


def find(database: Database, store: str, provider: str, slot: str) -> SealedKey | None:
    """Read the slot's active version."""
    for key_id, version, state, master_id, record in damaged_rows(database, _FIND, provider, slot):
        whole = all(isinstance(text, str) for text in (key_id, master_id)) and isinstance(version, int)
        # Whatever is damaged fails when the record is opened, not here: the caller may have another key.
        whole = whole and state == "active" and isinstance(record, bytes | memoryview)
        sealed = bytes(record) if whole else b""
        place = Binding(store, provider, slot, _text(key_id), _number(version), _text(master_id))
        return SealedKey(place, sealed)
    return None


def next_version(database: Database, provider: str, slot: str) -> int:
    """Return a number above those of the slot's versions; the first is 1. Damaged numbers do not count."""
    statement = "SELECT version FROM api_key WHERE provider = ? AND slot = ?"
    taken = {_number(version) for (version,) in damaged_rows(database, statement, provider, slot)}
    latest = max((version for version in taken if version < _MOST_VERSIONS), default=0)
    return next(version for version in count(max(latest, 0) + 1) if version not in taken)


def every(database: Database) -> list[KeyInfo]:
    """Read every version of every key."""
    return [
        KeyInfo(
            _text(provider), _text(slot), _number(version), _text(state), _text(fingerprint), moment(at_ms)
        )
        for provider, slot, version, state, fingerprint, at_ms in damaged_rows(database, _EVERY)
    ]


def exist(database: Database) -> bool:
    """Tell whether there is any key record, revoked ones too."""
    return _any(database, KeyRow)


def untouched(database: Database) -> bool:
    """Tell whether nothing was ever sealed here: no master named, no record, no conversation, no audit."""
    facts = sealed_with(database) or fact(database, HEAD)
    return not (facts or any(_any(database, table) for table in (KeyRow, SessionTurnRow, AuditRow)))


def sealed_with(database: Database) -> str | None:
    """Return the id of the master that the store's keys are sealed with; None before the first key."""
    return fact(database, _SEALED_WITH)


def seal_with(database: Database, master_id: str) -> None:
    """Name the master of the store, when its first key is added."""
    MetaRow.insert(name=_SEALED_WITH, value=master_id).execute(database)  # never in the place of another


def _current(provider: str, slot: str) -> object:
    return (
        (KeyRow.provider == provider) & (KeyRow.slot == slot) & (fn.COALESCE(KeyRow.state, "") != "revoked")
    )


def _any(database: Database, table: type[Table]) -> bool:
    return bool(list(table.select(SQL("1")).limit(1).tuples().execute(database)))


def _text(value: Any) -> str:
    """Return a text column's value, which in a damaged record may be anything."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> int:
    """Return a version, 0 if it is no number."""
    return value if isinstance(value, int) else 0
