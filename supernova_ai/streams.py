"""An answer as it comes, read from whichever event loop the caller has."""

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
    """An answer as it comes. After the end, ``reply`` is the finished answer.

    Leaving early ends the provider call, and charges what was received.

    Args:
        engine: gives the engine that answers, once the turn was entered.
        turn: entered for the request to send, and left when the answer is over.
    """

    def __init__(
        self, engine: Callable[[], Engine], turn: AbstractAsyncContextManager[PreparedRequest]
    ) -> None:
        self._find_engine = engine
        self._taking = turn
        self._source: AsyncGenerator[str | Reply, None] | None = None
        self._turn = asyncio.Lock()  # used on the engine's loop, where a cancelled step takes a while to end
        self._reply: Reply | None = None
        self._opened = False

    @property
    def reply(self) -> Reply:
        """The finished answer.

        Raises:
            InvalidRequest: the stream has not come to its end.
        """
        if self._reply is None:
            raise InvalidRequest("the stream has no reply before its end; read it to the end first")
        return self._reply

    async def __aenter__(self) -> Stream:
        if self._opened:
            raise InvalidRequest("a stream is opened once: ask for another with stream(…)")
        self._opened = True
        self._taken = await self._taking.__aenter__()
        self._engine = self._find_engine()
        self._source = self._engine.stream(self._taken.request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the provider call if it is still going. Calling again does nothing."""
        if self._source is not None:
            source, self._source = self._source, None
            try:
                with suppress(NoProvider):  # the client was closed, and that ended it
                    await self._engine.run(_close(source, self._turn))
            finally:
                await self._taking.__aexit__(None, None, None)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Stream cannot be pickled or copied: it is a call under way. Its reply can be")

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> str:
        if self._source is None:
            if self._reply is not None:
                raise StopAsyncIteration
            raise InvalidRequest("open the stream first: async with stream(…) as s")
        piece = await self._engine.run(_next(self._source, self._turn))
        if isinstance(piece, Reply):
            self._reply = piece
            await self._taken.save(piece)
            await self.aclose()
            raise StopAsyncIteration
        return piece


async def _next(source: AsyncGenerator[str | Reply, None], turn: asyncio.Lock) -> str | Reply:
    async with turn:
        return await anext(source)


async def _close(source: AsyncGenerator[str | Reply, None], turn: asyncio.Lock) -> None:
    async with turn:
        await source.aclose()
