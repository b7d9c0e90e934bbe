"""A line in which those who want the same thing wait their turn, from whichever event loops they come."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future


class TurnQueue:
    """One turn at a time for each name, first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, deque[Future[None]]] = {}

    async def enter(self, name: Hashable) -> Future[None]:
        """Wait for a turn; what this returns ends it, by ``leave``."""
        mine: Future[None] = Future()
        with self._lock:
            line = self._waiting.setdefault(name, deque())
            line.append(mine)
            if line[0] is mine:
                mine.set_result(None)
        try:
            await asyncio.shield(asyncio.wrap_future(mine))
        except BaseException:
            self.leave(name, mine)
            raise
        return mine

    def leave(self, name: Hashable, mine: Future[None]) -> None:
        """End a turn, or stop waiting for one."""
        with self._lock:
            line = self._waiting[name]
            line.remove(mine)
            if not line:
                del self._waiting[name]
            elif not line[0].done():
                line[0].set_result(None)
