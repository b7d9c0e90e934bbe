"""Shared by the tests of alerts: a service on this machine to send to, and spending in the rollups."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from supernova_ai.ledger import rollups
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow

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
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.entered.set()
                service.proceed.wait(WAIT_S)
                service.got.append(json.loads(body))
                self.send_response(service.statuses.pop(0) if service.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.proceed.set()
        self._server.shutdown()
        self._server.server_close()


def spend(store: Store, hour: int, usd: str) -> None:
    """Add spending to the rollups, at this hour since the epoch."""
    row = rollups.EndedAttempt(
        started_ms=hour * rollups.HOUR_MS,
        provider="openai",
        model="gpt",
        tier="standard",
        task="chat",
        prompt_name=None,
        user_id=None,
        session_id=None,
        state="settled",
        cost_nano=to_nano(usd),
        prompt_tokens=1,
        completion_tokens=1,
        cached_tokens=0,
        cache_write_tokens=0,
        reasoning_tokens=0,
        latency_ms=None,
        first_token_ms=None,
        error_class=None,
        cost_basis="exact",
    )
    store.write(lambda database: rollups.add(database, row)).result()


def results_by_channel(row: AlertRow) -> dict[str, str]:
    """Return the outbox's result for each channel."""
    results: dict[str, str] = json.loads(row.detail or "{}")
    return results
