"""Fetching an attachment from its address, without letting the address lead into this network."""

from __future__ import annotations

import ipaddress
import socket
import time
from http.client import HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from supernova_ai.errors import InvalidRequest

PATIENCE_S = 10.0
"""How long a server may take to connect, and between two pieces of its answer."""

LONGEST_S = 60.0
"""How long it may take over all of them."""


def fetch(name: str, address: str, most: int) -> bytes:
    """Return what is at an https address, at most so many bytes of it.

    A host of this machine or a private network is refused by the address that was really reached, and
    redirections are not followed: whoever chooses the address must not see what only this machine can.

    Args:
        name: what to call it in messages.

    Raises:
        InvalidRequest: it cannot be had from there.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"{name} has no valid address: {error}") from None
    if parts.scheme != "https" or not host:
        raise InvalidRequest(f"{name} must be at an https:// address")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    connection = HTTPSConnection(host, port, timeout=PATIENCE_S)
    try:
        connection.connect()
        _check_public(name, connection.sock)
        connection.request("GET", f"{path}?{query}" if query else path, headers={"Accept": "*/*"})
        response = connection.getresponse()
        if response.status != 200:
            raise InvalidRequest(f"{name} is not there: {host} answered {response.status}")
        ends, data = time.monotonic() + LONGEST_S, b""
        while len(data) < most and (piece := response.read1(most - len(data))):
            data += piece
            if time.monotonic() > ends:
                raise InvalidRequest(f"{name} cannot be fetched from {host}: it takes over {LONGEST_S:g} s")
        return data
    except (OSError, HTTPException) as error:
        raise InvalidRequest(f"{name} cannot be fetched from {host}: {error}") from None
    finally:
        connection.close()


def _check_public(name: str, reached: socket.socket) -> None:
    peer = ipaddress.ip_address(reached.getpeername()[0].partition("%")[0])
    if not peer.is_global or peer.is_multicast:
        raise InvalidRequest(f"{name} is at {peer}, which is not a public address")
