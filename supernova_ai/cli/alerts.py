"""``supernova alerts``: budget alerts and spending spikes, and a test of their delivery."""

from __future__ import annotations

from dataclasses import asdict
from json import loads
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

app = typer.Typer(
    help="List, test and acknowledge alerts of budgets and spending spikes.", no_args_is_help=True
)

_TEST = Message("A test", "SuperNova AI can send budget and spike alerts to this address.", urgent=False)


@app.command("list")
def list_(
    config: ConfigPath = None,
    all_: Annotated[bool, flag("--all", "-a", help="Also list acknowledged alerts.")] = False,
    json: AsJson = False,
) -> None:
    """Check for a spike, then list the alerts that are not acknowledged, oldest first."""
    loaded = configuration.load(config)
    with Store(loaded.database) as store:
        spikes.record_spike(store, loaded.config.alerts.spike, now_ms=store.now_ms())
        rows = store.read(lambda database: outbox.list_alerts(database, acknowledged=all_))
    alerts = [(row, AlertEvent.of(row, loaded.config.all_budgets), loads(row.detail or "{}")) for row in rows]
    if json:
        print_json(
            [
                asdict(event)
                | {"state": row.state, "tries": row.tries, "delivery": delivery}
                | event.message()._asdict()
                for row, event, delivery in alerts
            ]
        )
        return
    for row, event, delivery in alerts:
        tries = f", tried {row.tries} times" if row.tries > 1 else ""
        typer.echo(f"#{event.id}  {event.at.astimezone():%Y-%m-%d %H:%M}  {row.state}{tries}")
        typer.echo(f"    {event.message().text}")
        for name, result in delivery.items():
            if result != "sent":
                typer.echo(f"    {name}: {result}")
    if not alerts:
        typer.echo("no alerts")


@app.command("test")
def send_test(config: ConfigPath = None) -> None:
    """Send a test message to every URL of alerts.notify, and exit with 1 if one does not accept it."""
    loaded = configuration.load(config)
    if not loaded.config.alerts.notify:
        raise ConfigError("alerts have no address: add an Apprise URL to 'alerts.notify'")
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


@app.command("ack")
def acknowledge(
    config: ConfigPath = None,
    ids: Annotated[
        list[int] | None, typer.Argument(help="Numbers from 'supernova alerts list'.", show_default=False)
    ] = None,
    all_: Annotated[bool, flag("--all", "-a", help="Acknowledge all alerts.")] = False,
) -> None:
    """Acknowledge alerts, so that they are no longer listed or sent."""
    if bool(ids) == all_:
        raise typer.BadParameter("give the numbers of alerts, or --all")
    loaded = configuration.load(config)
    with Store(loaded.database) as store:
        known = {
            row.id for row in store.read(lambda database: outbox.list_alerts(database, acknowledged=True))
        }
        if unknown := sorted(set(ids or ()) - known):
            raise typer.BadParameter(
                f"there is no alert {', '.join(map(str, unknown))}: see 'supernova alerts list'"
            )
        count = store.write(lambda database: outbox.acknowledge(database, ids or None)).result()
    typer.echo(f"acknowledged {count}")
