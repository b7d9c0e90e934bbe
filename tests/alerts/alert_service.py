"""A service on this machine that receives alerts, and spending in the rollups that raises them."""

from __future__ import annotations

import json
import threading
from typing import Any

from supernova_ai.ledger import rollups
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow
from tests.holds import ended_attempt
from tests.servers import Sent, Server

WAIT_S = 30
"""Longer than anything takes, in seconds: a test that waits so long has failed."""


class Service:
    """An HTTP service that stores what it receives, and answers with the next of ``statuses``, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[dict[str, Any]] = []
        self.entered = threading.Event()
        self.proceed = threading.Event()
        self.proceed.set()
        self._server = Server(self._answer)
        self.url = f"json://127.0.0.1:{self._server.port}"

    def _answer(self, sent: Sent) -> tuple[int, dict[str, str], bytes]:
        self.entered.set()
        self.proceed.wait(WAIT_S)
        self.got.append(json.loads(sent.body))
        return self.statuses.pop(0) if self.statuses else 200, {}, b""

    def close(self) -> None:
        self.proceed.set()
        self._server.close()


def spend(store: Store, hour: int, usd: str) -> None:
    """Add spending to the rollups, at this hour since the epoch."""
    row = ended_attempt(to_nano(usd), hour * rollups.HOUR_MS)
    store.write(lambda database: rollups.add(database, row)).result()


def results_by_channel(row: AlertRow) -> dict[str, str]:
    """Return the outbox's result for each channel."""
    results: dict[str, str] = json.loads(row.detail or "{}")
    return results
