"""``supernova run``, ``maintain`` and ``jobs``: scheduled work, by one process or by cron."""

from __future__ import annotations

import signal
from queue import SimpleQueue
from typing import Annotated

import typer

from supernova_ai.cli.options import AsJson, ConfigPath, console, flag, load, print_json
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.leader import current_holder
from supernova_ai.operations.jobs.once import maintain as maintain_once
from supernova_ai.operations.jobs.overview import overview
from supernova_ai.operations.jobs.service import Event, Service
from supernova_ai.reload.watcher import Watcher, fingerprint
from supernova_ai.store import Store
from supernova_ai.terminal import job_tables

_EVENTS: dict[str, Event] = {"SIGTERM": "stop", "SIGINT": "stop", "SIGHUP": "signal"}  # no SIGHUP on Windows


def run(config: ConfigPath = None) -> None:
    """Run the scheduled jobs until stopped; of several such processes on one database, one runs them."""
    events: SimpleQueue[Event] = SimpleQueue()  # its put may be called in a signal handler
    for name, event in _EVENTS.items():
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_, event=event: events.put(event))
    with Store(load(config, terminal=False).database) as store:
        service = Service(store, lambda: load(config, terminal=False), events)
        seen = fingerprint(service.loaded, service.loaded.texts)
        watcher = Watcher(lambda: service.loaded, seen, lambda: events.put("watch"))
        try:
            service.run()
        finally:
            watcher.close()


def maintain(
    job: Annotated[
        list[str] | None, typer.Argument(help="Jobs to run now.", show_default="those that are due")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Run the jobs that are due once, or the named ones, and exit with 1 if one failed; for cron."""
    loaded = load(config)
    with Store(loaded.database) as store:
        results = maintain_once(store, loaded, job or ())
        if results is None:
            holder = store.read(current_holder)
            typer.echo(f"{holder.name if holder else 'another process'} runs the jobs")
            if not job:
                return
            typer.echo(f"it was asked to run {', '.join(job)}, and has not done so yet: see 'supernova jobs'")
            raise typer.Exit(1)
        rows = store.read(runner.rows)
    for name, succeeded in results.items():
        typer.echo(f"{name}: {'' if succeeded else 'FAILED: '}{rows[name].outcome}")
    if not results:
        typer.echo("no job is due")
    if not all(results.values()):
        raise typer.Exit(1)


def jobs(
    config: ConfigPath = None,
    check: Annotated[bool, flag("--check", help="Exit with 1 if no process leads.")] = False,
    json: AsJson = False,
) -> None:
    """List the scheduled jobs: last and next run, duration, outcome, and which process leads."""
    loaded = load(config)
    with Store(loaded.database) as store:
        found = store.read(lambda database: overview(database, loaded.config))
    if json:
        print_json(found)
    else:
        console.print(job_tables.jobs(found.jobs))
        for state in found.jobs:
            if state.state == "failed":
                typer.echo(f"{state.name} failed: {state.outcome}")
        typer.echo(f"leads: {found.leader or 'no process; start one with `supernova run`'}")
    if check and found.leader is None:
        raise typer.Exit(1)
