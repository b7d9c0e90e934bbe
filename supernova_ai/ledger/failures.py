"""Patterns of failures: one row for each kind of trouble, kept in the transaction that ends an attempt."""

from __future__ import annotations

from peewee import Database

from supernova_ai.store.bulk import run
from supernova_ai.types import FailurePattern

# Ends may come out of order, from machines that share the database.
_NOTE = """
INSERT INTO failure_pattern (fingerprint, provider, model, error, status, message, first_ms, last_ms, seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (fingerprint) DO UPDATE SET
  model = excluded.model,
  first_ms = CASE WHEN excluded.first_ms < failure_pattern.first_ms
    THEN excluded.first_ms ELSE failure_pattern.first_ms END,
  last_ms = CASE WHEN excluded.last_ms > failure_pattern.last_ms
    THEN excluded.last_ms ELSE failure_pattern.last_ms END,
  seen = failure_pattern.seen + 1
"""


def note(database: Database, failure: FailurePattern, *, provider: str, model: str, at_ms: int) -> None:
    """Count one more failure of this kind. ``at_ms`` is Unix milliseconds."""
    run(
        database,
        _NOTE,
        failure.fingerprint,
        provider,
        model,
        failure.error,
        failure.status,
        failure.message,
        at_ms,
        at_ms,
    )
