"""``supernova dashboard``: the pages in a browser, until it is stopped; and who may see them."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import typer

from supernova_ai.audit import current_actor
from supernova_ai.cli import dashboard_users
from supernova_ai.cli.cost_options import zone
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
from supernova_ai.cli.options import ConfigPath, flag, load, runs_subcommand
from supernova_ai.config import Loaded
from supernova_ai.config.fields import is_this_machine
from supernova_ai.config.network import LOOPBACK_HOSTS
from supernova_ai.errors import ConfigError, InvalidRequest, StoreError, SupernovaError
from supernova_ai.log import get_logger
from supernova_ai.reload.watcher import Watcher, fingerprint
from supernova_ai.store import ReadOnlyStore

log = get_logger(__name__)

app = typer.Typer()
app.add_typer(dashboard_users.app, name="users")

_GENERATED = "Generated data"

_LOWER_PRIORITY = 10
"""How much later than callers on the same machine the operating system serves the dashboard, as ``nice``."""


@app.callback(invoke_without_command=True)
def dashboard(
    context: typer.Context,
    config: ConfigPath = None,
    host: Host = "127.0.0.1",
    port: Port = 8766,
    open_: Annotated[bool, flag("--open", help="Open it in the browser.")] = False,
    demo: Annotated[bool, flag("--demo", help="Show generated data, and nothing of yours.")] = False,
    read_only: Annotated[
        bool, flag("--read-only", help="Offer no controls: nothing can be changed from it.")
    ] = False,
    time_zone: Annotated[
        ZoneInfo | None,
        typer.Option(
            "--time-zone",
            parser=zone,
            metavar="NAME",
            help="The time zone of all times.",
            show_default="jobs.time_zone",
        ),
    ] = None,
    trusted_host: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-host",
            metavar="NAME",
            help="A name by which browsers reach it from other machines; may be repeated.",
            show_default="the host",
        ),
    ] = None,
    certfile: Certfile = None,
    keyfile: Keyfile = None,
    without_tls: WithoutTls = False,
) -> None:
    """Show providers, money and errors in a browser until stopped; the printed link signs in once."""
    if runs_subcommand(context):
        return
    from supernova_ai.dashboard import check_extra

    check_extra()
    import uvicorn

    from supernova_ai.cli.app import forbid_core_dumps
    from supernova_ai.dashboard.access import Access, Role
    from supernova_ai.dashboard.application import create_app
    from supernova_ai.dashboard.controls.processes import Processes
    from supernova_ai.dashboard.vault_access import Unrecorded

    local = check_reach(host, certfile, keyfile, without_tls, exposed="the session")
    hosts = _hosts(host, local, trusted_host)
    with (
        _loaded(config, demo) as in_force,
        closing(listening(host, port)) as listener,
        closing(Processes(config, prepare=forbid_core_dumps)) as processes,
    ):
        loaded, access = in_force(), Access()
        if address := loaded.config.dashboard.address:
            hosts.append(as_named(urlsplit(address).hostname or ""))
        try:
            store = ReadOnlyStore(loaded.database)
        except StoreError as error:
            error.add_note("`supernova dashboard --demo` shows generated data.")
            raise
        _check_users(loaded, store, reached=not local or not all(map(is_this_machine, hosts)))
        app = create_app(
            store,
            lambda: in_force().config,
            access,
            hosts=hosts,
            time_zone=time_zone or ZoneInfo(loaded.config.jobs.time_zone),
            notice=_GENERATED if demo else "",
            secure=certfile is not None,
            vault=Unrecorded(loaded.database) if demo else None,
            processes=None if demo or read_only else processes,
        )
        server = uvicorn.Server(server_settings(app, certfile, keyfile, timeout_graceful_shutdown=2))
        end_at_signals(server)
        scheme = "https" if certfile else "http"
        token = access.link_token(current_actor().name, Role.ADMIN)
        link = f"{scheme}://{as_named(host)}:{listener.getsockname()[1]}/sign-in?token={token}"
        if hasattr(os, "nice"):  # not on Windows
            os.nice(_LOWER_PRIORITY)
        typer.echo(f"the dashboard; this link signs in once:\n{link}", err=True)
        if open_:
            webbrowser.open(link)
        server.run(sockets=[listener])


def _check_users(loaded: Loaded, store: ReadOnlyStore, *, reached: bool) -> None:
    """Check that who signs in can be recorded; and that production has users, if other machines reach it.

    Raises:
        ConfigError: it has none.
        ExtraMissing: single sign-on is configured, and its libraries are not installed.
    """
    from supernova_ai.dashboard import check_sso_extra
    from supernova_ai.dashboard.users import every_user
    from supernova_ai.dashboard.vault_access import VaultAccess

    users, issuer = store.read(every_user), loaded.config.dashboard.oidc.issuer
    if issuer:
        check_sso_extra()
    if reached and not users and not issuer and loaded.config.environment == "production":
        raise ConfigError(
            "production refuses a dashboard without users that other machines reach: add one with `supernova "
            "dashboard users add NAME --role viewer`, or set 'dashboard.oidc'"
        )
    if users or issuer:
        try:
            VaultAccess(loaded.database).check()
        except SupernovaError as error:
            typer.echo(f"only the link signs in, because sign-ins cannot be recorded: {error}", err=True)


def _hosts(host: str, local: bool, trusted: Sequence[str] | None) -> list[str]:
    """Return the names in the header ``Host`` that are answered."""
    if local:
        return [*LOOPBACK_HOSTS, as_named(host), *(trusted or ())]
    if not trusted and host in ("0.0.0.0", "::"):  # noqa: S104 - it is looked for
        raise InvalidRequest(
            f"{host} is every address of this machine: say by which name browsers reach it, as "
            f"--trusted-host dashboard.example"
        )
    return list(trusted or [as_named(host)])


@contextmanager
def _loaded(path: Path | None, demo: bool) -> Iterator[Callable[[], Loaded]]:
    """Yield what returns the configuration in force: that of the files as they are now, or of the demo."""
    if demo:
        from supernova_ai.demo.generated_ledger import generated_ledger

        with generated_ledger() as generated:
            yield lambda: generated
        return
    followed = _Followed(path)
    with closing(followed):
        yield lambda: followed.loaded


class _Followed:
    """The configuration of files that are edited meanwhile; after a wrong edit, the one before it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.loaded = load(path)
        seen = fingerprint(self.loaded, self.loaded.texts)
        self._watcher = Watcher(lambda: self.loaded, seen, self._edited)
        self.close = self._watcher.close

    def _edited(self) -> None:
        try:
            self.loaded = load(self._path)
        except ConfigError as error:
            log.warning("dashboard.config.refused", reason=str(error))
