"""Where a server of ours listens: its options, and the socket that no other machine reaches by accident."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from supernova_ai.cli.options import flag
from supernova_ai.config.fields import is_this_machine
from supernova_ai.errors import InvalidRequest

if TYPE_CHECKING:
    import uvicorn

Host = Annotated[str, typer.Option("--host", help="The address to listen at.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any that is free.")]
Certfile = Annotated[
    Path | None, typer.Option("--certfile", help="The TLS certificate, with its chain, as PEM.")
]
Keyfile = Annotated[
    Path | None,
    typer.Option("--keyfile", help="The certificate's key, as PEM.", show_default="in the certfile"),
]
WithoutTls = Annotated[
    bool, flag("--without-tls", help="Listen beyond this machine without TLS: others can read all of it.")
]


def check_reach(
    host: str, certfile: Path | None, keyfile: Path | None, without_tls: bool, *, exposed: str
) -> bool:
    """Return whether only this machine reaches the address.

    Args:
        exposed: what others on the way could read without TLS.

    Raises:
        InvalidRequest: others reach it, without TLS and without having been told that it is meant; or the
            options do not fit together.
    """
    local = is_this_machine(host)
    if not (local or certfile or without_tls):
        raise InvalidRequest(
            f"{host} can be reached from other machines, and others on the way could read {exposed}: give "
            f"--certfile and --keyfile, or --without-tls if something else encrypts"
        )
    if keyfile and not certfile:
        raise InvalidRequest("--keyfile needs --certfile")
    return local


def listening(host: str, port: int) -> socket.socket:
    """Return the socket that a server listens at.

    Raises:
        InvalidRequest: the address is not of this machine, or in use.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InvalidRequest(f"the server cannot listen at {host}, port {port}: {error.strerror}") from None


def as_named(host: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def end_at_signals(server: uvicorn.Server) -> None:
    """Let the server end, with the exit code 0, at the first SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Also for uvicorn's end, when it sends itself the signal again.
        signal.signal(number, server.handle_exit)


def server_settings(app: Any, certfile: Path | None, keyfile: Path | None, **more: Any) -> uvicorn.Config:
    """Return uvicorn's settings for an application, without a log of requests.

    Raises:
        InvalidRequest: the certificate or its key cannot be used.
    """
    import uvicorn

    settings = uvicorn.Config(
        app,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        **more,
    )
    try:
        settings.load()
    except OSError as error:
        raise InvalidRequest(f"the certificate cannot be used: {error.strerror}") from None
    return settings
