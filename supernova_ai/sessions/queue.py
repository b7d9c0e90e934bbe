"""A queue in which callers wait for their turn, across event loops and threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future


class TurnQueue:
    """One turn at a time per name, in order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, deque[Future[None]]] = {}

    async def enter(self, name: Hashable) -> Future[None]:
        """Wait for a turn; pass the result to ``leave`` to end it."""
        turn: Future[None] = Future()
        with self._lock:
            waiting = self._waiting.setdefault(name, deque())
            waiting.append(turn)
            if waiting[0] is turn:
                turn.set_result(None)
        try:
            await asyncio.shield(asyncio.wrap_future(turn))
        except BaseException:
            self.leave(name, turn)
            raise
        return turn

    def leave(self, name: Hashable, turn: Future[None]) -> None:
        """End a turn, or stop waiting for one."""
        with self._lock:
            waiting = self._waiting[name]
            waiting.remove(turn)
            if not waiting:
                del self._waiting[name]
            elif not waiting[0].done():
                waiting[0].set_result(None)
