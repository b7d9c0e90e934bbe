"""Stored exchanges are encrypted, bound to their session and number, counted and deleted, on both engines."""

from __future__ import annotations

import os
from itertools import permutations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from supernova_ai import StoreError
from supernova_ai.sessions import SessionKey, erase, history
from supernova_ai.sessions.history import Exchange, ExchangeCipher
from supernova_ai.store import Store
from supernova_ai.store.tables import SessionTurnRow

ANN, BEN = SessionKey("ann", "s"), SessionKey("ben", "s")


@pytest.fixture
def cipher(store: Store) -> ExchangeCipher:
    return ExchangeCipher(AESGCM(bytes(32)), store.id, os.urandom)


def add(store: Store, cipher: ExchangeCipher, key: SessionKey, *messages: str, at_ms: int = 1000) -> None:
    def one(message: str) -> None:
        store.write(
            lambda d: history.append(d, cipher, key, at_ms, message=message, answer=message.upper())
        ).result()

    for message in messages:
        one(message)


def read(store: Store, cipher: ExchangeCipher, key: SessionKey, since_ms: int = 0) -> list[Exchange]:
    return store.read(lambda d: history.read(d, cipher, key, since_ms))


def test_exchanges_are_read_in_order(store: Store, cipher: ExchangeCipher) -> None:
    """Each user's session has its own exchanges, oldest first, with any text."""
    add(store, cipher, ANN, "one", "zwei ö 🙂")
    add(store, cipher, BEN, "other")
    assert read(store, cipher, ANN) == [
        Exchange(1, 1000, "one", "ONE"),
        Exchange(2, 1000, "zwei ö 🙂", "ZWEI Ö 🙂"),
    ]
    assert read(store, cipher, BEN) == [Exchange(1, 1000, "other", "OTHER")]
    assert read(store, cipher, SessionKey("ann", "another")) == []


def test_nothing_is_readable_at_rest(store: Store, cipher: ExchangeCipher) -> None:
    """The row contains no text of the exchange."""
    add(store, cipher, ANN, "my secret plan")
    (row,) = store.read(lambda d: list(SessionTurnRow.select().tuples().execute(d)))
    assert b"secret" not in b"".join(bytes(v) if isinstance(v, bytes | memoryview) else b"" for v in row)
    assert "secret" not in str(row)


@pytest.mark.parametrize("change", [{"number": 7}, {"user": "eve"}, {"session": "t"}, {"sealed": b"short"}])
def test_a_moved_or_altered_row_does_not_decrypt(
    store: Store, cipher: ExchangeCipher, change: dict[str, object]
) -> None:
    """A row with another number, user or session, or altered, does not decrypt; the error has a remedy."""
    add(store, cipher, ANN, "one")
    store.write(lambda d: SessionTurnRow.update(**change).execute(d)).result()
    key = SessionKey(str(change.get("user", "ann")), str(change.get("session", "s")))
    with pytest.raises(StoreError, match=r"cannot be decrypted.* Delete the session"):
        read(store, cipher, key)


def test_another_store_or_master_cannot_decrypt_it(store: Store, cipher: ExchangeCipher) -> None:
    """A row is bound to its store and its master key."""
    add(store, cipher, ANN, "one")
    for other in (cipher._replace(store="elsewhere"), cipher._replace(cipher=AESGCM(bytes([1] * 32)))):
        with pytest.raises(StoreError, match="cannot be decrypted"):
            read(store, other, ANN)


def test_two_rows_cannot_be_swapped(store: Store, cipher: ExchangeCipher) -> None:
    """An exchange does not decrypt under another number."""
    add(store, cipher, ANN, "one", "two", "three")
    rows = store.read(
        lambda d: dict(
            SessionTurnRow.select(SessionTurnRow.number, SessionTurnRow.sealed).tuples().execute(d)
        )
    )
    for one, other in permutations(rows, 2):
        exchange = cipher.decrypt(ANN, one, 0, bytes(rows[one]))
        assert exchange.number == one
        with pytest.raises(StoreError):
            cipher.decrypt(ANN, other, 0, bytes(rows[one]))


def test_a_summary_replaces_the_oldest_exchanges(store: Store, cipher: ExchangeCipher) -> None:
    """The summary has the time of the latest exchange it replaces, and the numbers continue."""
    add(store, cipher, ANN, "one", "two", at_ms=1000)
    add(store, cipher, ANN, "three", at_ms=2000)
    old = read(store, cipher, ANN)[:2]
    store.write(lambda d: history.replace(d, cipher, ANN, old, "in short")).result()
    add(store, cipher, ANN, "four", at_ms=3000)
    assert [(e.number, e.at_ms, e.message, e.answer) for e in read(store, cipher, ANN)] == [
        (2, 1000, None, "in short"),
        (3, 2000, "three", "THREE"),
        (4, 3000, "four", "FOUR"),
    ]
    old = read(store, cipher, ANN)[:2]
    store.write(lambda d: history.replace(d, cipher, ANN, old, None)).result()
    assert [e.message for e in read(store, cipher, ANN)] == ["four"]


def test_expired_exchanges_stay_beside_a_summary(store: Store, cipher: ExchangeCipher) -> None:
    """A summary replaces only what was read, also after the clock was put back; the rest is deleted later."""
    for message, at_ms in (("old", 1000), ("one", 3000), ("put back", 1400), ("two", 2000)):
        add(store, cipher, ANN, message, at_ms=at_ms)
    old = read(store, cipher, ANN, since_ms=1500)
    store.write(lambda d: history.replace(d, cipher, ANN, old, "in short")).result()
    assert [e.answer for e in read(store, cipher, ANN)] == ["OLD", "PUT BACK", "in short"]
    assert store.write(lambda d: history.prune(d, before_ms=1500)).result() == 2
    assert [e.answer for e in read(store, cipher, ANN)] == ["in short"]


def test_deleting(store: Store, cipher: ExchangeCipher) -> None:
    """A session, a user or old exchanges can be deleted without deleting anything else."""
    add(store, cipher, ANN, "old", at_ms=1000)
    add(store, cipher, ANN, "new", at_ms=2000)
    add(store, cipher, SessionKey("ann", "t"), "more", at_ms=2000)
    add(store, cipher, BEN, "his", at_ms=2000)
    assert [e.message for e in read(store, cipher, ANN, since_ms=1500)] == ["new"]
    assert store.write(lambda d: history.prune(d, before_ms=2000)).result() == 1
    assert store.write(lambda d: history.forget(d, ANN, now_ms=3000)).result() == 1
    assert [e.message for e in read(store, cipher, SessionKey("ann", "t"))] == ["more"]
    assert store.write(lambda d: erase(d, user="ann")).result() == 1
    assert [e.message for e in read(store, cipher, BEN)] == ["his"]
