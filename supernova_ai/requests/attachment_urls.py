"""Fetching an attachment from its https address, if that is an address of the public internet."""

from __future__ import annotations

import ipaddress
import math
import socket
import ssl
import time
from collections.abc import Sequence
from http.client import HTTPException, HTTPSConnection, IncompleteRead
from typing import Any
from urllib.parse import quote, urlsplit

from supernova_ai.config.network import check_key_log
from supernova_ai.errors import InvalidRequest
from supernova_ai.log import get_logger

log = get_logger(__name__)

TIMEOUT_S = 10.0
"""How long a server may take to connect, and between two pieces of its answer."""

TOTAL_S = 60.0
"""How long the whole fetch may take, once the host is resolved."""

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""The IPv6 addresses of the internet; others may contain an IPv4 address, as 64:ff9b::/96 does."""

_REFUSED = [ipaddress.ip_network(net) for net in ("2002::/16", "3fff::/20", "192.88.99.0/24", "192.0.0.0/24")]
"""6to4, documentation and protocol assignments, which some versions of Python call global."""


def fetch(name: str, address: str, max_bytes: int) -> bytes:
    """Return the content of an https address, at most so many bytes of it.

    The host is resolved once. All its addresses are checked, and only these are connected to, so a name that
    resolves to another address a moment later has no effect. Redirects are not followed. All reasons why the
    server cannot be reached give the same error, so that it does not reveal hosts and ports of this network;
    the log has the reason.

    Args:
        name: the attachment's name in messages.

    Raises:
        InvalidRequest: the content cannot be fetched.
        ConfigError: no TLS connection can be made in this environment.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"{name} has no valid address: {error}") from None
    if parts.scheme != "https" or not host:
        raise InvalidRequest(f"{name} must be at an https:// address")
    check_key_log()
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    connection, ends = None, math.inf
    try:
        found = _public_addresses(host, port or 443)
        ends = time.monotonic() + TOTAL_S
        connection = _Connection(host, port or 443, found, ends)
        connection.connect()
        connection.request("GET", f"{path}?{query}" if query else path, headers={"Accept": "*/*"})
        response = connection.getresponse()
        if response.status != 200:
            raise InvalidRequest(f"{name} is not there: {host} answered {response.status}")
        data = b""
        while len(data) < max_bytes and (piece := response.read1(max_bytes - len(data))):
            data += piece
        if response.length and len(data) < max_bytes:  # read1 does not report that the connection was cut
            raise IncompleteRead(data, response.length)
        return data
    except (OSError, HTTPException, UnicodeError) as error:
        log.info("attachments.address.failed", host=host, reason=str(error))
        if time.monotonic() >= ends:
            raise InvalidRequest(
                f"{name} cannot be fetched from {host}: it takes longer than {TOTAL_S:g} s"
            ) from None
        raise InvalidRequest(
            f"{name} cannot be fetched from {host}: it must be a server with a public address that answers "
            f"https with a valid certificate"
        ) from None
    finally:
        if connection is not None:
            connection.close()


class _Connection(HTTPSConnection):
    """A connection to a host at addresses that were checked; the certificate must be the host's.

    It works until ``ends`` on the monotonic clock.
    """

    def __init__(self, host: str, port: int, addresses: Sequence[str], ends: float) -> None:
        self._tls = ssl.create_default_context()
        self._tls.sslsocket_class = _TimedSocket
        super().__init__(host, port, context=self._tls)
        self._addresses, self._ends = addresses, ends

    def connect(self) -> None:
        for number, address in enumerate(self._addresses, 1):
            try:
                plain = socket.create_connection((address, self.port), _step_s(self._ends))
            except OSError:
                if number == len(self._addresses):
                    raise
                continue
            try:
                timed: Any = self._tls.wrap_socket(plain, server_hostname=self.host)
            except BaseException:
                plain.close()
                raise
            timed.ends, self.sock = self._ends, timed
            return


class _TimedSocket(ssl.SSLSocket):
    """A socket that sends and receives until ``ends`` on the monotonic clock."""

    ends = math.inf

    def recv_into(self, *given: Any) -> int:
        self.settimeout(_step_s(self.ends))
        return super().recv_into(*given)

    def send(self, *given: Any) -> int:
        self.settimeout(_step_s(self.ends))
        return super().send(*given)


def _step_s(ends: float) -> float:
    """Return how many seconds the next step may take.

    Raises:
        TimeoutError: no time is left.
    """
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return min(TIMEOUT_S, left)


def _public_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of the host.

    Raises:
        OSError: it has no address, or one that is not public.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    for address in addresses:
        if not is_public(address):
            raise OSError(f"{address} is not a public address")
    return addresses


def is_public(address: str) -> bool:
    """Say whether a numeric address is one of the internet and contains no other address."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in _REFUSED)
