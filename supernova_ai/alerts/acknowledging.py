"""Acknowledging of alerts by a person, which is audited."""

from __future__ import annotations

from collections.abc import Collection

from peewee import Database

from supernova_ai.alerts import outbox
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys import Vault
from supernova_ai.keys.audited_store import Record


def acknowledge(vault: Vault, ids: Collection[int] = ()) -> int:
    """Acknowledge these alerts, or all: they are not sent any more. Return how many were open before.

    Raises:
        InvalidRequest: there is no such alert.
        MasterKeyError: the store has a master key, and it cannot be read.
    """
    known = {
        row.id for row in vault.store.read(lambda database: outbox.list_alerts(database, acknowledged=True))
    }
    if unknown := sorted(set(ids) - known):
        raise InvalidRequest(f"there is no alert {', '.join(map(str, unknown))}: see 'supernova alerts list'")

    def change(database: Database, record: Record) -> int:
        count = outbox.acknowledge(database, ids or None)
        record("alerts.acknowledged", ", ".join(map(str, ids)) or "all", {"alerts": count})
        return count

    return vault.audited(change)
