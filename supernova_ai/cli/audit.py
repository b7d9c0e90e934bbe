"""``supernova audit``: list, verify and export the record of all operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from supernova_ai import __version__
from supernova_ai.audit import AuditEvent
from supernova_ai.audit.export import to_cef, to_json
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Confirmed,
    load,
    print_json,
    search_option,
    since_option,
    vault_for,
)
from supernova_ai.keys import Vault
from supernova_ai.store import Store

app = typer.Typer(help="List, verify or export the record of all operations.", no_args_is_help=True)


Since = Annotated[datetime | None, since_option("Only operations since then, in UTC.", "all")]


@contextmanager
def _vault(config: Path | None) -> Iterator[Vault]:
    with Store(load(config).database) as store:
        yield vault_for(store)


@app.command("list")
def list_(
    config: ConfigPath = None,
    by: Annotated[str | None, search_option("--by", help="Only operations of this user.")] = None,
    since: Since = None,
    json: AsJson = False,
) -> None:
    """List operations as they were recorded, oldest first, in UTC."""
    with _vault(config) as vault:
        events = vault.audit_events(actor=by, since_ms=_milliseconds(since))
        if json:
            _print_array(events)
            return
        nothing = "no operation matches" if by or since else "no operation was recorded"
        for event in events:
            nothing = ""
            outcome = "" if event.outcome in ("done", "") else f" FAILED: {event.outcome}"
            who = f"{event.actor} ({event.source}) " if event.actor else ""
            details = f" ({event.details_line})" if event.details_line else ""
            typer.echo(f"{event.at:%Y-%m-%d %H:%M:%S} {who}{event.event} {event.subject}{details}{outcome}")
        if nothing:
            typer.echo(nothing)


@app.command()
def verify(config: ConfigPath = None, json: AsJson = False) -> None:
    """Check every row, the end of the chain and its anchor, and exit with 4 if something was changed."""
    with _vault(config) as vault:
        report = vault.verify_audit()
    if json:
        print_json(report)
    else:
        state = "intact" if report.ok else f"BROKEN: {report.reason}"
        typer.echo(f"{report.rows:,} operations, the chain is {state}")
        if report.anchor:
            typer.echo(f"compared with {report.anchor}")
        elif report.rows:
            typer.echo("there is no anchor on this machine: an earlier state of the database looks intact")
    if not report.ok:
        raise typer.Exit(4)


@app.command()
def export(
    config: ConfigPath = None,
    format_: Annotated[
        Literal["jsonl", "cef"], typer.Option("--format", help="JSON lines, or the Common Event Format.")
    ] = "jsonl",
    since: Since = None,
) -> None:
    """Print operations for other programs, one a line, oldest first."""
    with _vault(config) as vault:
        for event in vault.audit_events(since_ms=_milliseconds(since)):
            typer.echo(to_json(event) if format_ == "jsonl" else to_cef(event, __version__))


@app.command()
def accept(config: ConfigPath = None, yes: Confirmed = False) -> None:
    """Accept the database as it is, after a backup was restored: the anchor moves to its chain's end."""
    with _vault(config) as vault:
        if not yes:
            typer.confirm("Was the database put back on purpose?", abort=True)
        vault.accept_audit()
    typer.echo("accepted: the anchor is at the end of the chain")


def _print_array(events: Iterator[AuditEvent]) -> None:
    """Print JSON row by row: there may be a million."""
    separator = "["
    for event in events:
        typer.echo(f"{separator}{to_json(event)}", nl=False)
        separator = ",\n "
    typer.echo("[]" if separator == "[" else "]")


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)
