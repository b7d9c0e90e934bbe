"""HTTP clients for LiteLLM: they send once, connect in time, follow no redirect and read within reason.

A client that is given to LiteLLM also puts the key on the request, as that leaves: LiteLLM, and whoever
listens to it, has only a stand-in.
"""

from __future__ import annotations

import re
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import wraps
from typing import Any

import httpx
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
from litellm.llms.openai.common_utils import BaseOpenAILLM

from supernova_ai.inflate import Inflater
from supernova_ai.litellm_adapter.answer_json import read_answer
from supernova_ai.litellm_adapter.listeners import has_listeners
from supernova_ai.secret import Secret, redact

_OAUTH = "sk-ant-oat01-"  # LiteLLM sends these of Anthropic's keys in another header
_STAND_IN = re.compile(rb"(?:sk-ant-oat01-)?stand-in-[0-9a-f]{32}")
_ERROR = re.compile(rb'"error"\s*:\s*[{"]')
"""An error inside an answer that began well. In the text of an answer its quotes would be escaped."""

_keys: weakref.WeakValueDictionary[bytes, Secret] = weakref.WeakValueDictionary()


def stand_in(key: Secret) -> str:
    """Return what to give LiteLLM in the key's place; a ``Pool`` sends the key while the ``Secret`` lives."""
    prefix = _OAUTH if key.reveal().startswith(_OAUTH[:10]) else ""
    name = f"{prefix}stand-in-{uuid.uuid4().hex}"
    _keys[name.encode()] = key
    return name


_MOST_BYTES = 32 * 2**20
"""The longest answer that is read, decompressed: a provider gone mad must not fill the memory."""

_MOST_SAID_BYTES = 2**16
"""What is read of an error: LiteLLM looks through all of it for secrets, for seconds per megabyte."""

_INFLATED = ("gzip", "x-gzip", "deflate")
_COMPRESSED = (*_INFLATED, "br", "zstd", "compress", "x-compress", "dcb", "dcz")

_STREAMS = ("text/event-stream", "application/x-ndjson")
_MOST_LINE_BYTES = 2**20
"""The longest line of a stream: its reader looks through all of it again with each piece that comes."""


def guard(client: Any) -> Any:
    """Return the httpx client, which from now on follows no redirect and reads no more than is sensible.

    A redirect would take the key, and with 307 and 308 the prompt, to a server that nobody configured.
    """
    client.follow_redirects = False
    if isinstance(client, httpx.AsyncClient) and _cap not in client.event_hooks["response"]:
        client.headers["accept-encoding"] = "gzip"
        client.event_hooks = {
            "request": client.event_hooks["request"],
            "response": [*client.event_hooks["response"], _cap, read_answer],
        }
    return client


async def _cap(response: httpx.Response) -> None:
    streams = response.headers.get("content-type", "").startswith(_STREAMS)
    most_line = _MOST_LINE_BYTES if streams else _MOST_BYTES
    # Decompressed here, bounded: httpx would inflate a whole piece at once before anybody could count.
    encoding = response.headers.pop("content-encoding", "identity").strip().lower()
    enough = None if response.is_success else _MOST_SAID_BYTES
    response.stream = _Capped(response.stream, encoding, most_line, enough)
    if not response.is_success:
        await _hide_keys(response)
    if not response.is_success or has_listeners():
        response.headers = httpx.Headers([(name, redact(value)) for name, value in response.headers.items()])


def _guarded(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return guard(make(*args, **kwargs))

    return guarded


# Also the clients that LiteLLM makes for itself, for providers that cannot be given ours.
AsyncHTTPHandler.create_client = _guarded(AsyncHTTPHandler.create_client)
HTTPHandler.create_client = _guarded(HTTPHandler.create_client)
BaseOpenAILLM._get_async_http_client = staticmethod(_guarded(BaseOpenAILLM._get_async_http_client))


def redirection(response: httpx.Response) -> str | None:
    """Say where an answer redirects to, without what may be secret in the address; None if it does not."""
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

    LiteLLM's client would send a request again when the connection breaks. Each sending may be charged, so
    each must have a hold of its own: the Router's retry sees to that.

    Args:
        connect: gives the seconds to connect; LiteLLM passes on one timeout for everything.
    """

    def __init__(self, connect: Callable[[], float]) -> None:
        async def bound(request: httpx.Request) -> None:
            request.extensions["timeout"]["connect"] = connect()

        super().__init__(event_hooks={"request": [bound]})

    def create_client(self, *args: Any, **kwargs: Any) -> httpx.AsyncClient:
        """Return LiteLLM's client, with every way out of it putting the keys on."""
        client: httpx.AsyncClient = super().create_client(*args, **kwargs)
        client._transport = _Keyed(client._transport)
        client._mounts = {to: way and _Keyed(way) for to, way in client._mounts.items()}
        return client

    async def single_connection_post_request(self, *_: Any, **__: Any) -> Any:
        """Raise the error that LiteLLM is handling when it calls this to send again."""
        raise

    def __del__(self) -> None:
        """Do nothing: ``Router.aclose`` closes it. LiteLLM would, on the loop of whoever collects it."""


class _Keyed(httpx.AsyncBaseTransport):
    """Sends a copy of each request with the keys for their stand-ins, so that no error leads to a key."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(_with_keys(request))

    async def aclose(self) -> None:
        await self._transport.aclose()


def _with_keys(request: httpx.Request) -> httpx.Request:
    try:
        body: dict[str, Any] = {"content": request.content}
    except httpx.RequestNotRead:
        body = {"stream": request.stream}
    address = str(request.url).encode()
    with_key = _filled(address)
    return httpx.Request(
        request.method,
        request.url if with_key == address else with_key.decode(),  # parsed once where it can be
        headers=[(name, _filled(value)) for name, value in request.headers.raw],
        extensions=request.extensions,
        **body,
    )


def _filled(value: bytes) -> bytes:
    def key(found: re.Match[bytes]) -> bytes:
        secret = _keys.get(found[0])
        return secret.reveal().encode() if secret else found[0]

    return _STAND_IN.sub(key, value)


async def _hide_keys(refusal: httpx.Response) -> None:
    """Take out of an answer the key that it repeats: LiteLLM shows its words to all who listen."""
    body = b""
    with suppress(httpx.HTTPError, httpx.StreamError):  # its status says enough
        body = await refusal.aread()
    refusal._content = _without_keys(body)


def _without_keys(words: bytes) -> bytes:
    return redact(words.decode(errors="surrogateescape")).encode(errors="surrogateescape")


class _Capped(httpx.AsyncByteStream):
    """A response's bytes, decompressed, up to as many as an answer and a line of it can sensibly have.

    Args:
        enough: bytes after which the rest is left; None: all of it is wanted.
    """

    def __init__(self, stream: Any, encoding: str, most_line: int, enough: int | None) -> None:
        self._stream = stream
        self._encoding = encoding
        self._most_line = most_line
        self._enough = enough

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decode = _decoder(self._encoding)
        received = line = 0
        async for raw in self._pieces():
            for piece in decode(raw):
                received += len(piece)
                ended = piece.rfind(b"\n")
                line = line + len(piece) if ended < 0 else len(piece) - ended - 1
                if received > _MOST_BYTES:
                    raise httpx.ReadError(f"the answer is longer than {_MOST_BYTES // 2**20} MiB")
                if line > self._most_line:
                    raise httpx.ReadError(
                        f"a line of the answer is longer than {self._most_line // 2**20} MiB"
                    )
                yield _without_keys(piece) if _ERROR.search(piece) else piece
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


def _decoder(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    """Return what decompresses the pieces of an answer one by one."""
    if encoding not in _COMPRESSED and "," not in encoding:
        return lambda piece: iter((piece,))  # some servers name a charset here
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
    """Return what aiohttp has received of a response that broke, and nobody read. httpx wraps its stream."""
    response = getattr(getattr(stream, "_stream", None), "_aiohttp_response", None)
    return b"" if response is None else bytes(response.content._read_nowait(-1))
