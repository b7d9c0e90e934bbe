"""``supernova keys``: add, list, remove and import API keys. A key is never an argument."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai.cli import master
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Confirmed,
    complete_provider,
    console,
    load,
    print_json,
    read_text,
    vault_for,
)
from supernova_ai.config import Loaded
from supernova_ai.config.fields import Slot as SlotName
from supernova_ai.errors import KeyNotFound
from supernova_ai.keys import Vault, import_environment
from supernova_ai.keys.formats import FIELDS
from supernova_ai.operations import key_entry
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.terminal import inventory_tables

app = typer.Typer(
    help="Add, list, rotate, check, revoke, remove or import API keys; rotate the master key.",
    no_args_is_help=True,
)

Provider = Annotated[
    str, typer.Argument(autocompletion=complete_provider, help="The provider, such as openai.")
]
Slot = Annotated[SlotName, typer.Option(help="The provider's primary or backup key.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--file", help="Read the key from this file.", show_default="a prompt, or standard input"),
]


@contextmanager
def vault_of(loaded: Loaded) -> Iterator[Vault]:
    with Store(loaded.database) as store:
        yield vault_for(store, create=True)


@app.command()
def add(
    provider: Provider,
    config: ConfigPath = None,
    slot: Slot = "primary",
    file: KeyFile = None,
) -> None:
    """Store a key encrypted in a provider's slot, replacing the one before."""
    loaded = load(config)
    providers = loaded.config.providers
    with vault_of(loaded) as vault:
        secret = read_key(loaded, vault, provider, file)
        info = vault.add(provider, slot, secret, any_format=provider in loaded.config.custom_endpoints)
    typer.echo(f"added {info.provider} {info.slot} version {info.version}, fingerprint {info.fingerprint}")
    if provider in providers and slot not in providers[provider].keys:
        typer.echo(f"It is not used: 'providers.{provider}.keys' does not name {slot!r}.", err=True)
    elif provider not in providers and slot != "primary":
        typer.echo(f"It is not used: vault:{provider} is the key in the slot 'primary'.", err=True)


@app.command("list")
def list_(config: ConfigPath = None, json: AsJson = False) -> None:
    """List every version of every key by its fingerprint."""
    with vault_of(load(config)) as vault:
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
    with vault_of(load(config)) as vault:
        if not any((key.provider, key.slot, key.state) == (provider, slot, "active") for key in vault.list()):
            raise KeyNotFound(f"the vault has no {slot} key of {provider}: there is nothing to remove")
        if not yes:
            typer.confirm(f"Remove the {slot} key of {provider}?", abort=True)
        vault.remove(provider, slot)
    typer.echo(f"removed the {slot} key of {provider}")


@app.command("import-env")
def import_env(config: ConfigPath = None) -> None:
    """Copy the keys of the environment and .env into the vault, without deleting the variables."""
    loaded = load(config)
    with vault_of(loaded) as vault:
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
            f"{name} was not imported: the slot has another key, or one that expired or was revoked. To "
            f"replace that, run 'supernova keys rotate'",
            err=True,
        )
    if added:
        typer.echo("Now delete the variables from .env or your shell: the vault is used first.")
    elif not kept:
        typer.echo("nothing to import: no key variable is set, or the vault has these keys already")


app.command("rotate-master")(master.rotate_master)


def read_key(loaded: Loaded, vault: Vault, provider: str, file: Path | None) -> Secret:
    """Read a provider's key, or what a ``vault:NAME`` stands for, from a prompt, standard input or a file."""
    key_entry.check_owner(loaded.config, provider)
    vault.unlock()  # a missing master key is reported before the key is typed
    return key_entry.as_key(loaded.config, provider, _ask(loaded, provider, file))


def _ask(loaded: Loaded, provider: str, file: Path | None) -> str:
    """Read a key. One of several fields is prompted for field by field, or read as a JSON object."""
    if file is not None or not sys.stdin.isatty():
        return read_text(file)
    kind = key_entry.type_of(loaded.config, provider)
    if kind == "vertex_ai":
        raise typer.BadParameter("add it with --file and the JSON file of the service account")
    if kind in FIELDS:
        return json.dumps({name: _prompt(provider, name, must) for name, must in FIELDS[kind].items()})
    text: str = typer.prompt(f"Key of {provider}", hide_input=True)
    return text


def _prompt(provider: str, name: str, must: bool) -> str:
    optional = "" if must else " (empty for none)"
    text: str = typer.prompt(
        f"{name} of {provider}{optional}", hide_input=True, default=None if must else "", show_default=False
    )
    return text.strip()
