"""The rows of the vault: reading and changing them inside one operation on the store, nothing decrypted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from peewee import Database, fn

from supernova_ai.keys.audit import moment
from supernova_ai.keys.crypto import Place
from supernova_ai.store.facts import fact
from supernova_ai.store.tables import Audit, Key, Meta

_SEALED_WITH = "master.id"

# Written out, since every attempt runs it, and building it with peewee takes ten times as long as running it.
_FIND = (
    "SELECT id, version, master_id, sealed FROM api_key "
    "WHERE provider = {0} AND slot = {0} AND state = 'active' ORDER BY version DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of one version of a key. The fingerprint is the same whenever the key is."""

    provider: str
    slot: str
    version: int
    state: str
    fingerprint: str
    created: datetime


@dataclass(frozen=True, slots=True)
class SealedKey:
    """An active key as it is stored; only ``Vault.open`` can read it."""

    place: Place
    record: bytes = field(repr=False)


def insert(database: Database, place: Place, fingerprint: str, record: bytes, created_ms: int) -> KeyInfo:
    """Write a sealed record as its slot's active version; the version before it is revoked."""
    revoke(database, place.provider, place.slot)
    Key.insert(
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
    """Revoke the slot's active version and wipe its record, so that later copies do not carry it on."""
    Key.update(state="revoked", sealed=b"").where(_active(provider, slot)).execute(database)


def find(database: Database, store: str, provider: str, slot: str) -> SealedKey | None:
    """Read the slot's active version."""
    statement = _FIND.format(database.param)
    row = database.execute_sql(statement, (provider, slot)).fetchone()
    if row is None:
        return None
    key_id, version, master_id, record = row
    # A damaged record may not even be a blob; it must fail when it is opened, not here.
    sealed = b"" if isinstance(record, str) else bytes(record)
    return SealedKey(Place(store, provider, slot, key_id, version, master_id), sealed)


def next_version(database: Database, provider: str, slot: str) -> int:
    """Return the number of the slot's next version; the first is 1."""
    query = Key.select(fn.MAX(Key.version)).where((Key.provider == provider) & (Key.slot == slot))
    ((latest,),) = query.tuples().execute(database)
    return 1 + (latest or 0)


def every(database: Database) -> list[KeyInfo]:
    """Read every version of every key."""
    columns = (Key.provider, Key.slot, Key.version, Key.state, Key.fingerprint, Key.created_ms)
    rows = Key.select(*columns).order_by(Key.provider, Key.slot.desc(), Key.version).tuples()
    return [
        KeyInfo(provider, slot, version, state, fingerprint, moment(at_ms))
        for provider, slot, version, state, fingerprint, at_ms in rows.execute(database)
    ]


def exist(database: Database) -> bool:
    """Tell whether there is any key record, revoked ones too."""
    return bool(list(Key.select(Key.id).limit(1).tuples().execute(database)))


def untouched(database: Database) -> bool:
    """Tell whether no key was ever added: no record, no audit row, no master named."""
    audited = list(Audit.select(Audit.number).limit(1).tuples().execute(database))
    return not (audited or exist(database) or sealed_with(database))


def sealed_with(database: Database) -> str | None:
    """Return the id of the master that the store's keys are sealed with; None before the first key."""
    return fact(database, _SEALED_WITH)


def seal_with(database: Database, master_id: str) -> None:
    """Name the master of the store, when its first key is added."""
    Meta.insert(name=_SEALED_WITH, value=master_id).execute(database)  # never in the place of another


def _active(provider: str, slot: str) -> object:
    return (Key.provider == provider) & (Key.slot == slot) & (Key.state == "active")
