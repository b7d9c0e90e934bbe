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
            most_line = _MOST_LINE_BYTES if streams else _MOST_BYTES
            response.stream = _Capped(
                response.stream, most_line, _MOST_SAID_BYTES if response.is_error else None
            )

        super().__init__(event_hooks={"request": [bound], "response": [cap]})

    async def single_connection_post_request(self, *_: Any, **__: Any) -> Any:
        """Raise the error that LiteLLM is handling when it calls this to send again."""
        raise

    def __del__(self) -> None:
        """Do nothing: ``Router.aclose`` closes it. LiteLLM would, on the loop of whoever collects it."""


_MOST_SAID_BYTES = 2**16
"""What is read of an error: LiteLLM looks through all of it for secrets, for seconds per megabyte."""


class _Capped(httpx.AsyncByteStream):
    """A response's bytes, up to as many as an answer and a line of it can sensibly have.

    Args:
        enough: bytes after which the rest is left; None: all of it is wanted.
    """

    def __init__(self, stream: Any, most_line: int, enough: int | None) -> None:
        self._stream = stream
        self._most_line = most_line
        self._enough = enough

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = line = 0
        async for piece in self._pieces():
            received += len(piece)
            ended = piece.rfind(b"\n")
            line = line + len(piece) if ended < 0 else len(piece) - ended - 1
            if received > _MOST_BYTES:
                raise httpx.ReadError(f"the answer is longer than {_MOST_BYTES // 2**20} MiB")
            if line > self._most_line:
                raise httpx.ReadError(f"a line of the answer is longer than {self._most_line // 2**20} MiB")
            yield piece
            if self._enough is not None and received >= self._enough:
                return

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield what comes, and before a break what had come by then: aiohttp tells of the break first."""
        try:
            async for piece in self._stream:
                yield piece
        except Exception:
            if unread := _unread(self._stream):
                yield unread
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()


def _unread(stream: Any) -> bytes:
    """Return what aiohttp has received of a response that broke, and nobody read. httpx wraps its stream."""
    response = getattr(getattr(stream, "_stream", None), "_aiohttp_response", None)
    return b"" if response is None else bytes(response.content._read_nowait(-1))
