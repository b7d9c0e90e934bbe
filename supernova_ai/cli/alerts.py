"""``supernova alerts``: budget alerts, spending spikes and notices, and a test of their delivery."""

from __future__ import annotations

from dataclasses import asdict
from json import loads
from typing import Annotated

import typer
from peewee import Database

from supernova_ai.alerts import acknowledging, outbox, spikes
from supernova_ai.alerts.channels import channels
from supernova_ai.alerts.outbox import AlertEvent, Message
from supernova_ai.cli.options import AsJson, ConfigPath, flag, load, print_json, vault_for
from supernova_ai.errors import ConfigError
from supernova_ai.keys.audited_store import Record
from supernova_ai.secret import Secret
from supernova_ai.store import Store

app = typer.Typer(
    help="List, test and acknowledge alerts of budgets, spending spikes, keys, configuration and jobs.",
    no_args_is_help=True,
)

_TEST = Message("A test", "SuperNova AI can send alerts to this address.", urgent=False)


@app.command("list")
def list_(
    config: ConfigPath = None,
    all_: Annotated[bool, flag("--all", "-a", help="Also list acknowledged alerts.")] = False,
    json: AsJson = False,
) -> None:
    """Check for a spike, then list the alerts that are not acknowledged, oldest first."""
    loaded = load(config)
    with Store(loaded.database) as store:
        spikes.record_spike(store, loaded.config.alerts.spike, now_ms=store.now_ms())
        rows = store.read(lambda database: outbox.list_alerts(database, acknowledged=all_))
    alerts = [(row, AlertEvent.of(row, loaded.config.all_budgets), loads(row.detail or "{}")) for row in rows]
    if json:
        print_json(
            [
                {name: value for name, value in asdict(event).items() if name != "notice"}
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
    loaded = load(config)
    urls, verify_tls = loaded.config.alerts.notify, loaded.config.verify_tls
    if not urls:
        raise ConfigError("alerts have no address: add an Apprise URL to 'alerts.notify'")
    with Store(loaded.database) as store:
        vault = vault_for(store)

        def reveal(name: str) -> Secret:
            return vault.reveal(name, "primary")

        outcomes = {}
        for address in channels(urls, reveal, verify_tls=verify_tls):
            reason = address.send(_TEST)
            typer.echo(f"{address.name}: {'sent' if reason is None else f'FAILED: {reason}'}")
            outcomes[address.name] = reason or "done"

        def note(_: Database, record: Record) -> None:
            for name, outcome in outcomes.items():
                record("alerts.tested", name, outcome=outcome)

        vault.audited(note)
    if set(outcomes.values()) != {"done"}:
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
    loaded = load(config)
    with Store(loaded.database) as store:
        count = acknowledging.acknowledge(vault_for(store), ids or ())
    typer.echo(f"acknowledged {count}")
