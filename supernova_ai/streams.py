"""The stream of an answer, readable from any asyncio event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from supernova_ai.errors import InvalidRequest, NoProvider
from supernova_ai.sessions import PreparedRequest
from supernova_ai.types import Reply

if TYPE_CHECKING:
    from supernova_ai.execution.engine import Engine


class Stream:
    """The text of an answer, token by token. After the end, ``reply`` is the finished answer.

    Leaving the ``async with`` block early ends the provider call; the text received is paid for.

    Args:
        engine: returns the engine, after the request was prepared.
        preparing: entering it prepares the request to send; it is left at the end of the answer.
    """

    def __init__(
        self, engine: Callable[[], Engine], preparing: AbstractAsyncContextManager[PreparedRequest]
    ) -> None:
        self._get_engine = engine
        self._preparing = preparing
        self._source: AsyncGenerator[str | Reply, None] | None = None
        self._lock = asyncio.Lock()  # on the engine's loop: a cancelled read needs time to end
        self._reply: Reply | None = None
        self._opened = False

    @property
    def reply(self) -> Reply:
        """The finished answer.

        Raises:
            InvalidRequest: the stream was not read to its end.
        """
        if self._reply is None:
            raise InvalidRequest("the stream has no reply before its end; read it to the end first")
        return self._reply

    async def __aenter__(self) -> Stream:
        if self._opened:
            raise InvalidRequest("a stream is opened once: call stream(…) for another")
        self._opened = True
        self._prepared = await self._preparing.__aenter__()
        self._engine = self._get_engine()
        self._source = self._engine.stream(self._prepared.request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the provider call if it is running. Closing twice does nothing."""
        if self._source is not None:
            source, self._source = self._source, None
            try:
                with suppress(NoProvider):  # closing the client has ended the call
                    await self._engine.run(_close(source, self._lock))
            finally:
                await self._preparing.__aexit__(None, None, None)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Stream cannot be pickled or copied: copy its reply instead")

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> str:
        if self._source is None:
            if self._reply is not None:
                raise StopAsyncIteration
            raise InvalidRequest("open the stream first: async with stream(…) as s")
        piece = await self._engine.run(_next(self._source, self._lock))
        if isinstance(piece, Reply):
            self._reply = piece
            await self._prepared.save(piece)
            await self.aclose()
            raise StopAsyncIteration
        return piece


async def _next(source: AsyncGenerator[str | Reply, None], lock: asyncio.Lock) -> str | Reply:
    async with lock:
        return await anext(source)


async def _close(source: AsyncGenerator[str | Reply, None], lock: asyncio.Lock) -> None:
    async with lock:
        await source.aclose()
