"""The rows of conversations: sealed for their place, counted, forgotten; on both engines."""

from __future__ import annotations

import os
from itertools import permutations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from supernova_ai import StoreError
from supernova_ai.sessions import SessionKey, erase, turns
from supernova_ai.sessions.turns import PastExchange, Seal
from supernova_ai.store import Store
from supernova_ai.store.tables import SessionTurnRow

ANN, BEN = SessionKey("ann", "s"), SessionKey("ben", "s")


@pytest.fixture
def seal(store: Store) -> Seal:
    return Seal(AESGCM(bytes(32)), store.id, os.urandom)


def say(store: Store, seal: Seal, whose: SessionKey, *messages: str, at_ms: int = 1000) -> None:
    def one(message: str) -> None:
        store.write(
            lambda d: turns.append(d, seal, whose, at_ms, message=message, answer=message.upper())
        ).result()

    for message in messages:
        one(message)


def read(store: Store, seal: Seal, whose: SessionKey, since_ms: int = 0) -> list[PastExchange]:
    return store.read(lambda d: turns.read(d, seal, whose, since_ms))


def test_what_was_said_comes_back_in_order(store: Store, seal: Seal) -> None:
    """Each user's session has its own exchanges, oldest first, of any text."""
    say(store, seal, ANN, "one", "zwei ö 🙂")
    say(store, seal, BEN, "other")
    assert read(store, seal, ANN) == [
        PastExchange(1, 1000, "one", "ONE"),
        PastExchange(2, 1000, "zwei ö 🙂", "ZWEI Ö 🙂"),
    ]
    assert read(store, seal, BEN) == [PastExchange(1, 1000, "other", "OTHER")]
    assert read(store, seal, SessionKey("ann", "another")) == []


def test_nothing_is_readable_at_rest(store: Store, seal: Seal) -> None:
    """The row has no word of what was said."""
    say(store, seal, ANN, "my secret plan")
    (row,) = store.read(lambda d: list(SessionTurnRow.select().tuples().execute(d)))
    assert b"secret" not in b"".join(bytes(v) if isinstance(v, bytes | memoryview) else b"" for v in row)
    assert "secret" not in str(row)


@pytest.mark.parametrize("change", [{"number": 7}, {"user": "eve"}, {"session": "t"}, {"sealed": b"short"}])
def test_a_row_opens_at_its_place_only(store: Store, seal: Seal, change: dict[str, object]) -> None:
    """Moved to another number, user or session, or altered, it does not open; the error has a remedy."""
    say(store, seal, ANN, "one")
    store.write(lambda d: SessionTurnRow.update(**change).execute(d)).result()
    whose = SessionKey(str(change.get("user", "ann")), str(change.get("session", "s")))
    with pytest.raises(StoreError, match=r"does not open .* Forget the session"):
        read(store, seal, whose)


def test_another_store_or_master_does_not_open_it(store: Store, seal: Seal) -> None:
    """A row is bound to its store and its master key."""
    say(store, seal, ANN, "one")
    for other in (seal._replace(store="elsewhere"), seal._replace(cipher=AESGCM(bytes([1] * 32)))):
        with pytest.raises(StoreError, match="does not open"):
            read(store, other, ANN)


def test_two_rows_cannot_be_swapped(store: Store, seal: Seal) -> None:
    """Every exchange stays where it was said."""
    say(store, seal, ANN, "one", "two", "three")
    rows = store.read(
        lambda d: dict(
            SessionTurnRow.select(SessionTurnRow.number, SessionTurnRow.sealed).tuples().execute(d)
        )
    )
    for one, other in permutations(rows, 2):
        exchange = seal.open(ANN, one, 0, bytes(rows[one]))
        assert exchange.number == one
        with pytest.raises(StoreError):
            seal.open(ANN, other, 0, bytes(rows[one]))


def test_a_summary_takes_the_place_of_the_oldest(store: Store, seal: Seal) -> None:
    """It is as old as the latest it is of, and what is said next follows the numbers."""
    say(store, seal, ANN, "one", "two", at_ms=1000)
    say(store, seal, ANN, "three", at_ms=2000)
    old = read(store, seal, ANN)[:2]
    store.write(lambda d: turns.replace(d, seal, ANN, old, "in short")).result()
    say(store, seal, ANN, "four", at_ms=3000)
    assert [(e.number, e.at_ms, e.message, e.answer) for e in read(store, seal, ANN)] == [
        (2, 1000, None, "in short"),
        (3, 2000, "three", "THREE"),
        (4, 3000, "four", "FOUR"),
    ]
    old = read(store, seal, ANN)[:2]
    store.write(lambda d: turns.replace(d, seal, ANN, old, None)).result()
    assert [e.message for e in read(store, seal, ANN)] == ["four"]


def test_forgetting(store: Store, seal: Seal) -> None:
    """A session, a user, or what is old can be forgotten, and nothing else goes with it."""
    say(store, seal, ANN, "old", at_ms=1000)
    say(store, seal, ANN, "new", at_ms=2000)
    say(store, seal, SessionKey("ann", "t"), "more", at_ms=2000)
    say(store, seal, BEN, "his", at_ms=2000)
    assert [e.message for e in read(store, seal, ANN, since_ms=1500)] == ["new"]
    assert store.write(lambda d: turns.prune(d, before_ms=2000)).result() == 1
    assert store.write(lambda d: turns.forget(d, ANN, now_ms=3000)).result() == 1
    assert [e.message for e in read(store, seal, SessionKey("ann", "t"))] == ["more"]
    assert store.write(lambda d: erase(d, user="ann")).result() == 1
    assert [e.message for e in read(store, seal, BEN)] == ["his"]
