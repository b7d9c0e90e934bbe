"""The rows of the vault, read and changed inside one operation on the store; nothing is decrypted here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from peewee import SQL, Database, fn

from supernova_ai.keys.audit import HEAD, to_datetime
from supernova_ai.keys.crypto import Binding
from supernova_ai.store import get_meta
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.tables import AuditRow, KeyRow, MetaRow, SessionTurnRow, Table

_MASTER_ID = "master.id"

# Plain SQL, because every attempt runs it and peewee takes ten times as long to build it as to run it.
# An unknown state means damage, not an empty slot.
_FIND = (
    "SELECT id, version, state, master_id, sealed FROM api_key "
    "WHERE provider = ? AND slot = ? AND COALESCE(state, '') <> 'revoked' "
    "ORDER BY CASE state WHEN 'active' THEN 0 ELSE 1 END, version DESC LIMIT 1"
)
_ALL = (
    "SELECT provider, slot, version, state, fingerprint, created_ms FROM api_key "
    "ORDER BY provider, slot DESC, version"
)
_MOST_VERSIONS = 1_000_000
"""A higher version is damage; counting on from it could overflow the column."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of one version of a key. Equal keys have equal fingerprints.

    ``version`` is 0 if the record is damaged and holds no number.
    """

    provider: str
    slot: str
    version: int
    state: str
    fingerprint: str
    created: datetime


@dataclass(frozen=True, slots=True)
class SealedKey:
    """An active key as stored; ``Vault.open`` decrypts it."""

    binding: Binding
    record: bytes = field(repr=False)


def insert(database: Database, binding: Binding, fingerprint: str, record: bytes, created_ms: int) -> KeyInfo:
    """Store a sealed record as its slot's active version and revoke the version before it."""
    revoke(database, binding.provider, binding.slot)
    KeyRow.insert(
        id=binding.key_id,
        provider=binding.provider,
        slot=binding.slot,
        version=binding.version,
        state="active",
        master_id=binding.master_id,
        fingerprint=fingerprint,
        sealed=record,
        created_ms=created_ms,
    ).execute(database)
    return KeyInfo(
        binding.provider, binding.slot, binding.version, "active", fingerprint, to_datetime(created_ms)
    )


def revoke(database: Database, provider: str, slot: str) -> None:
    """Revoke the slot's current version and wipe its record, so that later copies do not contain it."""
    KeyRow.update(state="revoked", sealed=b"").where(_current(provider, slot)).execute(database)


def providers(database: Database) -> list[str]:
    """Return the providers that have a key in any slot."""
    statement = "SELECT DISTINCT provider FROM api_key WHERE COALESCE(state, '') <> 'revoked'"
    return [_text(name) for (name,) in damaged_rows(database, statement)]


def find(database: Database, store: str, provider: str, slot: str) -> SealedKey | None:
    """Read the slot's active version."""
    for key_id, version, state, master, record in damaged_rows(database, _FIND, provider, slot):
        intact = all(isinstance(text, str) for text in (key_id, master)) and isinstance(version, int)
        # A damaged record fails when it is opened, not here: the caller may have another key.
        intact = intact and state == "active" and isinstance(record, bytes | memoryview)
        sealed = bytes(record) if intact else b""
        binding = Binding(store, provider, slot, _text(key_id), _number(version), _text(master))
        return SealedKey(binding, sealed)
    return None


def next_version(database: Database, provider: str, slot: str) -> int:
    """Return the number after the slot's latest version; the first is 1. Damaged numbers do not count."""
    statement = "SELECT version FROM api_key WHERE provider = ? AND slot = ?"
    taken = {_number(version) for (version,) in damaged_rows(database, statement, provider, slot)}
    latest = max((version for version in taken if version < _MOST_VERSIONS), default=0)
    return next(version for version in count(max(latest, 0) + 1) if version not in taken)


def all_versions(database: Database) -> list[KeyInfo]:
    """Return every version of every key."""
    return [
        KeyInfo(
            _text(provider),
            _text(slot),
            _number(version),
            _text(state),
            _text(fingerprint),
            to_datetime(at_ms),
        )
        for provider, slot, version, state, fingerprint, at_ms in damaged_rows(database, _ALL)
    ]


def any_exist(database: Database) -> bool:
    """Return whether there is any key record, including revoked ones."""
    return _any(database, KeyRow)


def is_unused(database: Database) -> bool:
    """Return whether nothing was ever sealed here: no master id, key, conversation or audit row."""
    facts = master_id(database) or get_meta(database, HEAD)
    return not (facts or any(_any(database, table) for table in (KeyRow, SessionTurnRow, AuditRow)))


def master_id(database: Database) -> str | None:
    """Return the id of the store's master key; None before the first key."""
    return get_meta(database, _MASTER_ID)


def set_master_id(database: Database, value: str) -> None:
    """Record the store's master key; it fails if there is one already."""
    MetaRow.insert(name=_MASTER_ID, value=value).execute(database)


def _current(provider: str, slot: str) -> object:
    return (
        (KeyRow.provider == provider) & (KeyRow.slot == slot) & (fn.COALESCE(KeyRow.state, "") != "revoked")
    )


def _any(database: Database, table: type[Table]) -> bool:
    return bool(list(table.select(SQL("1")).limit(1).tuples().execute(database)))


def _text(value: Any) -> str:
    """Return a text column as text; a damaged record may hold any value."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> int:
    """Return a version; 0 if it is not a number."""
    return value if isinstance(value, int) else 0
