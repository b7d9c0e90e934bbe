"""The server of ``supernova serve``: uvicorn, with an end for every call."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from supernova_ai.client import Supernova
from supernova_ai.concurrency import in_thread

GRACE_S = 5
"""Seconds that running answers may still take when the server is stopped."""


class Server(uvicorn.Server):
    """Serves the application until it is stopped; then it closes the client, which settles its holds.

    Answers that run longer than ``GRACE_S`` end with an error, as the client's end says it.

    Args:
        settings: of uvicorn, with the application.
        nova: the application's client.
    """

    def __init__(self, settings: uvicorn.Config, nova: Supernova) -> None:
        super().__init__(settings)
        self._nova = nova

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and wait for those that run; uvicorn calls this."""
        closing = asyncio.create_task(self._close_client())
        await super().shutdown(sockets)
        closing.cancel()

    async def _close_client(self) -> None:
        await asyncio.sleep(GRACE_S)
        await in_thread(self._nova.close)
