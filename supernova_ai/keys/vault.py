"""The vault: the providers' API keys, encrypted in the store; every change is audited in its transaction."""

from __future__ import annotations

import builtins
import os
import re
import threading
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.errors import InvalidRequest, KeyNotFound
from supernova_ai.keys import audit, records
from supernova_ai.keys.audit import AuditEvent, AuditReport
from supernova_ai.keys.crypto import Binding, Random, fingerprint, seal, unseal
from supernova_ai.keys.formats import check_key
from supernova_ai.keys.master import MasterKey, confirm
from supernova_ai.keys.records import KeyInfo, SealedKey
from supernova_ai.secret import Secret
from supernova_ai.store import Store

SLOTS = ("primary", "backup")
"""The key slots of a provider, in the order they are tried."""


class Vault:
    """Stores API keys encrypted under the master key.

    A record that was altered or moved does not open. An old record of the same slot and version that is
    restored does: only copies kept elsewhere can show that.

    Do not call a method inside an operation of the store, except ``find``.

    Args:
        master: the master key, or a function that returns it; it is called once, when first needed.
        clock: returns Unix time in seconds.
        random: returns the given number of unpredictable bytes.
    """

    def __init__(
        self,
        store: Store,
        master: MasterKey | Callable[[], MasterKey],
        *,
        clock: Callable[[], float] = time.time,
        random: Random = os.urandom,
    ) -> None:
        self._store = store
        self._get_master = master
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._confirmed: MasterKey | None = None

    def unlock(self) -> None:
        """Resolve the master key now, because this thread may wait for the keyring.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        self._master()

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
            InvalidRequest: the name of the provider or slot is not valid.
            KeyFormatError: the text cannot be a key of that provider.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", provider):
            raise InvalidRequest(
                f"{provider!r} is not a valid provider name: use the provider's name in the configuration"
            )
        if slot not in SLOTS:
            raise InvalidRequest(f"{slot!r} is not a key slot: use {' or '.join(SLOTS)}")
        check_key(provider, secret, any_format=any_format)
        master = self._master()

        def change(database: Database) -> KeyInfo:
            self._register_master(database, master)
            version = records.next_version(database, provider, slot)
            binding = Binding(self._store.id, provider, slot, self._random(16).hex(), version, master.id)
            record = seal(master.wrapping, binding, secret, self._random)
            shown = fingerprint(master.fingerprint, secret)
            info = records.insert(database, binding, shown, record, self._now_ms())
            details: dict[str, str | int] = {"id": binding.key_id, "version": version, "fingerprint": shown}
            if imported_from:
                details["variable"] = imported_from
            event: audit.EventName = "key.imported" if imported_from else "key.added"
            self._audit(database, master, event, f"{provider}/{slot}", details)
            return info

        return self._store.write(change).result()

    def list(self) -> builtins.list[KeyInfo]:
        """Return every version of every key, including revoked ones. It needs no master key."""
        return self._store.read(records.all_versions)

    def remove(self, provider: str, slot: str) -> None:
        """Revoke the slot's active key and wipe its record.

        Raises:
            KeyNotFound: the slot has no active key.
            MasterKeyError: there is no master key to sign the audit with, or it is not this store's.
        """
        self._read(provider, slot)  # first, because an empty slot needs no master key to be reported
        master = self._master()

        def change(database: Database) -> None:
            confirm(database, master)
            binding = self._must_find(database, provider, slot).binding
            records.revoke(database, provider, slot)
            details: audit.Details = {"id": binding.key_id, "version": binding.version}
            self._audit(database, master, "key.removed", f"{provider}/{slot}", details)

        self._store.write(change).result()

    def reveal(self, provider: str, slot: str) -> Secret:
        """Return the slot's active key.

        Raises:
            KeyNotFound: the slot has no active key.
            KeyCorrupt: its record does not open.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return self.open(self._read(provider, slot))

    def find(self, database: Database, provider: str, slot: str) -> SealedKey | None:
        """Return the slot's active key, still encrypted; inside the caller's read or write operation."""
        return records.find(database, self._store.id, provider, slot)

    def open(self, sealed: SealedKey) -> Secret:
        """Decrypt a key from ``find``. Only the first call may be slow: it resolves the master key.

        Raises:
            KeyCorrupt: its record was altered or moved.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return unseal(self._master().wrapping, sealed.binding, sealed.record)

    def session_cipher(self) -> AESGCM:
        """Return the cipher of conversations; from then on the store accepts no other master key.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return self._registered_master().sessions

    def answer_cipher(self) -> AESGCM:
        """Return the cipher of cached answers; otherwise as ``session_cipher``."""
        return self._registered_master().answers

    def _registered_master(self) -> MasterKey:
        master = self._master()
        if self._store.read(records.master_id) is None:
            self._store.write(lambda database: self._register_master(database, master)).result()
        return master

    def verify_audit(self) -> AuditReport:
        """Check the audit chain; ``supernova_ai.keys.audit`` says what it detects and what it cannot.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        if self._store.read(records.is_unused):
            return AuditReport(rows=0, ok=True)
        master = self._master()
        return self._store.read(lambda database: audit.verify(database, master.audit, self._store.id))

    def audit_events(self) -> builtins.list[AuditEvent]:
        """Return every change to keys, oldest first. The rows are not checked, so it needs no master key."""
        return self._store.read(audit.events)

    def _master(self) -> MasterKey:
        with self._lock:
            if self._confirmed is None:
                master = self._get_master if isinstance(self._get_master, MasterKey) else self._get_master()
                self._store.read(lambda database: confirm(database, master))
                self._confirmed = master
            return self._confirmed

    def _register_master(self, database: Database, master: MasterKey) -> None:
        """Record the master as the store's own, unless it is recorded already."""
        if not confirm(database, master):
            first = records.is_unused(database)
            records.set_master_id(database, master.id)
            self._audit(database, master, "master.created", master.id, {}, first=first)

    def _audit(
        self,
        database: Database,
        master: MasterKey,
        event: audit.EventName,
        subject: str,
        details: audit.Details,
        *,
        first: bool = False,
    ) -> None:
        at_ms = self._now_ms()
        audit.append(database, master.audit, self._store.id, at_ms, event, subject, details, first=first)

    def _read(self, provider: str, slot: str) -> SealedKey:
        return self._store.read(lambda database: self._must_find(database, provider, slot))

    def _must_find(self, database: Database, provider: str, slot: str) -> SealedKey:
        found = self.find(database, provider, slot)
        if found is None:
            raise KeyNotFound(
                f"the vault holds no {slot} key of {provider}: add one with "
                f"`supernova keys add {provider} --slot {slot}`"
            )
        return found

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
