"""The master key: the keys derived from it, and the check that it is the store's."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import records
from supernova_ai.keys.crypto import derive

KINDS = {
    "argument": "given as an argument",
    "credential": "a systemd credential",
    "file": "in a file (SUPERNOVA_MASTER_KEY_FILE, or master.key in the data folder)",
    "environment": "in API_KEY_ENCRYPTION_KEY",
    "keyring": "in the keyring",
}
"""Where a master may be, for messages. The store records the kind, which is not secret."""


class OtherMaster(MasterKeyError):
    """The store uses another master key: this one is wrong, or was rotated."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The ciphers and signers derived from a 32-byte master key, without the bytes themselves.

    ``id`` is not secret: it names the master and reveals nothing of it. ``kind`` is one of ``KINDS``, and
    ``source`` names the place where it was found, for messages. ``earlier`` are the audit keys of the masters
    that the store had before, oldest first.
    """

    id: str
    kind: str = field(repr=False)
    source: str = field(repr=False)
    wrapping: AESGCM = field(repr=False)
    audit: hmac.HMAC = field(repr=False)
    fingerprint: hmac.HMAC = field(repr=False)
    sessions: AESGCM = field(repr=False)
    answers: AESGCM = field(repr=False)
    versions: AESGCM = field(repr=False)
    comments: AESGCM = field(repr=False)
    earlier: tuple[hmac.HMAC, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, master: bytes, *, kind: str = "argument", source: str = "the argument 'master'") -> MasterKey:
        """Derive all keys from the 32 bytes of a master key.

        Raises:
            MasterKeyError: they are not 32 bytes.
        """
        if len(master) != 32:
            raise MasterKeyError(
                f"a master key has 32 bytes, not {len(master)}: `openssl rand -hex 32` generates one"
            )
        return cls(
            id=derive(master, "id")[:16].hex(),
            kind=kind,
            source=source,
            wrapping=AESGCM(derive(master, "wrapping")),
            audit=hmac.new(derive(master, "audit"), digestmod="sha256"),
            fingerprint=hmac.new(derive(master, "fingerprint"), digestmod="sha256"),
            sessions=AESGCM(derive(master, "sessions")),
            answers=AESGCM(derive(master, "answers")),
            versions=AESGCM(derive(master, "versions")),
            comments=AESGCM(derive(master, "comments")),
        )


def confirm(database: Database, master: MasterKey) -> bool:
    """Return True if the store uses this master, False if it uses none yet.

    Raises:
        MasterKeyError: the store uses another master.
    """
    expected = records.master_id(database)
    if expected not in (None, master.id):
        raise OtherMaster(
            f"the master key from {master.source} (id {master.id[:8]}…) is not the one the store was sealed "
            f"with (id {expected[:8]}…){first_place(database)}: provide that one. The first source "
            f"that has a key is used, in the order of docs/keys.md"
        )
    return expected is not None


def first_place(database: Database) -> str:
    """Return where the store's master was when it came into force, as the end of a clause; or nothing."""
    place = KINDS.get(records.master_kind(database) or "")
    return f", which was {place}" if place else ""
