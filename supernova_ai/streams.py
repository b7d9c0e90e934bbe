"""The stream of an answer, readable from any asyncio event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self

from supernova_ai.errors import InvalidRequest, NoProvider
from supernova_ai.execution.pump import Pump
from supernova_ai.log import in_request
from supernova_ai.requests.structured import partial
from supernova_ai.sessions import PreparedRequest
from supernova_ai.traces import RequestSpan, answered
from supernova_ai.types import Reply, T

if TYPE_CHECKING:
    from supernova_ai.execution.engine import Engine


class Stream(Generic[T]):
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
        self._source: Pump[str | Reply] | None = None
        self._taken: deque[str | Reply] = deque()
        self._reply: Reply[T] | None = None
        self._opened = False
        self._read: list[str] = []

    @property
    def partial(self) -> Any:
        """What a structured answer has so far, as JSON types; None before its first value.

        The last text in it may be cut. It is not checked: ``reply.parsed`` is. After the end it is that of
        ``reply``, also where the text of the stream did not fit and the model was asked once more.
        """
        return partial("".join(self._read) if self._reply is None else self._reply.content)

    @property
    def request_id(self) -> str:
        """The id of the request in the ledger.

        Raises:
            InvalidRequest: the stream was not opened.
        """
        if not self._opened:
            raise InvalidRequest("open the stream first: async with stream(…) as s")
        return self._prepared.request.id

    @property
    def reply(self) -> Reply[T]:
        """The finished answer.

        Raises:
            InvalidRequest: the stream was not read to its end.
        """
        if self._reply is None:
            raise InvalidRequest("the stream has no reply before its end; read it to the end first")
        return self._reply

    async def __aenter__(self) -> Self:
        if self._opened:
            raise InvalidRequest("a stream is opened once: call stream(…) for another")
        self._opened = True
        self._prepared = await self._preparing.__aenter__()
        self._engine = self._get_engine()
        self._span = RequestSpan(self._prepared.request)
        self._source = Pump(self._engine.stream(self._prepared.request))
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
                # Closing the client may have ended the call.
                with suppress(NoProvider), in_request(self._prepared.request), self._span.entered():
                    await self._engine.run(source.close())
            finally:
                self._span.end()
                await self._preparing.__aexit__(None, None, None)

    def _no_token(self) -> Exception:
        """Return why there is no token: the end of the answer, or what the caller did wrong."""
        if self._reply is not None:
            return StopAsyncIteration()
        if self._opened:
            return InvalidRequest("the stream is closed: call stream(…) for another")
        return InvalidRequest("open the stream first: async with stream(…) as s")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Stream cannot be pickled or copied: copy its reply instead")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if self._source is None:
            raise self._no_token()
        if not self._taken:
            with in_request(self._prepared.request), self._span.entered():
                self._taken.extend(await self._engine.run(self._source.take()))
        if not self._taken:  # it was closed meanwhile, or another task has read its end
            raise self._no_token()
        piece = self._taken.popleft()
        if isinstance(piece, Reply):
            with self._span.entered():
                answered(piece.cost)
            self._reply = piece
            await self._prepared.save(piece)
            await self.aclose()
            raise StopAsyncIteration
        self._read.append(piece)
        return piece
