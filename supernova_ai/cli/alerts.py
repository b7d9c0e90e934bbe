"""``supernova alerts``: what the budgets and the spike watch have told, and whether telling works."""

from __future__ import annotations

import json as text
from dataclasses import asdict
from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai.alerts import outbox, spikes
from supernova_ai.alerts.channels import channels
from supernova_ai.alerts.outbox import AlertEvent, Message
from supernova_ai.cli.options import AsJson, ConfigPath, flag, print_json
from supernova_ai.errors import ConfigError
from supernova_ai.keys import Vault, resolve
from supernova_ai.secret import Secret
from supernova_ai.store import Store

app = typer.Typer(help="Budgets that passed a threshold, and spikes.", no_args_is_help=True)

_TEST = Message("A test", "SuperNova AI can reach you here: budgets and spikes will be told.", urgent=False)


@app.command("list")
def list_(
    config: ConfigPath = None,
    all_: Annotated[bool, flag("--all", "-a", help="Acknowledged ones too.")] = False,
    json: AsJson = False,
) -> None:
    """List the alerts that nobody has acknowledged, oldest first; looks for a spike before."""
    loaded = configuration.load(config)
    with Store(loaded.database) as store:
        spikes.record_spike(store, loaded.config.alerts.spike, now_ms=store.now_ms())
        rows = store.read(lambda database: outbox.list_alerts(database, acknowledged=all_))
    events = [
        (row, AlertEvent.of(row, loaded.config.all_budgets), text.loads(row.detail or "{}")) for row in rows
    ]
    if json:
        print_json(
            [
                asdict(event)
                | {"state": row.state, "tries": row.tries, "delivery": delivery}
                | event.message()._asdict()
                for row, event, delivery in events
            ]
        )
        return
    for row, event, delivery in events:
        tries = f", tried {row.tries} times" if row.tries > 1 else ""
        typer.echo(f"#{event.id}  {event.at.astimezone():%Y-%m-%d %H:%M}  {row.state}{tries}")
        typer.echo(f"    {event.message().text}")
        for name, said in delivery.items():
            if said != "sent":
                typer.echo(f"    {name}: {said}")
    if not events:
        typer.echo("no alerts")


@app.command("test")
def try_(config: ConfigPath = None) -> None:
    """Send a test message to every URL of alerts.notify. Exits with 1 if one did not take it."""
    loaded = configuration.load(config)
    if not loaded.config.alerts.notify:
        raise ConfigError("nobody is told of alerts: name an Apprise URL under 'alerts.notify'")
    with Store(loaded.database) as store:
        vault = Vault(store, lambda: resolve(store, environ=configuration.read_environ()))

        def reveal(name: str) -> Secret:
            return vault.reveal(name, "primary")

        failed = 0
        for address in channels(loaded.config.alerts.notify, reveal):
            reason = address.send(_TEST)
            typer.echo(f"{address.name}: {'sent' if reason is None else f'FAILED: {reason}'}")
            failed += reason is not None
    if failed:
        raise typer.Exit(1)


@app.command()
def ack(
    config: ConfigPath = None,
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of `alerts list`.")] = None,
    all_: Annotated[bool, flag("--all", "-a", help="All of them.")] = False,
) -> None:
    """Acknowledge alerts: they are not listed any more, and not sent if they were not yet."""
    if bool(ids) == all_:
        raise typer.BadParameter("name the alerts, or give --all")
    loaded = configuration.load(config)
    with Store(loaded.database) as store:
        known = {
            row.id for row in store.read(lambda database: outbox.list_alerts(database, acknowledged=True))
        }
        if unknown := sorted(set(ids or ()) - known):
            raise typer.BadParameter(f"there is no alert {', '.join(map(str, unknown))}: see `alerts list`")
        count = store.write(lambda database: outbox.acknowledge(database, ids or None)).result()
    typer.echo(f"acknowledged {count}")
