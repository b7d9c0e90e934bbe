"""The vault: the providers' API keys, sealed in the store, every change audited in the same transaction."""

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
from supernova_ai.keys import audit, formats, records
from supernova_ai.keys.audit import AuditEvent, AuditReport
from supernova_ai.keys.crypto import Binding, Random, fingerprint, seal, unseal
from supernova_ai.keys.master import MasterKey, confirm
from supernova_ai.keys.records import KeyInfo, SealedKey
from supernova_ai.secret import Secret
from supernova_ai.store import Store

SLOTS = ("primary", "backup")
"""Where a provider's keys live, in the order they are tried."""


class Vault:
    """Keeps API keys sealed under the master key.

    A record that was altered or moved does not open. One that was copied from the database before it was
    replaced, and is put back, does: only copies kept elsewhere show that.

    No method may be called from inside an operation of the store, but ``find``, which is made for it.

    Args:
        store: where the records are.
        master: the master key, or how to get it: then asked for once, when it is first needed.
        clock: gives Unix time in seconds.
        random: gives that many unpredictable bytes.
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
        self._source = master
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._confirmed: MasterKey | None = None

    def unlock(self) -> None:
        """Resolve the master key now, on a thread that may wait for the keyring.

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
        elsewhere: bool = False,
    ) -> KeyInfo:
        """Seal a key as the slot's active version; the version before it is revoked, and its record wiped.

        Args:
            provider: its name in the configuration.
            slot: primary or backup.
            secret: the key itself.
            imported_from: the environment variable it was found in, for the audit.
            elsewhere: another server speaks for the provider, with keys of whatever shape.

        Raises:
            InvalidRequest: the provider's or the slot's name cannot be one.
            KeyFormatError: the text cannot be a key of that provider.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", provider):
            raise InvalidRequest(
                f"a provider cannot be named {provider!r}: use its name in the configuration"
            )
        if slot not in SLOTS:
            raise InvalidRequest(f"a provider has no key slot {slot!r}: use {' or '.join(SLOTS)}")
        formats.check(provider, secret, elsewhere=elsewhere)
        master = self._master()

        def change(database: Database) -> KeyInfo:
            self._claim(database, master)
            version = records.next_version(database, provider, slot)
            place = Binding(self._store.id, provider, slot, self._random(16).hex(), version, master.id)
            record = seal(master.wrapping, place, secret, self._random)
            shown = fingerprint(master.fingerprint, secret)
            info = records.insert(database, place, shown, record, self._now_ms())
            details: dict[str, str | int] = {"id": place.key_id, "version": version, "fingerprint": shown}
            if imported_from:
                details["variable"] = imported_from
            event: audit.Event = "key.imported" if imported_from else "key.added"
            self._audit(database, master, event, f"{provider}/{slot}", details)
            return info

        return self._store.write(change).result()

    def list(self) -> builtins.list[KeyInfo]:
        """Return every version of every key, revoked ones too. Needs no master key."""
        return self._store.read(records.every)

    def remove(self, provider: str, slot: str) -> None:
        """Revoke the slot's active key and wipe its record.

        Raises:
            KeyNotFound: the slot has no active key.
            MasterKeyError: there is no master key to sign the audit with, or it is not this store's.
        """
        self._read(provider, slot)  # a slot without a key needs no master to say so
        master = self._master()

        def change(database: Database) -> None:
            confirm(database, master)
            place = self._must_find(database, provider, slot).place
            records.revoke(database, provider, slot)
            details: audit.Details = {"id": place.key_id, "version": place.version}
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
        """Read the slot's active key, still sealed, inside the caller's operation."""
        return records.find(database, self._store.id, provider, slot)

    def open(self, sealed: SealedKey) -> Secret:
        """Decrypt a key that ``find`` gave. Only the first call may be slow: it resolves the master key.

        Raises:
            KeyCorrupt: its record was altered, or moved from its place.
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return unseal(self._master().wrapping, sealed.place, sealed.record)

    def session_cipher(self) -> AESGCM:
        """Return what conversations are sealed with; from then on the store takes no other master key.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return self._claimed().sessions

    def answer_cipher(self) -> AESGCM:
        """Return what cached answers are sealed with; otherwise as ``session_cipher``."""
        return self._claimed().answers

    def _claimed(self) -> MasterKey:
        """Return the master key, after the store has taken it as its own."""
        master = self._master()

        def claim(database: Database) -> None:
            self._claim(database, master)

        if self._store.read(records.sealed_with) is None:
            self._store.write(claim).result()
        return master

    def verify_audit(self) -> AuditReport:
        """Check the audit chain.

        It detects a row altered, inserted, deleted, reordered or cut off at the end; not that the whole
        database was put back to an earlier state, nor what a holder of the master key did.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        if self._store.read(records.untouched):
            return AuditReport(rows=0, ok=True)
        master = self._master()
        return self._store.read(lambda database: audit.verify(database, master.audit, self._store.id))

    def audit_events(self) -> builtins.list[AuditEvent]:
        """Return what happened to keys, oldest first. Unchecked, so it needs no master key."""
        return self._store.read(audit.events)

    def _master(self) -> MasterKey:
        with self._lock:
            if self._confirmed is None:
                master = self._source if isinstance(self._source, MasterKey) else self._source()
                self._store.read(lambda database: confirm(database, master))
                self._confirmed = master
            return self._confirmed

    def _claim(self, database: Database, master: MasterKey) -> None:
        if not confirm(database, master):
            first = records.untouched(database)
            records.seal_with(database, master.id)
            self._audit(database, master, "master.created", master.id, {}, first=first)

    def _audit(
        self,
        database: Database,
        master: MasterKey,
        event: audit.Event,
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
