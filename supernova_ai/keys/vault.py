"""The vault: the providers' API keys, encrypted in the store; every change is audited in its transaction."""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.audit.anchor import Anchors
from supernova_ai.audit.chain import to_datetime
from supernova_ai.errors import InvalidRequest, KeyNotFound
from supernova_ai.keys import records
from supernova_ai.keys.audited_store import AuditedStore, Record
from supernova_ai.keys.crypto import Binding, Random, fingerprint, seal, unseal
from supernova_ai.keys.formats import check_key
from supernova_ai.keys.key_info import BY_HAND, KeyInfo, State, rotate_command
from supernova_ai.keys.master import MasterKey
from supernova_ai.keys.records import SealedKey
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.engines import Selects, snapshot

SLOTS = ("primary", "backup")
"""The key slots of a provider, in the order they are tried."""


class Vault(AuditedStore):
    """Stores API keys encrypted under the master key.

    A record that was altered or moved does not open. An old record of the same slot and version that is
    restored does: only copies kept elsewhere can show that.

    Do not call a method inside an operation of the store, except ``find``. The arguments are those of
    ``AuditedStore``, and ``random``, which returns the given number of unpredictable bytes.
    """

    def __init__(
        self,
        store: Store,
        master: MasterKey | Callable[[], MasterKey],
        *,
        anchor: Anchors | None = None,
        clock: Callable[[], float] | None = None,
        random: Random = os.urandom,
    ) -> None:
        super().__init__(store, master, anchor=anchor, clock=clock)
        self._random = random

    def add(
        self,
        provider: str,
        slot: str,
        secret: Secret,
        *,
        imported_from: str | None = None,
        any_format: bool = False,
    ) -> KeyInfo:
        """Add a key as the slot's active version; the version before it is revoked and its record wiped.

        Args:
            provider: its name in the configuration.
            slot: primary or backup.
            secret: the key itself.
            imported_from: the environment variable that held it, for the audit.
            any_format: the provider has a custom endpoint, whose keys may have any format.

        Raises:
            InvalidRequest: the name of the provider or slot is not valid, or the key was revoked by hand.
            KeyFormatError: the text cannot be a key of that provider.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        self.check(provider, slot, secret, any_format=any_format)

        def change(database: Database, record: Record) -> KeyInfo:
            version = records.next_version(database, provider, slot)
            records.revoke(database, provider, slot, f"replaced by version {version}")
            info = self.insert(database, provider, slot, secret)
            details = info.audit_details() | ({"variable": imported_from} if imported_from else {})
            record("key.imported" if imported_from else "key.added", info.place, details)
            return info

        return self.audited(change, seals=True)

    @staticmethod
    def check(provider: str, slot: str, secret: Secret, *, any_format: bool = False) -> None:
        """Check that the names are valid and the text can be a key; raises as ``add`` does."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", provider):
            raise InvalidRequest(
                f"{provider!r} is not a valid provider name: use the provider's name in the configuration"
            )
        if slot not in SLOTS:
            raise InvalidRequest(f"{slot!r} is not a key slot: use {' or '.join(SLOTS)}")
        check_key(provider, secret, any_format=any_format)

    def insert(
        self, database: Database, provider: str, slot: str, secret: Secret, state: State = "active"
    ) -> KeyInfo:
        """Encrypt and store a key as the slot's next version, in an ``audited`` change that ``seals``."""
        master, version = self._master.inside(database), records.next_version(database, provider, slot)
        binding = Binding(self.store.id, provider, slot, self._random(16).hex(), version, master.id)
        sealed = seal(master.wrapping, binding, secret, self._random)
        shown = fingerprint(master.fingerprint, secret)
        for key in records.all_versions(database):
            if (key.provider, key.fingerprint, key.reason) == (provider, shown, BY_HAND):
                raise InvalidRequest(
                    f"this key was revoked by hand (version {key.version} of {key.place}), so it is not used "
                    f"again: create a new one at the provider, and enter that"
                )
        return records.insert(database, binding, shown, sealed, self.now_ms(), state)

    def list(self) -> builtins.list[KeyInfo]:
        """Return every version of every key, including revoked ones. It needs no master key."""
        return self.store.read(records.all_versions)

    def remove(self, provider: str, slot: str) -> None:
        """Revoke the slot's active key, and every other version, and wipe their records.

        Raises:
            KeyNotFound: the slot has no active key.
            MasterKeyError: there is no master key to sign the audit with, or it is not this store's.
        """
        # First, because an empty slot needs no master key to be reported.
        self.store.read(lambda database: self._must_find(database, provider, slot))

        def change(database: Database, record: Record) -> None:
            version = self._must_find(database, provider, slot).binding.version
            records.revoke(database, provider, slot, "removed")
            record("key.removed", f"{provider}/{slot}", {"version": version})

        self.audited(change, seals=True)

    def reveal(self, provider: str, slot: str) -> Secret:
        """Return the slot's active key.

        Raises:
            KeyNotFound: the slot has no active key, or it has expired.
            KeyCorrupt: its record does not open.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        found = self.store.read(lambda database: self._must_find(database, provider, slot))
        return self.open(self._unexpired(found))

    def find(self, database: Database | Selects, provider: str, slot: str) -> SealedKey | None:
        """Return the slot's active key, still encrypted; inside the caller's read or write operation.

        Raises:
            KeyNotFound: it has expired.
        """
        found = records.find(database, self.store.id, provider, slot)
        return found and self._unexpired(found)

    def may_be_sent(self, sealed: SealedKey) -> bool:
        """Return whether an attempt that has taken the key may still send it; not inside an operation."""
        key_id = sealed.binding.key_id
        return self.store.read(lambda database: records.may_be_sent(database, key_id, self.now_ms()))

    def note_use(self, sealed: SealedKey) -> None:
        """Note that the key is used now, without waiting for the database."""
        key_id, now_ms = sealed.binding.key_id, self.now_ms()
        self.store.write(lambda database: records.note_use(database, key_id, now_ms))

    def open(self, sealed: SealedKey) -> Secret:
        """Decrypt a key from ``find``. Only the first call may be slow: it resolves the master key.

        Raises:
            KeyCorrupt: its record was altered or moved.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        if master := self._master.known(sealed.binding.master_id):
            return unseal(master.wrapping, sealed.binding, sealed.record)

        def read(database: Database) -> Secret:
            with snapshot(database):
                key_id = sealed.binding.key_id
                latest = records.sealed_keys(database, self.store.id)
                again = next((one for one in latest if one.binding.key_id == key_id), sealed)
                return unseal(self._master.inside(database).wrapping, again.binding, again.record)

        # Another process rotated the master since this record was read.
        return self._master.during(lambda: self.store.read(read))

    def session_cipher(self, database: Database | None = None) -> AESGCM:
        """Return the cipher of conversations; from then on the store accepts no other master key.

        Args:
            database: of the operation inside which this is called, to encrypt with the master in force there;
                the cipher must have been asked for before. None is no operation.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return (self._master.inside(database) if database else self._registered_master()).sessions

    def answer_cipher(self) -> AESGCM:
        """Return the cipher of cached answers; otherwise as ``session_cipher``."""
        return self._registered_master().answers

    def version_cipher(self, database: Database | None = None) -> AESGCM:
        """Return the cipher of the configuration's versions; otherwise as ``session_cipher``."""
        return (self._master.inside(database) if database else self._registered_master()).versions

    def comment_cipher(self, database: Database | None = None) -> AESGCM:
        """Return the cipher of comments on answers; otherwise as ``session_cipher``."""
        return (self._master.inside(database) if database else self._registered_master()).comments

    def _registered_master(self) -> MasterKey:
        master = self._master.get()
        if not self.has_master():
            self.audited(lambda *_: None, seals=True)
        return master

    def _unexpired(self, found: SealedKey) -> SealedKey:
        if found.expires_ms and found.expires_ms <= self.now_ms():
            provider, slot = found.binding.provider, found.binding.slot
            remedy = rotate_command(provider, slot)
            at = f"{to_datetime(found.expires_ms):%Y-%m-%d at %H:%M} UTC"
            expired = KeyNotFound(f"the {slot} key of {provider} expired on {at}: run '{remedy}'")
            expired.remedy = remedy
            raise expired
        return found

    def _must_find(self, database: Database, provider: str, slot: str) -> SealedKey:
        found = records.find(database, self.store.id, provider, slot)
        if found is None:
            raise KeyNotFound(
                f"the vault holds no {slot} key of {provider}: add one with "
                f"`supernova keys add {provider} --slot {slot}`"
            )
        return found
