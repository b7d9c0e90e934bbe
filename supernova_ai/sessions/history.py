"""The stored exchanges of sessions, encrypted; every function runs inside an operation on the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database, fn

from supernova_ai.errors import StoreError
from supernova_ai.keys.crypto import Random
from supernova_ai.mac import pack
from supernova_ai.store import erased
from supernova_ai.store.tables import SessionTurnRow

_FORMAT = 1
_NONCE = 12


class SessionKey(NamedTuple):
    """A user and a session name; the user is empty if the call named none."""

    user: str
    session: str


class Exchange(NamedTuple):
    """A message and its answer; if the message is None, the answer summarises all earlier exchanges."""

    number: int
    at_ms: int
    message: str | None
    answer: str


class ExchangeCipher(NamedTuple):
    """Encrypts and decrypts the exchanges of one store."""

    cipher: AESGCM
    store: str
    random: Random

    def encrypt(self, key: SessionKey, number: int, message: str | None, answer: str) -> bytes:
        """Encrypt an exchange, bound to its session and number."""
        nonce = self.random(_NONCE)
        text = json.dumps([message, answer]).encode()
        return nonce + self.cipher.encrypt(nonce, text, associated_data(self.store, key, number))

    def decrypt(self, key: SessionKey, number: int, at_ms: int, sealed: bytes) -> Exchange:
        """Decrypt an exchange.

        Raises:
            StoreError: it was altered, moved, or encrypted with another master key.
        """
        try:
            bound = associated_data(self.store, key, number)
            text = self.cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                f"exchange {number} of session {key.session!r} cannot be decrypted: it was altered, or "
                f"encrypted with another master key. Delete the session with Supernova.forget, or use another"
            ) from error
        return Exchange(number, at_ms, *json.loads(text))


def associated_data(store: str, key: SessionKey, number: int) -> bytes:
    """Return what an exchange is bound to. It is the nonce of 12 bytes and the ciphertext."""
    return pack("supernova-ai session turn", _FORMAT, store, *key, number)


def read(database: Database, cipher: ExchangeCipher, key: SessionKey, since_ms: int) -> list[Exchange]:
    """Return the exchanges since ``since_ms``, oldest first."""
    columns = (SessionTurnRow.number, SessionTurnRow.at_ms, SessionTurnRow.sealed)
    query = SessionTurnRow.select(*columns).where(_in_session(key) & (SessionTurnRow.at_ms >= since_ms))
    rows = query.order_by(SessionTurnRow.number).tuples().execute(database)
    return [cipher.decrypt(key, number, at_ms, bytes(sealed)) for number, at_ms, sealed in rows]


def append(
    database: Database, cipher: ExchangeCipher, key: SessionKey, at_ms: int, *, message: str, answer: str
) -> None:
    """Store one more exchange."""
    query = SessionTurnRow.select(fn.MAX(SessionTurnRow.number)).where(_in_session(key))
    ((latest,),) = query.tuples().execute(database)
    _insert(database, cipher, key, Exchange((latest or 0) + 1, at_ms, message, answer))


def replace(
    database: Database, cipher: ExchangeCipher, key: SessionKey, old: Sequence[Exchange], summary: str | None
) -> None:
    """Replace the oldest exchanges by a summary, or by nothing; the summary gets the time of the latest.

    If some of them were deleted since they were read, no summary is stored: it would restore their content.
    """
    last, oldest_ms = old[-1], min(exchange.at_ms for exchange in old)
    # Expired exchanges may still be stored. They were not read, so they are not replaced.
    read_ones = (SessionTurnRow.number <= last.number) & (SessionTurnRow.at_ms >= oldest_ms)
    deleted = SessionTurnRow.delete().where(_in_session(key) & read_ones).execute(database)
    if summary is not None and deleted == len(old):
        _insert(database, cipher, key, Exchange(last.number, last.at_ms, None, summary))


def was_erased(database: Database, key: SessionKey, began_ms: int | None) -> bool:
    """Return whether the user or the session was erased after the call began (Unix milliseconds)."""
    return any(erased.since(database, *subject, began_ms=began_ms) for subject in ((key.user,), key))


def forget(database: Database, key: SessionKey, *, now_ms: int) -> int:
    """Delete one session of a user; return the number of deleted rows.

    Running calls in it store nothing afterwards: they check ``was_erased``.
    """
    erased.mark(database, *key, now_ms=now_ms)
    return int(SessionTurnRow.delete().where(_in_session(key)).execute(database))


def erase(database: Database, *, user: str) -> int:
    """Delete all sessions of a user; return the number of deleted rows."""
    return int(SessionTurnRow.delete().where(SessionTurnRow.user == user).execute(database))


def prune(database: Database, *, before_ms: int) -> int:
    """Delete the exchanges before that time; return the number of deleted rows."""
    return int(SessionTurnRow.delete().where(SessionTurnRow.at_ms < before_ms).execute(database))


def _insert(database: Database, cipher: ExchangeCipher, key: SessionKey, exchange: Exchange) -> None:
    number, at_ms, message, answer = exchange
    sealed = cipher.encrypt(key, number, message, answer)
    row = {"user": key.user, "session": key.session, "number": number, "at_ms": at_ms, "sealed": sealed}
    SessionTurnRow.insert(row).execute(database)


def _in_session(key: SessionKey) -> object:
    return (SessionTurnRow.user == key.user) & (SessionTurnRow.session == key.session)
