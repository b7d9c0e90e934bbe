"""A pump: it reads a stream on the engine's loop, and hands the pieces to a reader on any loop in bursts.

A trip between two loops takes longer than many providers need for a token. So the pump reads a few pieces
ahead, and a trip takes all that are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

from supernova_ai.types import ABANDONED

T = TypeVar("T")

_AHEAD = 16
"""How many pieces are read at most before the reader asks for them; then the pump waits."""

_running: set[asyncio.Task[None]] = set()
"""The loop itself keeps no task alive."""


class Pump(Generic[T]):
    """Reads a generator from the first ``take`` on. Its coroutines run on the engine's loop.

    Dropping it, like ``close``, closes the generator as abandoned.
    """

    def __init__(self, source: AsyncGenerator[T, None]) -> None:
        self._source = source
        self._buffer: _Buffer[T] = _Buffer()
        self._lock = asyncio.Lock()  # a cancelled read needs time to end
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def take(self) -> list[T]:
        """Return the pieces that are there, at least one; none after the end, or if it was closed."""
        async with self._lock:
            if self._task is None:
                self._task = asyncio.create_task(_read(self._source, self._buffer))
                _running.add(self._task)
                self._task.add_done_callback(_running.discard)
            try:
                await self._buffer.ready.wait()
            except asyncio.CancelledError:
                self._task.cancel()
                await asyncio.wait([self._task])  # its hold has ended when the reader goes on
                raise
            taken = self._buffer.empty()
            if self._closing:
                return taken
            if not taken:
                await self._task  # raises what the stream raised
            elif not self._task.done():
                self._buffer.ready.clear()
            return taken

    async def close(self) -> None:
        """Close the generator, and wait for its clean-up. A ``take`` that waits ends."""
        self._closing = True
        self._buffer.ready.set()
        async with self._lock:
            if self._task is not None:
                self._task.cancel(ABANDONED)
                await asyncio.gather(self._task, return_exceptions=True)
            await self._source.aclose()

    def __del__(self) -> None:
        if self._task is not None and not self._task.done():
            with suppress(RuntimeError):  # the loop is closed
                self._task.get_loop().call_soon_threadsafe(self._task.cancel, ABANDONED)


class _Buffer(Generic[T]):
    """The pieces that the reader has not taken: one at first, so that nothing delays it, then more."""

    def __init__(self) -> None:
        self._pieces: list[T] = []
        self._most = 1
        self.ready, self._room = asyncio.Event(), asyncio.Event()

    async def add(self, piece: T) -> None:
        """Add a piece, and wait while there are enough."""
        self._pieces.append(piece)
        self.ready.set()
        if len(self._pieces) >= self._most:
            self._room.clear()
            await self._room.wait()

    def empty(self) -> list[T]:
        """Take all pieces."""
        taken, self._pieces = self._pieces, []
        self._most = min(2 * self._most, _AHEAD)
        self._room.set()
        return taken


async def _read(source: AsyncGenerator[T, None], buffer: _Buffer[T]) -> None:
    try:
        async with aclosing(source):
            async for piece in source:
                await buffer.add(piece)
    finally:
        buffer.ready.set()
