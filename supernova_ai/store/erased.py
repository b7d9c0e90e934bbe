"""Tombstones: who was erased of late, so that a call that began before keeps nothing more of them.

Whoever writes something about a user asks here, inside the operation that writes. Writers take turns, so a
write comes either before the erasure, which then finds it, or after it, and finds the tombstone.

A tombstone has a hash of the user's id. Who can read the database can try ids against it, so it stays for a
day only: longer than any call takes.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import lru_cache

from peewee import Database

from supernova_ai.store.bulk import run

KEPT_MS = 86_400_000


def mark(database: Database, *subject: str, now_ms: int) -> None:
    """Note that everything of the subject was erased now, and drop the tombstones that are old.

    Args:
        subject: the user's id; for one session of theirs, that and the session's.
    """
    expire(database, now_ms=now_ms)
    run(
        database,
        "INSERT INTO erased (subject, at_ms) VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET at_ms = ?",
        _hash(subject),
        now_ms,
        now_ms,
    )
    time.sleep(0.001)  # a call that begins when this is done must have a later millisecond


def since(database: Database, *subject: str, began_ms: int | None) -> bool:
    """Say whether the subject was erased after the call began.

    Args:
        began_ms: Unix milliseconds of the store's clock; None for a call that is only just beginning.
    """
    if began_ms is None:
        return False
    # A call that began in the same millisecond counts as running.
    select = "SELECT 1 FROM erased WHERE subject = ? AND at_ms >= ?"
    return run(database, select, _hash(subject), began_ms).fetchone() is not None


def expire(database: Database, *, now_ms: int) -> None:
    """Delete the tombstones that no running call can be older than."""
    run(database, "DELETE FROM erased WHERE at_ms < ?", now_ms - KEPT_MS)


@lru_cache(maxsize=1024)  # asked for at every hold
def _hash(subject: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(subject).encode()).hexdigest()
