"""Cached answers in the database, each sealed for its place."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.keys.crypto import Random
from supernova_ai.mac import pack
from supernova_ai.store import Store, erased
from supernova_ai.store.tables import AnswerRow

MOST = 10_000
"""How many answers are kept; the oldest make room for new ones."""

_FORMAT = 1
_NONCE = 12


class StoredAnswers:
    """The answers that are kept in one store.

    The methods ``async_…`` are named as those of LiteLLM's caches, beside which the engine uses this one.

    Args:
        cipher: gives the cipher of answers, which changes with the master key.
        random: gives that many unpredictable bytes.
    """

    def __init__(self, store: Store, cipher: Callable[[], AESGCM], *, random: Random = os.urandom) -> None:
        self._store = store
        self._cipher = cipher
        self._random = random

    async def async_get_cache(self, place: str) -> str | None:
        """Return the text that is kept in the place; None if there is none, or none that opens."""
        return await asyncio.to_thread(self.find, place)

    async def async_batch_get_cache(self, places: Sequence[str]) -> dict[str, str]:
        """Return the texts that are kept in these places, where there is one that opens."""
        return await asyncio.to_thread(self.find_all, places)

    async def async_set_cache(
        self, place: str, text: str, *, ttl: int, user: str = "", began_ms: int | None = None
    ) -> None:
        """Keep the text for ``ttl`` seconds, unless the user was erased after the call began."""
        await self.async_set_cache_pipeline([(place, text)], ttl=ttl, user=user, began_ms=began_ms)

    async def async_set_cache_pipeline(
        self, texts: Sequence[tuple[str, str]], *, ttl: int, user: str = "", began_ms: int | None = None
    ) -> None:
        """Keep each text in its place, as ``async_set_cache`` does."""
        now_ms = self._store.now_ms()
        expires_ms = now_ms + ttl * 1000
        cipher = self._cipher()
        rows = []
        for place, text in texts:
            nonce = self._random(_NONCE)
            sealed = nonce + cipher.encrypt(nonce, text.encode(), self._bound(place, user, expires_ms))
            rows.append(
                {
                    "place": place,
                    "user": user,
                    "created_ms": now_ms,
                    "expires_ms": expires_ms,
                    "sealed": sealed,
                }
            )

        def write(database: Database) -> None:
            expire(database, now_ms=now_ms)
            AnswerRow.delete().where(AnswerRow.place.in_([place for place, _ in texts])).execute(database)
            if erased.since(database, user, began_ms=began_ms):
                return
            old = (
                AnswerRow.select(AnswerRow.place)
                .order_by(AnswerRow.created_ms.desc())
                .offset(MOST - len(rows))
                .limit(MOST)
            )
            AnswerRow.delete().where(AnswerRow.place.in_(old)).execute(database)
            AnswerRow.insert_many(rows).execute(database)

        await asyncio.wrap_future(self._store.write(write))

    async def disconnect(self) -> None:
        """Do nothing: the store is closed by who opened it."""

    def find(self, place: str) -> str | None:
        """Return the text that is kept in the place; None if there is none, or none that opens."""
        return self.find_all([place]).get(place)

    def find_all(self, places: Sequence[str]) -> dict[str, str]:
        """Return the texts that are kept in these places, where there is one that opens."""
        query = AnswerRow.select().where(
            AnswerRow.place.in_(places) & (AnswerRow.expires_ms > self._store.now_ms())
        )
        rows = self._store.read(lambda database: list(query.execute(database)))
        return {row.place: text for row in rows if (text := self.open(row)) is not None}

    def open(self, row: AnswerRow) -> str | None:
        """Return the text of a row; None if it was altered, moved, or sealed by another master key."""
        sealed = bytes(row.sealed)
        try:
            bound = self._bound(row.place, row.user, row.expires_ms)
            return self._cipher().decrypt(sealed[:_NONCE], sealed[_NONCE:], bound).decode()
        except (InvalidTag, ValueError):
            return None

    def _bound(self, place: str, user: str, expires_ms: int) -> bytes:
        return pack("supernova-ai answer", _FORMAT, self._store.id, place, user, expires_ms)


def expire(database: Database, *, now_ms: int) -> int:
    """Delete the answers that have expired; return how many there were."""
    return int(AnswerRow.delete().where(AnswerRow.expires_ms <= now_ms).execute(database))


def erase(database: Database, *, user: str) -> int:
    """Delete the answers that a user was given; return how many there were."""
    return int(AnswerRow.delete().where(AnswerRow.user == user).execute(database))
