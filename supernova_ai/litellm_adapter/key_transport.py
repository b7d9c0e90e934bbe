"""The transport that puts keys on requests: LiteLLM and its callbacks have only placeholders for them.

Once a request has a connection, for which it may have waited, the transport asks whether its key may still be
sent.
"""

from __future__ import annotations

import re
import uuid
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
import httpx
from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport
from litellm.llms.vertex_ai.vertex_llm_base import VertexBase

from supernova_ai.keys.formats import fields_of
from supernova_ai.litellm_adapter.request_signing import signed_headers
from supernova_ai.secret import Secret

MayBeSent = Callable[[], Awaitable[bool]]
"""Asked just before a request is sent: whether its key may still be sent."""

_OAUTH = "sk-ant-oat01-"  # Anthropic's keys with this prefix go in another header
_PLACEHOLDER = re.compile(rb"(?:sk-ant-oat01-)?placeholder-[0-9a-f]{32}")

_keys: weakref.WeakValueDictionary[bytes, Secret] = weakref.WeakValueDictionary()
_checks: weakref.WeakKeyDictionary[Secret, MayBeSent] = weakref.WeakKeyDictionary()
_regions: weakref.WeakKeyDictionary[Secret, str] = weakref.WeakKeyDictionary()
_to_check: ContextVar[list[MayBeSent]] = ContextVar("to_check")
"""The checks of the keys in the request that this task sends."""


class KeyNotSent(httpx.TransportError):
    """The key of a request was revoked before the request was sent; nothing was sent."""


def placeholder_for(key: Secret, may_be_sent: MayBeSent | None = None, region: str = "") -> str:
    """Return a placeholder for LiteLLM, which is replaced by the key as long as the ``Secret`` lives.

    Args:
        may_be_sent: asked just before a request with the key is sent.
        region: where the requests go, if the key is one of AWS's.
    """
    if may_be_sent is not None:
        _checks[key] = may_be_sent
    _regions[key] = region
    prefix = _OAUTH if key.reveal().startswith(_OAUTH[:10]) else ""
    name = f"{prefix}placeholder-{uuid.uuid4().hex}"
    _keys[name.encode()] = key
    return name


def _patch_vertex() -> None:
    """Have LiteLLM send a placeholder to Vertex AI, and fetch no token for it."""
    sync, asynchronous = VertexBase.get_access_token, VertexBase.get_access_token_async

    def get(self: Any, credentials: Any, project_id: str | None) -> Any:
        return (
            (credentials, project_id) if _is_placeholder(credentials) else sync(self, credentials, project_id)
        )

    async def get_async(self: Any, credentials: Any, project_id: str | None) -> Any:
        if _is_placeholder(credentials):
            return credentials, project_id
        return await asynchronous(self, credentials, project_id)

    VertexBase.get_access_token, VertexBase.get_access_token_async = get, get_async


def _is_placeholder(text: object) -> bool:
    return isinstance(text, str) and _PLACEHOLDER.fullmatch(text.encode()) is not None


_patch_vertex()


class KeyTransport(httpx.AsyncBaseTransport):
    """Sends a copy of each request with the keys, or what they sign, in place of their placeholders.

    The request itself, which errors refer to, has no key.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        if isinstance(transport, LiteLLMAiohttpTransport):
            make = transport._client_factory

            def checking() -> aiohttp.ClientSession:
                session: aiohttp.ClientSession = make()
                session._request_class = _CheckedRequest
                return session

            transport.client = transport._client_factory = checking

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request with its keys; raises ``KeyNotSent`` if one was revoked meanwhile."""
        filled = _with_keys(request)
        filled.extensions = {**filled.extensions, "trace": _check_before_headers}  # of httpx's own transport
        return await self._transport.handle_async_request(filled)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


class _CheckedRequest(aiohttp.ClientRequest):
    """Asks whether its key may be sent once it has a connection."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        await _check_keys()
        return await super().send(conn)


async def _check_before_headers(event: str, _: Any) -> None:
    if event.endswith("send_request_headers.started"):
        await _check_keys()


async def _check_keys() -> None:
    for may_be_sent in _to_check.get():
        if not await may_be_sent():
            raise KeyNotSent("its key was revoked before the request was sent")


def _with_keys(request: httpx.Request) -> httpx.Request:
    """Return a copy with the keys, and note what is to be asked before it is sent."""
    _to_check.set([])
    try:
        body: dict[str, Any] = {"content": request.content}
    except httpx.RequestNotRead:
        body = {"stream": request.stream}
    address = str(request.url).encode()
    signing: dict[Secret, dict[str, str]] = {}
    filled = _with_key(address, signing)
    copy = httpx.Request(
        request.method,
        request.url if filled == address else filled.decode(),  # not parsed again if it has no key
        headers=[(name, _with_key(value, signing)) for name, value in request.headers.raw],
        extensions=request.extensions,
        **body,
    )
    for secret, fields in signing.items():
        copy.headers.update(signed_headers(fields, copy, _regions[secret]))
    return copy


def _with_key(value: bytes, signing: dict[Secret, dict[str, str]]) -> bytes:
    """Replace placeholders by their keys; one of several fields is added to ``signing`` instead."""

    def key(found: re.Match[bytes]) -> bytes:
        secret = _keys.get(found[0])
        if secret is None:
            return found[0]
        if may_be_sent := _checks.get(secret):
            _to_check.get().append(may_be_sent)
        if (fields := fields_of(secret)) is not None:
            signing[secret] = fields
            return found[0]
        return secret.reveal().encode()

    return _PLACEHOLDER.sub(key, value)
