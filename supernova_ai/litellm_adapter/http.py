"""HTTP clients for LiteLLM: they send once, connect in time, follow no redirect and limit what they read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import wraps
from typing import Any

import httpx
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
from litellm.llms.openai.common_utils import BaseOpenAILLM

from supernova_ai.inflate import Inflater
from supernova_ai.litellm_adapter.answer_json import normalize_response
from supernova_ai.litellm_adapter.key_transport import KeyTransport
from supernova_ai.litellm_adapter.listeners import has_listeners
from supernova_ai.secret import redact

_ERROR = re.compile(rb'"error"\s*:\s*[{"]')
"""An error in the middle of an answer. In the text of an answer its quotes would be escaped."""

_MAX_BYTES = 32 * 2**20
"""The longest answer that is read, decompressed: a faulty provider must not fill the memory."""

_MAX_ERROR_BYTES = 2**16
"""How much of an error is read: LiteLLM searches all of it for secrets, which takes seconds per megabyte."""

_INFLATED = ("gzip", "x-gzip", "deflate")
_COMPRESSED = (*_INFLATED, "br", "zstd", "compress", "x-compress", "dcb", "dcz")

_STREAMS = ("text/event-stream", "application/x-ndjson")
_MAX_LINE_BYTES = 2**20
"""The longest line of a stream: its reader searches the whole line again with each piece."""


def harden(client: Any) -> Any:
    """Have an httpx client follow no redirect and limit what it reads; returns the client.

    A redirect would send the key, and with 307 and 308 the prompt, to a server that is not configured.
    """
    client.follow_redirects = False
    if isinstance(client, httpx.AsyncClient) and _limit_response not in client.event_hooks["response"]:
        client.headers["accept-encoding"] = "gzip"
        client.event_hooks = {
            "request": client.event_hooks["request"],
            "response": [*client.event_hooks["response"], _limit_response, normalize_response],
        }
    return client


async def _limit_response(response: httpx.Response) -> None:
    streams = response.headers.get("content-type", "").startswith(_STREAMS)
    max_line = _MAX_LINE_BYTES if streams else _MAX_BYTES
    # Decompressed here, within the limit: httpx would inflate a whole piece before its size is known.
    encoding = response.headers.pop("content-encoding", "identity").strip().lower()
    max_bytes = None if response.is_success else _MAX_ERROR_BYTES
    response.stream = _LimitedStream(response.stream, encoding, max_line, max_bytes)
    if not response.is_success:
        await _redact_body(response)
    if not response.is_success or has_listeners():
        response.headers = httpx.Headers([(name, redact(value)) for name, value in response.headers.items()])


def _hardened(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def hardened(*args: Any, **kwargs: Any) -> Any:
        return harden(make(*args, **kwargs))

    return hardened


# Also the clients that LiteLLM makes itself, for providers that do not accept ours.
AsyncHTTPHandler.create_client = _hardened(AsyncHTTPHandler.create_client)
HTTPHandler.create_client = _hardened(HTTPHandler.create_client)
BaseOpenAILLM._get_async_http_client = staticmethod(_hardened(BaseOpenAILLM._get_async_http_client))


def redirection(response: httpx.Response) -> str | None:
    """Say where an answer redirects to, without the address's path and query; None if it does not.

    They may contain a secret.
    """
    if not 300 <= response.status_code < 400:
        return None
    try:
        to = response.request.url.join(response.headers.get("location", ""))
        place = f"{to.scheme}://{to.netloc.decode()}"
    except (httpx.InvalidURL, ValueError):
        place = "an address that cannot be read"
    return (
        f"it redirects to {place} (HTTP {response.status_code}), and redirects are not followed, because "
        f"the key would go there too; if that server is right, set 'api_base' to it"
    )


class Pool(AsyncHTTPHandler):  # type: ignore[misc]  # untyped base
    """One provider's connections.

    LiteLLM's client would send a request again when the connection breaks. Both may be charged, and each
    needs a hold of its own, so only the Router's retries send again.

    Args:
        connect: returns the seconds to connect; LiteLLM passes one timeout for the whole request.
    """

    def __init__(self, connect: Callable[[], float]) -> None:
        async def bound(request: httpx.Request) -> None:
            request.extensions["timeout"]["connect"] = connect()

        super().__init__(event_hooks={"request": [bound]})

    def create_client(self, *args: Any, **kwargs: Any) -> httpx.AsyncClient:
        """Return LiteLLM's client with transports that send the keys."""
        client: httpx.AsyncClient = super().create_client(*args, **kwargs)
        client._transport = KeyTransport(client._transport)
        client._mounts = {
            to: transport and KeyTransport(transport) for to, transport in client._mounts.items()
        }
        return client

    async def single_connection_post_request(self, *_: Any, **__: Any) -> Any:
        """Raise the error again for which LiteLLM would send a second time."""
        raise

    def __del__(self) -> None:
        """Do nothing: ``Router.aclose`` closes it. LiteLLM would close it on whatever loop runs then."""


async def _redact_body(refusal: httpx.Response) -> None:
    """Redact an error answer that repeats a key: LiteLLM passes its words to every callback."""
    body = b""
    with suppress(httpx.HTTPError, httpx.StreamError):  # the status is enough
        body = await refusal.aread()
    refusal._content = _redacted(body)


def _redacted(text: bytes) -> bytes:
    return redact(text.decode(errors="surrogateescape")).encode(errors="surrogateescape")


class _LimitedStream(httpx.AsyncByteStream):
    """A response's bytes, decompressed, within the limits for an answer and for a line of it.

    Args:
        max_bytes: the rest after so many bytes is not read; None reads all.
    """

    def __init__(self, stream: Any, encoding: str, max_line: int, max_bytes: int | None) -> None:
        self._stream = stream
        self._encoding = encoding
        self._max_line = max_line
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decode = _decoder(self._encoding)
        received = line = 0
        async for raw in self._pieces():
            for piece in decode(raw):
                received += len(piece)
                ended = piece.rfind(b"\n")
                line = line + len(piece) if ended < 0 else len(piece) - ended - 1
                if received > _MAX_BYTES:
                    raise httpx.ReadError(f"the answer is longer than {_MAX_BYTES // 2**20} MiB")
                if line > self._max_line:
                    raise httpx.ReadError(
                        f"a line of the answer is longer than {self._max_line // 2**20} MiB"
                    )
                yield _redacted(piece) if _ERROR.search(piece) else piece
                if self._max_bytes is not None and received >= self._max_bytes:
                    return

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield what arrives. Before a broken connection, also what aiohttp had received but not yielded."""
        try:
            async for piece in self._stream:
                yield piece
        except Exception:
            if unread := _unread(self._stream):
                yield unread
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()


def _decoder(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    """Return a function that decompresses the pieces of an answer one by one."""
    if encoding not in _COMPRESSED and "," not in encoding:
        return lambda piece: iter((piece,))  # some servers send a charset here
    if encoding not in _INFLATED:
        raise httpx.ReadError(f"the answer is compressed as {encoding!r:.40}, and only gzip was asked for")
    inflater = Inflater()

    def decode(piece: bytes) -> Iterator[bytes]:
        try:
            yield from inflater.feed(piece)
        except ValueError as error:
            raise httpx.ReadError(str(error)) from None

    return decode


def _unread(stream: Any) -> bytes:
    """Return the bytes of a broken response that aiohttp received and did not yield yet."""
    # httpx wraps the stream.
    response = getattr(getattr(stream, "_stream", None), "_aiohttp_response", None)
    return b"" if response is None else bytes(response.content._read_nowait(-1))
