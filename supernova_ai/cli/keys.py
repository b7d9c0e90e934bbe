"""``supernova keys``: add, list, remove, import and audit API keys. A key is never an argument."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Confirmed,
    complete_provider,
    console,
    print_json,
    read_text,
)
from supernova_ai.config import Loaded
from supernova_ai.config.fields import VAULT_PREFIX
from supernova_ai.config.fields import Slot as SlotName
from supernova_ai.errors import KeyNotFound
from supernova_ai.keys import Vault, import_environment, resolve
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.terminal import inventory_tables

app = typer.Typer(help="Add, list, remove, import or audit API keys.", no_args_is_help=True)

Provider = Annotated[
    str, typer.Argument(autocompletion=complete_provider, help="The provider, such as openai.")
]
Slot = Annotated[SlotName, typer.Option(help="The provider's primary or backup key.")]


@contextmanager
def _vault(loaded: Loaded) -> Iterator[Vault]:
    with Store(loaded.database) as store:
        yield Vault(store, lambda: resolve(store, environ=configuration.read_environ(), create=True))


@app.command()
def add(
    provider: Provider,
    config: ConfigPath = None,
    slot: Slot = "primary",
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="Read the key from this file.", show_default="a prompt, or standard input"
        ),
    ] = None,
) -> None:
    """Store a key encrypted in a provider's slot, replacing the one before."""
    loaded = configuration.load(config)
    providers = loaded.config.providers
    notified = [
        url.removeprefix(VAULT_PREFIX) for url in loaded.config.alerts.notify if url.startswith(VAULT_PREFIX)
    ]
    known = (*providers, *notified)
    if provider not in known:
        raise typer.BadParameter(
            f"{provider!r} is not configured; use one of: {', '.join(known)}, or add it under 'providers'",
            param_hint="PROVIDER",
        )
    with _vault(loaded) as vault:
        vault.unlock()  # a missing master key is reported before the key is typed
        secret = _read_key(provider, file)
        if provider in notified and "://" not in secret.reveal():
            raise typer.BadParameter(
                f"vault:{provider} must be an Apprise URL such as mailto://… or slack://…"
            )
        info = vault.add(provider, slot, secret, any_format=provider in loaded.config.custom_endpoints)
    typer.echo(f"added {info.provider} {info.slot} version {info.version}, fingerprint {info.fingerprint}")
    if provider in providers and slot not in providers[provider].keys:
        typer.echo(f"It is not used: 'providers.{provider}.keys' does not name {slot!r}.", err=True)
    elif provider not in providers and slot != "primary":
        typer.echo(f"It is not used: vault:{provider} is the key in the slot 'primary'.", err=True)


@app.command("list")
def list_(config: ConfigPath = None, json: AsJson = False) -> None:
    """List every version of every key by its fingerprint."""
    with _vault(configuration.load(config)) as vault:
        rows = vault.list()
    if json:
        print_json(rows)
    elif rows:
        console.print(inventory_tables.keys(rows))
    else:
        typer.echo("no keys yet: supernova keys add <provider>, or supernova keys import-env")


@app.command()
def remove(
    provider: Provider, config: ConfigPath = None, slot: Slot = "primary", yes: Confirmed = False
) -> None:
    """Revoke a slot's key and wipe it, for ever."""
    with _vault(configuration.load(config)) as vault:
        if not any((key.provider, key.slot, key.state) == (provider, slot, "active") for key in vault.list()):
            raise KeyNotFound(f"the vault has no {slot} key of {provider}: there is nothing to remove")
        if not yes:
            typer.confirm(f"Remove the {slot} key of {provider}?", abort=True)
        vault.remove(provider, slot)
    typer.echo(f"removed the {slot} key of {provider}")


@app.command("import-env")
def import_env(config: ConfigPath = None) -> None:
    """Copy the keys of the environment and .env into the vault, without deleting the variables."""
    loaded = configuration.load(config)
    with _vault(loaded) as vault:
        added, kept = import_environment(
            vault,
            configuration.read_environ(),
            loaded.config.providers,
            custom_endpoints=loaded.config.custom_endpoints,
        )
    for info in added:
        typer.echo(f"imported {info.provider} {info.slot}, fingerprint {info.fingerprint}")
    for name in kept:
        typer.echo(
            f"{name} differs from the key in the vault, which stays: to replace it, run 'supernova keys add'",
            err=True,
        )
    if added:
        typer.echo("Now delete the variables from .env or your shell: the vault is used first.")
    elif not kept:
        typer.echo("nothing to import: no key variable is set, or the vault has these keys already")


@app.command()
def audit(config: ConfigPath = None, json: AsJson = False) -> None:
    """Verify the audit chain and list what happened to keys, and exit with 4 if the chain is broken."""
    with _vault(configuration.load(config)) as vault:
        report, events = vault.verify_audit(), vault.audit_events()
    if json:
        print_json({"report": report, "events": events})
    else:
        for event in events:
            typer.echo(f"{event.at:%Y-%m-%d %H:%M:%S %Z} {event.event} {event.subject} {event.details}")
        state = "intact" if report.ok else f"BROKEN: {report.reason}"
        typer.echo(f"{report.rows} events, the chain is {state}")
    if not report.ok:
        raise typer.Exit(4)


def _read_key(provider: str, file: Path | None) -> Secret:
    if file is None and sys.stdin.isatty():
        text = typer.prompt(f"Key of {provider}", hide_input=True)
    else:
        text = read_text(file)
    if not text.strip():
        raise typer.BadParameter("the key is empty")
    return Secret(text.strip())
