"""The rows of the vault, read and changed inside one operation on the store; nothing is decrypted here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, get_args

from peewee import SQL, Database, fn

from supernova_ai.audit.chain import HEAD, to_datetime
from supernova_ai.keys.crypto import Binding
from supernova_ai.keys.key_info import BY_HAND, KeyInfo, State
from supernova_ai.store import get_meta, set_meta
from supernova_ai.store.engines import Selects, damaged_rows
from supernova_ai.store.tables import AuditRow, KeyRow, MetaRow, SessionTurnRow, Table

_MASTER_ID = "master.id"
_MASTER_KIND = "master.source"

# Plain SQL, because every attempt runs it and peewee takes ten times as long to build it as to run it.
# An unknown state means damage, not an empty slot.
FIND = (
    "SELECT id, version, state, master_id, sealed, expires_ms FROM api_key WHERE provider = ? AND slot = ? "
    "AND COALESCE(state, '') NOT IN ('pending', 'retiring', 'revoked', 'failed') "
    "ORDER BY CASE state WHEN 'active' THEN 0 ELSE 1 END, version DESC LIMIT 1"
)
"""The SELECT of a slot's active version; its arguments are the provider and the slot."""

_ALL = (
    "SELECT provider, slot, version, state, fingerprint, created_ms, reason, check_result, "
    "activated_ms, until_ms, expires_ms, checked_ms, used_ms FROM api_key "
    "ORDER BY provider, slot DESC, version"
)
_MOST_VERSIONS = 1_000_000
"""A higher version is damage; counting on from it could overflow the column."""


@dataclass(frozen=True, slots=True)
class SealedKey:
    """An active key as stored; ``Vault.open`` decrypts it.

    ``read_s`` is when it was read, on the monotonic clock.
    """

    binding: Binding
    record: bytes = field(repr=False)
    expires_ms: int | None = None
    read_s: float = field(default=0.0, compare=False)


def insert(
    database: Database,
    binding: Binding,
    fingerprint: str,
    record: bytes,
    created_ms: int,
    state: State = "active",
) -> KeyInfo:
    """Store a sealed record as its slot's next version."""
    activated_ms = created_ms if state == "active" else None
    KeyRow.insert(
        id=binding.key_id,
        provider=binding.provider,
        slot=binding.slot,
        version=binding.version,
        state=state,
        master_id=binding.master_id,
        fingerprint=fingerprint,
        sealed=record,
        created_ms=created_ms,
        activated_ms=activated_ms,
    ).execute(database)
    return KeyInfo(
        binding.provider,
        binding.slot,
        binding.version,
        state,
        fingerprint,
        to_datetime(created_ms),
        activated=_time(activated_ms),
    )


def change(database: Database, version: KeyInfo, **values: Any) -> bool:
    """Change columns of a version that is still in the same state; return whether it was."""
    found = (KeyRow.provider == version.provider) & (KeyRow.slot == version.slot)
    same = found & (KeyRow.version == version.version) & (KeyRow.state == version.state)
    return bool(KeyRow.update(**values).where(same).execute(database))


def end(database: Database, version: KeyInfo, reason: str, state: State = "revoked") -> bool:
    """Revoke a version, or note that it failed; its record is wiped, so that later copies lack it."""
    return change(database, version, state=state, reason=reason, until_ms=None, sealed=b"")


def revoke(
    database: Database, provider: str, slot: str, reason: str, unless: Sequence[State] = ("revoked",)
) -> None:
    """Revoke every version of the slot in another state, damaged ones too, and wipe their records."""
    KeyRow.update(state="revoked", reason=reason, until_ms=None, sealed=b"").where(
        (KeyRow.provider == provider)
        & (KeyRow.slot == slot)
        & fn.COALESCE(KeyRow.state, "").not_in(list(unless))
    ).execute(database)


def retire(database: Database, provider: str, slot: str, *, until_ms: int) -> None:
    """Let the slot's active version retire until then; what has no known state is revoked."""
    KeyRow.update(state="retiring", until_ms=until_ms).where(
        (KeyRow.provider == provider) & (KeyRow.slot == slot) & (KeyRow.state == "active")
    ).execute(database)
    revoke(database, provider, slot, "its record was damaged", unless=get_args(State))


def providers(database: Database | Selects) -> list[str]:
    """Return the providers that have a key in any slot."""
    statement = (
        "SELECT DISTINCT provider FROM api_key "
        "WHERE COALESCE(state, '') NOT IN ('pending', 'retiring', 'revoked', 'failed')"
    )
    return [_text(name) for (name,) in damaged_rows(database, statement)]


def find(database: Database | Selects, store: str, provider: str, slot: str) -> SealedKey | None:
    """Read the slot's active version, expired or not."""
    read_s = time.monotonic()
    for key_id, version, state, master, record, expires_ms in damaged_rows(database, FIND, provider, slot):
        intact = all(isinstance(text, str) for text in (key_id, master)) and isinstance(version, int)
        # A damaged record fails when it is opened, not here: the caller may have another key.
        intact = intact and state == "active" and isinstance(record, bytes | memoryview)
        sealed = bytes(record) if intact else b""
        binding = Binding(store, provider, slot, _text(key_id), _number(version), _text(master))
        return SealedKey(binding, sealed, _number(expires_ms) or None, read_s)
    return None


def was_revoked(database: Database | Selects, provider: str, slot: str) -> bool:
    """Return whether a version of the slot was revoked by hand, ever."""
    statement = "SELECT 1 FROM api_key WHERE provider = ? AND slot = ? AND reason = ? LIMIT 1"
    return bool(damaged_rows(database, statement, provider, slot, BY_HAND))


def may_be_sent(database: Database, key_id: str, now_ms: int) -> bool:
    """Return whether an attempt that has taken this version may still send it."""
    statement = "SELECT state, until_ms, expires_ms FROM api_key WHERE id = ?"
    for state, until_ms, expires_ms in damaged_rows(database, statement, key_id):
        retiring = state == "retiring" and _number(until_ms) > now_ms
        expired = 0 < _number(expires_ms) <= now_ms
        return (state == "active" or retiring) and not expired
    return False


def note_use(database: Database, key_id: str, now_ms: int) -> None:
    """Note when the version was last used."""
    KeyRow.update(used_ms=now_ms).where(KeyRow.id == key_id).execute(database)


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
            to_datetime(created_ms),
            None if reason is None else _text(reason),
            None if result is None else _text(result),
            *map(_time, times),
        )
        for provider, slot, version, state, fingerprint, created_ms, reason, result, *times in damaged_rows(
            database, _ALL
        )
    ]


def versions(database: Database, provider: str, slot: str) -> list[KeyInfo]:
    """Return every version of the slot."""
    return [key for key in all_versions(database) if (key.provider, key.slot) == (provider, slot)]


def any_exist(database: Database) -> bool:
    """Return whether there is any key record, including revoked ones."""
    return _any(database, KeyRow)


def is_unused(database: Database) -> bool:
    """Return whether nothing was ever sealed here: no master id, key, conversation or audit row."""
    facts = master_id(database) or get_meta(database, HEAD)
    return not (facts or any(_any(database, table) for table in (KeyRow, SessionTurnRow, AuditRow)))


def is_unsealed(database: Database) -> bool:
    """Return whether nothing was ever sealed here, although operations may have been recorded."""
    sealed = (KeyRow, SessionTurnRow)
    return master_id(database) is None and not any(_any(database, table) for table in sealed)


def master_id(database: Database) -> str | None:
    """Return the id of the store's master key; None before the first key."""
    return get_meta(database, _MASTER_ID)


def master_kind(database: Database) -> str | None:
    """Return the kind of source that the master was in when it came into force; None if not recorded."""
    return get_meta(database, _MASTER_KIND)


def set_master(database: Database, master_id: str, kind: str) -> None:
    """Record the store's master key and its kind of source; it fails if there is one already."""
    MetaRow.insert(name=_MASTER_ID, value=master_id).execute(database)
    set_meta(database, _MASTER_KIND, kind)


def change_master(database: Database, master_id: str, kind: str) -> None:
    """Record that another master key is the store's now."""
    set_meta(database, _MASTER_ID, master_id)
    set_meta(database, _MASTER_KIND, kind)


def sealed_keys(database: Database, store: str) -> list[SealedKey]:
    """Return every version of every key that has a record, encrypted. Damaged ones are among them."""
    select = (
        "SELECT id, provider, slot, version, master_id, sealed FROM api_key "
        "WHERE COALESCE(state, '') NOT IN ('revoked', 'failed') ORDER BY provider, slot, version"
    )
    return [
        SealedKey(
            Binding(store, _text(provider), _text(slot), _text(key_id), _number(version), _text(master)),
            bytes(record) if isinstance(record, bytes | memoryview) else b"",
        )
        for key_id, provider, slot, version, master, record in damaged_rows(database, select)
    ]


def reseal(database: Database, sealed: SealedKey) -> None:
    """Replace a key's record by the same key under another master."""
    values = {"master_id": sealed.binding.master_id, "sealed": sealed.record}
    KeyRow.update(values).where(KeyRow.id == sealed.binding.key_id).execute(database)


def _any(database: Database, table: type[Table]) -> bool:
    return bool(list(table.select(SQL("1")).limit(1).tuples().execute(database)))


def _text(value: Any) -> str:
    """Return a text column as text; a damaged record may hold any value."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> int:
    """Return a version; 0 if it is not a number."""
    return value if isinstance(value, int) else 0


def _time(value: Any) -> datetime | None:
    """Return Unix milliseconds as a time; None if there is none, or it is damaged."""
    return to_datetime(value) if isinstance(value, int) else None
