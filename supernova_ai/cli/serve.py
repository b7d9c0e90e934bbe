"""``supernova serve``: OpenAI's API over the configured models, until it is stopped."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from supernova_ai.cli.listening import (
    Certfile,
    Host,
    Keyfile,
    Port,
    WithoutTls,
    as_named,
    check_reach,
    end_at_signals,
    listening,
    server_settings,
)
from supernova_ai.cli.options import ConfigPath, client, flag, read_text
from supernova_ai.config import read_environ
from supernova_ai.config.network import LOOPBACK_HOSTS
from supernova_ai.errors import InvalidRequest
from supernova_ai.paths import access_fault
from supernova_ai.serve import VARIABLE


def serve(
    config: ConfigPath = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help="A file with the token, which only you may read.",
            show_default="SUPERNOVA_SERVE_TOKEN, else a new token",
        ),
    ] = None,
    certfile: Certfile = None,
    keyfile: Keyfile = None,
    without_tls: WithoutTls = False,
    open_metrics: Annotated[
        bool, flag("--open-metrics", help="Answer /metrics without the token: it shows costs.")
    ] = False,
) -> None:
    """Serve OpenAI's API over the configured models until stopped; clients send the token as API key."""
    from supernova_ai.serve import create_app  # first: it says what to install
    from supernova_ai.serve.server import GRACE_S, Server

    local = check_reach(host, certfile, keyfile, without_tls, exposed="the token and all messages")
    given = _given_token(token_file)
    token = given or secrets.token_hex(24)
    with closing(client(config, service=True)) as nova, closing(listening(host, port)) as listener:
        shown = as_named(host)
        hosts = (*LOOPBACK_HOSTS, shown) if local else None
        app = create_app(nova, token=token, hosts=hosts, open_metrics=open_metrics)
        # A client that does not read its answer is disconnected.
        settings = server_settings(app, certfile, keyfile, timeout_graceful_shutdown=2 * GRACE_S)
        server = Server(settings, nova)
        asyncio.run(nova.warm_up())  # what is wrong here is an error of the command
        end_at_signals(server)
        scheme = "https" if certfile else "http"
        typer.echo(f"listening at {scheme}://{shown}:{listener.getsockname()[1]}/v1", err=True)
        if not given:
            typer.echo(f"the token, which clients send as their API key: {token}", err=True)
        server.run(sockets=[listener])


def _given_token(file: Path | None) -> str | None:
    """Return the token of the file or the environment, None if there is none.

    Raises:
        InvalidRequest: others may read the file.
    """
    if file is None:
        return read_environ().get(VARIABLE)
    if fault := access_fault(file, private=True):
        raise InvalidRequest(f"the token file {fault.reason}: `{fault.remedy}`")
    return read_text(file).strip()
