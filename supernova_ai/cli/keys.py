"""``supernova keys``: add, list, remove, import and audit API keys. A key is never an argument."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai.cli.options import AsJson, ConfigPath, console, print_json
from supernova_ai.keys import Vault, import_environment, resolve
from supernova_ai.ops import tables
from supernova_ai.secret import Secret
from supernova_ai.store import Store

app = typer.Typer(help="API keys: sealed at rest, shown only by fingerprint.", no_args_is_help=True)

Provider = Annotated[str, typer.Argument(help="openai, anthropic, huggingface, …")]
Slot = Annotated[str, typer.Option(help="primary or backup.")]


@contextmanager
def _vault(config: Path | None) -> Iterator[Vault]:
    with Store(configuration.load(config).database) as store:
        yield Vault(store, lambda: resolve(store, environ=configuration.read_environ(), create=True))


@app.command()
def add(
    provider: Provider,
    config: ConfigPath = None,
    slot: Slot = "primary",
    file: Annotated[
        Path | None, typer.Option("--file", help="Read the key from this file; otherwise prompt or stdin.")
    ] = None,
) -> None:
    """Seal a key in a provider's slot, in place of the one there was."""
    with _vault(config) as vault:
        info = vault.add(provider, slot, _ask(provider, file))
    console.print(f"added {info.provider} {info.slot} version {info.version}, fingerprint {info.fingerprint}")


@app.command("list")
def list_(config: ConfigPath = None, json: AsJson = False) -> None:
    """List the keys by their fingerprints."""
    with _vault(config) as vault:
        rows = vault.list()
    if json:
        print_json(rows)
    elif rows:
        console.print(tables.keys(rows))
    else:
        console.print("no keys yet: supernova keys add <provider>, or supernova keys import-env")


@app.command()
def remove(
    provider: Provider,
    config: ConfigPath = None,
    slot: Slot = "primary",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a slot's key; it cannot be had back."""
    if not yes:
        typer.confirm(f"Remove the {slot} key of {provider}?", abort=True)
    with _vault(config) as vault:
        vault.remove(provider, slot)
    console.print(f"removed the {slot} key of {provider}")


@app.command("import-env")
def import_env(config: ConfigPath = None) -> None:
    """Move the keys of the environment and .env into the vault; the variables stay for you to delete."""
    with _vault(config) as vault:
        added = import_environment(vault, configuration.read_environ())
    for info in added:
        console.print(f"imported {info.provider} {info.slot}, fingerprint {info.fingerprint}")
    if not added:
        console.print("nothing to import: no key variable is set, or the vault has them all")
    else:
        console.print("Now delete them from .env or your shell: the vault is used first.")


@app.command()
def audit(config: ConfigPath = None, json: AsJson = False) -> None:
    """Verify the audit chain and list what happened to keys. Exits with 4 if the chain is broken."""
    with _vault(config) as vault:
        report, events = vault.verify_audit(), vault.audit_events()
    if json:
        print_json({"report": report, "events": events})
    else:
        for event in events:
            console.print(f"{event.at:%Y-%m-%d %H:%M:%S} {event.event} {event.subject} {event.details}")
        console.print(
            f"{report.rows} events, the chain is " + ("whole" if report.ok else f"BROKEN: {report.reason}")
        )
    if not report.ok:
        raise typer.Exit(4)


def _ask(provider: str, file: Path | None) -> Secret:
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{file} cannot be read: {error}", param_hint="--file") from None
    elif sys.stdin.isatty():
        text = typer.prompt(f"Key of {provider}", hide_input=True)
    else:
        text = sys.stdin.read()
    if not text.strip():
        raise typer.BadParameter("no key was given", param_hint="standard input")
    return Secret(text.strip())
