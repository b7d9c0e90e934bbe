"""Tombstones of erased users and sessions: a call that began before the erasure stores nothing after it.

Code that writes about a user checks ``since`` in the same operation. Writers take turns, so a write happens
either before the erasure, which deletes it, or after it, and finds the tombstone.

A tombstone holds a hash of the user's id. Anyone who can read the database can test ids against it, so it
is deleted after a day, which is longer than any call takes.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import lru_cache

from peewee import Database

from supernova_ai.store.bulk import Statement, run

KEPT_MS = 86_400_000


def mark(database: Database, *subject: str, now_ms: int) -> None:
    """Store a tombstone for the subject, erased now, and delete old tombstones.

    Args:
        subject: the user's id, or for one session the user's and the session's id.
    """
    expire(database, now_ms=now_ms)
    run(
        database,
        "INSERT INTO erased (subject, at_ms) VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET at_ms = ?",
        _hash(subject),
        now_ms,
        now_ms,
    )
    time.sleep(0.001)  # a call that begins after this must have a later millisecond


def since(database: Database, *subject: str, began_ms: int | None) -> bool:
    """Return whether the subject was erased after the call began.

    Args:
        began_ms: Unix milliseconds of the store's clock; None for a call that begins now.
    """
    if began_ms is None:
        return False
    select, arguments = tombstone_since(*subject, began_ms=began_ms)
    return run(database, select, *arguments).fetchone() is not None


def tombstone_since(*subject: str, began_ms: int) -> Statement:
    """Return the SELECT that finds a row if the subject was erased after a call that began then."""
    # A call that began in the same millisecond may have begun before the erasure.
    return "SELECT 1 FROM erased WHERE subject = ? AND at_ms >= ?", (_hash(subject), began_ms)


def is_pseudonym(database: Database, user: str) -> bool:
    """Return whether this is no user's id but the pseudonym of one who was erased."""
    select = "SELECT 1 FROM journal WHERE event = 'privacy.erased' AND after = ?"
    return run(database, select, user).fetchone() is not None


def expire(database: Database, *, now_ms: int) -> None:
    """Delete the tombstones that are older than any running call."""
    run(database, "DELETE FROM erased WHERE at_ms < ?", now_ms - KEPT_MS)


@lru_cache(maxsize=1024)  # every hold needs it
def _hash(subject: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(subject).encode()).hexdigest()
