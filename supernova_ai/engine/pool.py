"""The HTTP client given to LiteLLM for a provider: it sends once, connects in time, reads within reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from supernova_ai.engine.lite import AsyncHTTPHandler

_MOST_BYTES = 32 * 2**20
"""The longest answer that is read: a provider gone mad must not fill the memory."""

_STREAMS = ("text/event-stream", "application/x-ndjson")
_MOST_LINE_BYTES = 2**20
"""The longest line of a stream: its reader looks through all of it again with each piece that comes."""


class Pool(AsyncHTTPHandler):  # type: ignore[misc]  # untyped base
    """One provider's connections.

    LiteLLM's client would send a request again when the connection breaks. Each sending may be charged, so
    each must have a hold of its own: the Router's retry sees to that.

    Args:
        connect: gives the seconds to connect; LiteLLM passes on one timeout for everything.
    """

    def __init__(self, connect: Callable[[], float]) -> None:
        async def bound(request: httpx.Request) -> None:
            request.extensions["timeout"]["connect"] = connect()

        async def cap(response: httpx.Response) -> None:
            streams = response.headers.get("content-type", "").startswith(_STREAMS)
            response.stream = _Capped(response.stream, _MOST_LINE_BYTES if streams else _MOST_BYTES)

        super().__init__(event_hooks={"request": [bound], "response": [cap]})

    async def single_connection_post_request(self, *_: Any, **__: Any) -> Any:
        """Raise the error that LiteLLM is handling when it calls this to send again."""
        raise

    def __del__(self) -> None:
        """Do nothing: ``Router.aclose`` closes it. LiteLLM would, on the loop of whoever collects it."""


class _Capped(httpx.AsyncByteStream):
    """A response's bytes, up to as many as an answer and a line of it can sensibly have."""

    def __init__(self, stream: Any, most_line: int) -> None:
        self._stream = stream
        self._most_line = most_line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = line = 0
        async for piece in self._stream:
            received += len(piece)
            ended = piece.rfind(b"\n")
            line = line + len(piece) if ended < 0 else len(piece) - ended - 1
            if received > _MOST_BYTES:
                raise httpx.ReadError(f"the answer is longer than {_MOST_BYTES // 2**20} MiB")
            if line > self._most_line:
                raise httpx.ReadError(f"a line of the answer is longer than {self._most_line // 2**20} MiB")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
