"""``supernova costs export`` and ``files``: attempts and reports, written to files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TextIO

import typer
from peewee import Database

from supernova_ai.characters import counted
from supernova_ai.cli.cost_options import (
    UTC,
    TagOnly,
    TeamOnly,
    Zone,
    day_option,
    last_days,
    open_ledger,
    writable,
)
from supernova_ai.cli.options import ConfigPath, one_tag
from supernova_ai.reports import export, files
from supernova_ai.reports.periods import Period
from supernova_ai.terminal.output import Terminal

app = typer.Typer()


@app.command("export")
def export_(
    config: ConfigPath = None,
    format: Annotated[export.Format, typer.Option(help="csv for spreadsheets, json for scripts.")] = "csv",  # noqa: A002
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write.", show_default="standard output")
    ] = None,
    since: Annotated[datetime | None, day_option("The first day.", "30 days back")] = None,
    until: Annotated[datetime | None, day_option("The last day.", "today")] = None,
    team: TeamOnly = None,
    tag: TagOnly = None,
    time_zone: Zone = UTC,
) -> None:
    """Write the rows of all attempts that are not archived, oldest first."""
    tagged = one_tag(tag)
    with open_ledger(config) as (_, store):
        month = last_days(30, datetime.fromtimestamp(store.now(), time_zone))
        start = since.replace(tzinfo=time_zone) if since else month.start
        end = until.replace(tzinfo=time_zone) + timedelta(days=1) if until else month.end
        if start >= end:
            raise typer.BadParameter(f"--since is {start.date()}, which is after --until")

        def write(
            database: Database, file: TextIO, progress: Callable[[int, int], object] = lambda *_: None
        ) -> int:
            period = Period("", start, end)
            rows = export.attempt_rows(database, period, team=team, tag=tagged, on_progress=progress)
            return export.write_rows(export.ATTEMPT_COLUMNS, rows, file, format)

        if out is None:
            store.read(lambda database: write(database, sys.stdout))
            return
        bar = Terminal(stderr=True).bar("Writing days")
        with writable(out), files.atomic_file(out) as file, bar as progress:
            count = store.read(lambda database: write(database, file, progress))
    typer.echo(f"wrote {counted(count, 'attempt')} to {out}")


@app.command("files")
def files_(
    folder: Annotated[Path, typer.Option(help="The folder of the files; created if missing.")],
    config: ConfigPath = None,
    time_zone: Zone = UTC,
) -> None:
    """Write the daily, weekly and monthly report files that are due and missing, as a cron job."""
    with open_ledger(config) as (_, store), writable(folder):
        for path in files.write_due(store, folder, now=store.now(), time_zone=time_zone.key):
            typer.echo(path)
