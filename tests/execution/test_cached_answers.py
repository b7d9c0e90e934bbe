"""Cached answers in the database are bound to their key and user, expire, and are limited in number."""

from __future__ import annotations

import pytest

from supernova_ai.execution import cached_answers
from supernova_ai.execution.cached_answers import StoredAnswers
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.store import Store, bulk, erased
from supernova_ai.store.tables import AnswerRow
from tests import clients


@pytest.fixture
def cache(store: Store) -> StoredAnswers:
    return StoredAnswers(store, Vault(store, clients.MASTER).answer_cipher)


def places(store: Store) -> list[str]:
    rows = store.read(
        lambda database: list(AnswerRow.select().order_by(AnswerRow.created_ms).execute(database))
    )
    return [row.place for row in rows]


async def test_another_client_with_the_master_key_reads_it(store: Store, cache: StoredAnswers) -> None:
    """Another client with the master key reads an answer; a later answer replaces one under the same key."""
    for text in ("first", "Grüße"):
        await cache.async_set_cache("place", text, ttl=60)
    other = StoredAnswers(store, Vault(store, clients.MASTER).answer_cipher)
    assert await other.async_get_cache("place") == "Grüße"
    assert await other.async_get_cache("elsewhere") is None
    assert places(store) == ["place"]


@pytest.mark.parametrize(
    "change",
    [
        "place = 'moved'",
        "user_id = 'bob'",
        "expires_ms = expires_ms + 1",
        "sealed = ?",
    ],
)
async def test_altered_answer_does_not_decrypt(change: str, store: Store, cache: StoredAnswers) -> None:
    """An answer whose key, user, expiry or ciphertext was changed does not decrypt."""
    await cache.async_set_cache("place", "text", ttl=60, user="ann")
    (row,) = store.read(lambda database: list(AnswerRow.select().execute(database)))
    sealed = bytearray(row.sealed)
    sealed[-1] ^= 1
    arguments = [bytes(sealed)] if "?" in change else []
    store.write(lambda database: bulk.run(database, f"UPDATE answer SET {change}", *arguments)).result()
    assert (cache.find("place"), cache.find("moved")) == (None, None)


async def test_another_master_key_decrypts_nothing(store: Store, cache: StoredAnswers) -> None:
    """An answer that another master key encrypted is a miss, not an error."""
    await cache.async_set_cache("place", "text", ttl=60)
    assert StoredAnswers(store, lambda: MasterKey.of(bytes(31) + b"1").answers).find("place") is None


async def test_answers_expire(store: Store, cache: StoredAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired answer is a miss, and the next stored answer deletes it."""
    now = store.now_ms()
    monkeypatch.setattr(store, "now_ms", lambda: now)
    await cache.async_set_cache("old", "text", ttl=60)
    now += 59_999
    assert cache.find("old") == "text"
    now += 1
    assert cache.find("old") is None
    await cache.async_set_cache("new", "text", ttl=60)
    assert places(store) == ["new"]


async def test_oldest_answers_are_deleted(
    store: Store, cache: StoredAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the cache is full, the oldest answers are deleted."""
    monkeypatch.setattr(cached_answers, "MOST", 3)
    now = store.now_ms()
    monkeypatch.setattr(store, "now_ms", lambda: now)
    for place in "abcde":
        now += 1
        await cache.async_set_cache(place, "text", ttl=60)
    assert places(store) == ["c", "d", "e"]


async def test_nothing_is_cached_for_a_user_erased_meanwhile(store: Store, cache: StoredAnswers) -> None:
    """Calls that began before a user's erasure cache nothing; calls that began after it do."""
    store.write(lambda database: erased.mark(database, "ann", now_ms=1000)).result()
    await cache.async_set_cache("before", "text", ttl=60, user="ann", began_ms=999)
    await cache.async_set_cache("after", "text", ttl=60, user="ann", began_ms=1001)
    assert places(store) == ["after"]
