"""The life of a key: pending, active, retiring, revoked. Each step is one audited transaction.

    rotate ──▶ pending ──checked──▶ active ──the next is active──▶ retiring ──its grace is over──▶ revoked
                  └──refused──▶ failed                            (still sent by attempts that have it)

A process that is killed leaves the state before the step or the state after it. At worst a pending version
stays, which nothing uses; the next rotation replaces it.
"""

from __future__ import annotations

from datetime import datetime

from peewee import Database

from supernova_ai.errors import InvalidRequest, KeyNotFound
from supernova_ai.keys import records
from supernova_ai.keys.audited_store import Record
from supernova_ai.keys.key_info import BY_HAND, KeyInfo
from supernova_ai.keys.vault import Vault
from supernova_ai.secret import Secret


def start_rotation(
    vault: Vault, provider: str, slot: str, secret: Secret, *, any_format: bool = False
) -> KeyInfo:
    """Store a key as the slot's pending version, which no call uses yet; an older pending one has failed.

    Raises:
        InvalidRequest: a name is not valid, or the slot has this very key already.
        KeyFormatError: the text cannot be a key of that provider.
        MasterKeyError: there is no master key, or it is not this store's.
    """
    vault.check(provider, slot, secret, any_format=any_format)

    def change(database: Database, record: Record) -> KeyInfo:
        before = records.versions(database, provider, slot)
        started = vault.insert(database, provider, slot, secret, "pending")
        for key in before:
            if key.state == "active" and key.fingerprint == started.fingerprint:
                raise InvalidRequest(
                    f"this is the key that {key.place} has already (version {key.version}, fingerprint "
                    f"{key.fingerprint}): create a new one at the provider, and enter that"
                )
            if key.state == "pending":
                _fail(database, record, key, f"replaced by version {started.version}")
        record("key.rotation.started", started.place, started.audit_details())
        return started

    return vault.audited(change, seals=True)


def activate(
    vault: Vault, started: KeyInfo, *, grace_ms: int, check_result: str | None = None
) -> KeyInfo | None:
    """Make a pending version the active one; the version before it retires for so long.

    Args:
        check_result: "ok" if the key was checked.

    Returns:
        The retiring version, None if the slot had none.

    Raises:
        KeyNotFound: the version is not pending any more, because another rotation replaced it.
        MasterKeyError: as ``start_rotation``.
    """

    def change(database: Database, record: Record) -> KeyInfo | None:
        now_ms = vault.now_ms()
        before = records.versions(database, started.provider, started.slot)
        records.retire(database, started.provider, started.slot, until_ms=now_ms + grace_ms)
        checked = {"checked_ms": now_ms, "check_result": check_result} if check_result else {}
        if not records.change(database, started, state="active", activated_ms=now_ms, **checked):
            raise KeyNotFound(
                f"version {started.version} of {started.place} is not pending any more: it was replaced or "
                f"removed meanwhile. See 'supernova keys status'"
            )
        details = started.audit_details()
        retiring = next((key for key in reversed(before) if key.state == "active"), None)
        if retiring:
            details |= {"retiring": retiring.version, "grace_s": grace_ms // 1000}
        record("key.activated", started.place, details)
        return retiring

    return vault.audited(change)


def fail_rotation(vault: Vault, started: KeyInfo, reason: str) -> None:
    """Note why a pending version cannot become active, and wipe its record.

    Raises:
        MasterKeyError: as ``start_rotation``.
    """
    vault.audited(lambda database, record: _fail(database, record, started, reason))


def revoke(vault: Vault, provider: str, slot: str, *, version: int | None = None) -> list[KeyInfo]:
    """Revoke one version of a slot, or all, and wipe their records; return those that were not yet revoked.

    The key is never stored again, and no variable takes its place: it may hold the same key.

    Raises:
        KeyNotFound: there is none to revoke.
        MasterKeyError: as ``start_rotation``.
    """

    def change(database: Database, record: Record) -> list[KeyInfo]:
        found = [
            key
            for key in records.versions(database, provider, slot)
            if key.state not in ("revoked", "failed") and version in (None, key.version)
        ]
        if not found:
            what = "key" if version is None else f"version {version}"
            raise KeyNotFound(
                f"{provider}/{slot} has no {what} that could be revoked: see 'supernova keys status'"
            )
        if version is None:
            # Damaged records too. A failed one was never in use, and its key may be added again.
            records.revoke(database, provider, slot, BY_HAND, unless=("revoked", "failed"))
        for key in found:
            records.end(database, key, BY_HAND)
            record("key.revoked", key.place, key.audit_details() | {"reason": BY_HAND})
        return found

    return vault.audited(change)


def set_expiry(vault: Vault, provider: str, slot: str, at: datetime | None) -> KeyInfo:
    """Note when the slot's active key expires at the provider (None: never); it is not used after that.

    Raises:
        KeyNotFound: the slot has no active key.
        MasterKeyError: as ``start_rotation``.
    """

    def change(database: Database, record: Record) -> KeyInfo:
        active = [key for key in records.versions(database, provider, slot) if key.state == "active"]
        if not active:
            raise KeyNotFound(f"{provider}/{slot} has no active key: see 'supernova keys status'")
        expires_ms = None if at is None else int(at.timestamp() * 1000)
        records.change(database, active[-1], expires_ms=expires_ms)
        details = active[-1].audit_details() | {"expires": at.isoformat() if at else "never"}
        record("key.expiry.set", active[-1].place, details)
        return active[-1]

    return vault.audited(change)


def note_check(vault: Vault, key: KeyInfo, result: str) -> None:
    """Store the result of a check: "ok" or the class of the error; a result that is new is audited.

    Raises:
        MasterKeyError: as ``start_rotation``.
    """

    def change(database: Database, record: Record) -> None:
        noted = records.change(database, key, checked_ms=vault.now_ms(), check_result=result)
        if noted and result != key.check_result:
            record("key.checked", key.place, key.audit_details(), "done" if result == "ok" else result)

    vault.audited(change)


def _fail(database: Database, record: Record, key: KeyInfo, reason: str) -> None:
    if records.end(database, key, reason, "failed"):
        record("key.rotation.failed", key.place, key.audit_details(), reason)
