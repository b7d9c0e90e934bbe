"""The rows of conversations, each sealed for its place; all of it inside one operation on the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database, fn

from supernova_ai.errors import StoreError
from supernova_ai.keys.crypto import Random, pack
from supernova_ai.store import erased
from supernova_ai.store.tables import SessionTurnRow

_FORMAT = 1
_NONCE = 12


class SessionKey(NamedTuple):
    """One user's session; another user's of the same name is another one. No user is an empty text."""

    user: str
    session: str


class PastExchange(NamedTuple):
    """A message and its answer; where the message is None, a summary of all that was said until then."""

    number: int
    at_ms: int
    message: str | None
    answer: str


class Seal(NamedTuple):
    """What seals the exchanges of one store."""

    cipher: AESGCM
    store: str
    random: Random

    def close(self, whose: SessionKey, number: int, message: str | None, answer: str) -> bytes:
        """Seal an exchange for its place."""
        nonce = self.random(_NONCE)
        text = json.dumps([message, answer]).encode()
        return nonce + self.cipher.encrypt(nonce, text, self._bound(whose, number))

    def open(self, whose: SessionKey, number: int, at_ms: int, sealed: bytes) -> PastExchange:
        """Open an exchange at its place.

        Raises:
            StoreError: it was altered, moved, or sealed by another master key.
        """
        try:
            text = self.cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound(whose, number))
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                f"what was said in session {whose.session!r} does not open (turn {number}): it was altered, "
                f"or sealed by another master key. Forget the session with Supernova.forget, or name another"
            ) from error
        return PastExchange(number, at_ms, *json.loads(text))

    def _bound(self, whose: SessionKey, number: int) -> bytes:
        return pack("supernova-ai session turn", _FORMAT, self.store, *whose, number)


def read(database: Database, seal: Seal, whose: SessionKey, since_ms: int) -> list[PastExchange]:
    """Return what was said since then, oldest first."""
    columns = (SessionTurnRow.number, SessionTurnRow.at_ms, SessionTurnRow.sealed)
    query = SessionTurnRow.select(*columns).where(_of(whose) & (SessionTurnRow.at_ms >= since_ms))
    rows = query.order_by(SessionTurnRow.number).tuples().execute(database)
    return [seal.open(whose, number, at_ms, bytes(sealed)) for number, at_ms, sealed in rows]


def append(
    database: Database, seal: Seal, whose: SessionKey, at_ms: int, *, message: str, answer: str
) -> None:
    """Keep one more exchange."""
    query = SessionTurnRow.select(fn.MAX(SessionTurnRow.number)).where(_of(whose))
    ((latest,),) = query.tuples().execute(database)
    _insert(database, seal, whose, PastExchange((latest or 0) + 1, at_ms, message, answer))


def replace(
    database: Database, seal: Seal, whose: SessionKey, old: Sequence[PastExchange], summary: str | None
) -> None:
    """Put a summary, or nothing, in the place of the oldest exchanges. It is as old as the latest of them.

    If some of them have been deleted since they were read, there is no summary: it would bring them back.
    """
    last = old[-1]
    there = (
        SessionTurnRow.delete().where(_of(whose) & (SessionTurnRow.number <= last.number)).execute(database)
    )
    if summary is not None and there == len(old):
        _insert(database, seal, whose, PastExchange(last.number, last.at_ms, None, summary))


def is_gone(database: Database, whose: SessionKey, began_ms: int | None) -> bool:
    """Say whether the user was erased or the session forgotten after a call began, in Unix milliseconds."""
    return any(erased.since(database, *subject, began_ms=began_ms) for subject in ((whose.user,), whose))


def forget(database: Database, whose: SessionKey, *, now_ms: int) -> int:
    """Delete what was said in one user's session; return how many exchanges and summaries that was.

    Calls that are running in it keep nothing: ``is_gone`` tells them.
    """
    erased.mark(database, *whose, now_ms=now_ms)
    return int(SessionTurnRow.delete().where(_of(whose)).execute(database))


def erase(database: Database, *, user: str) -> int:
    """Delete what a user said in any session; return how many exchanges and summaries that was."""
    return int(SessionTurnRow.delete().where(SessionTurnRow.user == user).execute(database))


def prune(database: Database, *, before_ms: int) -> int:
    """Delete what was said before that time; return how many exchanges and summaries that was."""
    return int(SessionTurnRow.delete().where(SessionTurnRow.at_ms < before_ms).execute(database))


def _insert(database: Database, seal: Seal, whose: SessionKey, exchange: PastExchange) -> None:
    number, at_ms, message, answer = exchange
    sealed = seal.close(whose, number, message, answer)
    row = {"user": whose.user, "session": whose.session, "number": number, "at_ms": at_ms, "sealed": sealed}
    SessionTurnRow.insert(row).execute(database)


def _of(whose: SessionKey) -> object:
    return (SessionTurnRow.user == whose.user) & (SessionTurnRow.session == whose.session)
