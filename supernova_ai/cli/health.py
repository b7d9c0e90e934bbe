"""``supernova health``: the state of each deployment, kinds of failures, probes and uptime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai import health
from supernova_ai.characters import counted
from supernova_ai.cli.options import (
    MOST_DAYS,
    AsJson,
    ConfigPath,
    client,
    console,
    flag,
    load,
    print_json,
    runs_subcommand,
)
from supernova_ai.config import Loaded
from supernova_ai.health import DeploymentHealth, Note, Per
from supernova_ai.keys import records
from supernova_ai.operations import key_checks
from supernova_ai.store import Store
from supernova_ai.terminal import health_tables
from supernova_ai.terminal.stacked_table import StackedTable
from supernova_ai.types import Probe

app = typer.Typer()

_HOUR_MS = 3_600_000

Hours = Annotated[int, typer.Option(min=1, max=24 * MOST_DAYS, help="How many hours back.")]


@app.callback(invoke_without_command=True)
def health_(
    context: typer.Context,
    config: ConfigPath = None,
    hours: Hours = 1,
    watch: Annotated[bool, flag("--watch", "-w", help="Redraw every second, until Ctrl-C.")] = False,
    all_: Annotated[bool, flag("--all", "-a", help="Also show what does not fit the screen.")] = False,
    json: AsJson = False,
) -> None:
    """Show each deployment's state, last failure, success rate and latency, the worst first."""
    if runs_subcommand(context):
        return
    if watch and json:
        raise typer.BadParameter("--watch draws a table: leave out --json, or --watch")
    loaded = load(config)
    with Store(loaded.database) as store:
        if json:
            rows = _deployments(store, hours, store.now_ms())
            print_json([asdict(row) | {"success_rate": row.success_rate} for row in rows])
        elif watch:
            console.animate(_table(loaded, store, hours)[0] for _ in ticks())
        else:
            table, left_out = _table(loaded, store, hours, most=None if all_ else _rows_of_screen())
            console.print(table)
            if left_out:
                typer.echo(f"and {left_out} in a better state; see them with --all")
            if names := key_checks.providers_without_key(loaded.config, _filled_slots(loaded, store)):
                typer.echo(f"no key: {', '.join(names)}\nadd one: supernova keys add {names[0]}")


@app.command()
def errors(config: ConfigPath = None, hours: Hours = 24, json: AsJson = False) -> None:
    """Show kinds of failures, most frequent first, ignoring ids and numbers in their messages."""
    with Store(load(config).database) as store:
        now_ms = store.now_ms()
        since_ms = now_ms - hours * _HOUR_MS
        found = store.read(partial(health.patterns, since_ms=since_ms, now_ms=now_ms))
    if json:
        print_json([asdict(row) | _note(row.error) for row in found])
    elif not found:
        typer.echo(f"no failures in {_period(hours)}")
    else:
        console.print(health_tables.patterns(found, now_ms=now_ms))
        for error in dict.fromkeys(row.error for row in found):
            if note := health.NOTES.get(error):
                console.print(health_tables.note(error, note))


def _note(error: str) -> dict[str, str | None]:
    note = health.NOTES.get(error)
    return note._asdict() if note else dict.fromkeys(Note._fields)


@app.command()
def check(
    config: ConfigPath = None,
    pay: Annotated[bool, flag("--pay", help="Request one token where a provider has no free probe.")] = False,
    json: AsJson = False,
) -> None:
    """Probe every provider now with each of its keys, and exit with 1 if none is healthy."""
    found = asyncio.run(_probe(config, pay))
    if json:
        print_json(found)
    else:
        console.print(health_tables.probes(found))
    if not any(probe.result == "ok" for probe in found):
        raise typer.Exit(1)


@app.command()
def uptime(
    config: ConfigPath = None,
    days: Annotated[
        int, typer.Option("--days", "-d", min=1, max=MOST_DAYS, help="How many days back, today included.")
    ] = 7,
    per: Annotated[Per, typer.Option(help="Length of a period.")] = "day",
    json: AsJson = False,
) -> None:
    """Show the share of attempts that each provider did not fail, by days or hours of UTC."""
    with Store(load(config).database) as store:
        today = store.now_ms() // (24 * _HOUR_MS)
        since_ms = (today - days + 1) * 24 * _HOUR_MS
        found = store.read(lambda database: health.uptime(database, since_ms=since_ms, per=per))
    if json:
        print_json([asdict(row) | {"uptime": row.share} for row in found])
    elif not found:
        typer.echo(f"no attempts in the last {counted(days, 'day')}")
    else:
        console.print(health_tables.uptimes(found, per=per))


async def _probe(config: Path | None, pay: bool) -> list[Probe]:
    async with client(config) as nova:
        return await nova.probe(pay=pay)


def ticks(every_s: int = 1) -> Iterator[None]:
    """Yield now, and then every so many seconds, for ever."""
    while True:
        yield
        time.sleep(every_s)


def _table(
    loaded: Loaded, store: Store, hours: int, most: int | None = None
) -> tuple[StackedTable | str, int]:
    """Return the table, or a sentence if there are no attempts; and the number of rows it leaves out."""
    now_ms = store.now_ms()
    rows = _deployments(store, hours, now_ms)
    if not rows:
        return f"no attempts in {_period(hours)}", 0
    table = health_tables.deployments(
        f"Health over {_period(hours)}",
        rows[:most],
        without_key=_slots_without_key(loaded, store),
        now_ms=now_ms,
    )
    return table, len(rows[most:]) if most else 0


def _deployments(store: Store, hours: int, now_ms: int) -> list[DeploymentHealth]:
    return store.read(partial(health.deployments, now_ms=now_ms, window_s=hours * 3600))


def _rows_of_screen() -> int | None:
    """Return how many rows of two lines fit below the headings; None if the output is not a terminal."""
    return max(1, (console.height - 7) // 2) if console.is_terminal else None


def _slots_without_key(loaded: Loaded, store: Store) -> set[tuple[str, str | None]]:
    """Return the providers and key slots that have no key."""
    filled = _filled_slots(loaded, store)
    slots = ((name, slot) for name, provider in loaded.config.providers.items() for slot in provider.keys)
    return {slot for slot in slots if slot not in filled}


def _filled_slots(loaded: Loaded, store: Store) -> set[tuple[str, str]]:
    keys = store.read(records.all_versions)
    return key_checks.filled_slots(loaded.config, keys, configuration.read_environ(), store.now_ms())


def _period(hours: int) -> str:
    return "the last hour" if hours == 1 else f"the last {hours} hours"
