"""What a store keeps of its earlier master keys, sealed in ``meta``.

- Under the master in force: the audit keys of all earlier ones, because the chain has rows of each; and the
  fingerprint key of the first, because equal API keys keep equal fingerprints.
- Under the master before, for a grace: the next one. A process that runs with the master before, on this
  machine or another, goes on with it, and does not have to ask its source in the middle of a call.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from peewee import Database

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import records
from supernova_ai.keys.crypto import Random, derive
from supernova_ai.keys.master import MasterKey, confirm
from supernova_ai.mac import pack
from supernova_ai.secret import Secret
from supernova_ai.store import Store, get_meta, set_meta
from supernova_ai.store.bulk import run

T = TypeVar("T")

_EARLIER = "master.earlier"
_NEXT = "master.next."  # and the id of the master before
_NONCE = 12


class Earlier(NamedTuple):
    """The audit keys of earlier masters in hex, oldest first, and the fingerprint key of the first."""

    audit: Sequence[str]
    fingerprint: str


def in_force(database: Database, master: MasterKey, now_ms: int) -> MasterKey:
    """Return the store's master, which knows the earlier ones: the one given, or one that it was rotated to.

    Raises:
        MasterKeyError: the store uses another master, and the one given does not lead to it.
    """
    master, _ = follow(database, master, now_ms)
    confirm(database, master)
    if (earlier := read(database, master)) is None:
        return master
    return replace(
        master,
        earlier=tuple(_signer(key) for key in earlier.audit),
        fingerprint=_signer(earlier.fingerprint),
    )


def follow(database: Database, master: MasterKey, now_ms: int) -> tuple[MasterKey, Secret | None]:
    """Return the latest master that this one was rotated to, and its bytes in hex; else this one, and None.

    A rotation whose grace is over is not followed.
    """
    following = None
    while records.master_id(database) != master.id:
        until, _, sealed = (get_meta(database, _NEXT + master.id) or "").partition(":")
        text = _open(database, master, "next", sealed) if until.isdecimal() and now_ms < int(until) else None
        if text is None:
            break
        following, source = text, f"a rotation of the master key from {master.source}"
        kind = records.master_kind(database) or master.kind
        master = MasterKey.of(bytes.fromhex(text.reveal()), kind=kind, source=source)
    return master, following


def again_if_rotated(store: Store, action: Callable[[], T]) -> T:
    """Return what the action returns; it runs again if it lacks a master that was rotated meanwhile."""
    while True:
        before = store.read(records.master_id)
        try:
            return action()
        except MasterKeyError:
            if store.read(records.master_id) == before:
                raise


def hand_over(
    database: Database, master: MasterKey, following: Secret, until_ms: int, random: Random
) -> None:
    """Leave the next master for processes that have this one, until the grace ends."""
    set_meta(database, _NEXT + master.id, f"{until_ms}:{_seal(database, master, 'next', following, random)}")


def expire(database: Database, now_ms: int) -> None:
    """Delete what was handed over, where the grace is over."""
    rows = run(database, "SELECT name, value FROM meta WHERE name LIKE ?", f"{_NEXT}%").fetchall()
    for name, value in rows:
        until = str(value).partition(":")[0]
        if not until.isdecimal() or now_ms >= int(until):
            run(database, "DELETE FROM meta WHERE name = ?", name)


def read(database: Database, master: MasterKey) -> Earlier | None:
    """Return what the store keeps of the masters before this one; None if it is the first.

    Raises:
        MasterKeyError: it was altered.
    """
    sealed = get_meta(database, _EARLIER)
    if sealed is None or records.master_id(database) is None:
        return None
    text = _open(database, master, "earlier", sealed)
    if text is None:
        raise MasterKeyError(
            f"the record of earlier master keys ({_EARLIER!r} in the table 'meta') was altered: restore a "
            f"backup of the database. Without it no operation can be audited"
        )
    return Earlier(*json.loads(text.reveal()))


def succeed(database: Database, old: MasterKey, raw: Secret, new: MasterKey, random: Random) -> None:
    """Keep what remains of the old master, whose bytes are ``raw``, under the new one."""
    bytes_ = bytes.fromhex(raw.reveal())
    before = read(database, old) or Earlier((), derive(bytes_, "fingerprint").hex())
    kept = Earlier((*before.audit, derive(bytes_, "audit").hex()), before.fingerprint)
    set_meta(database, _EARLIER, _seal(database, new, "earlier", Secret(json.dumps(kept)), random))


def _signer(key: str) -> hmac.HMAC:
    return hmac.new(bytes.fromhex(key), digestmod="sha256")


def _seal(database: Database, master: MasterKey, purpose: str, text: Secret, random: Random) -> str:
    nonce = random(_NONCE)
    sealed = master.wrapping.encrypt(nonce, text.reveal().encode(), _bound(database, master, purpose))
    return (nonce + sealed).hex()


def _open(database: Database, master: MasterKey, purpose: str, sealed: str) -> Secret | None:
    try:
        raw = bytes.fromhex(sealed)
        bound = _bound(database, master, purpose)
        return Secret(master.wrapping.decrypt(raw[:_NONCE], raw[_NONCE:], bound).decode())
    except (InvalidTag, ValueError):
        return None


def _bound(database: Database, master: MasterKey, purpose: str) -> bytes:
    return pack("supernova-ai master", purpose, get_meta(database, "store") or "", master.id)
