"""``supernova costs``: what was spent, what is held, how the budgets stand, and how they will end."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO
from zoneinfo import ZoneInfo

import typer
from peewee import Database

from supernova_ai import config as configuration
from supernova_ai.cli.options import (
    MOST_DAYS,
    MOST_ROWS,
    AsJson,
    ConfigPath,
    console,
    leaves_to_subcommand,
    print_json,
    searchable,
)
from supernova_ai.config import Loaded
from supernova_ai.ledger import swept_ledger
from supernova_ai.ledger.budgets import describe
from supernova_ai.ledger.leases import processes_with_other_budgets
from supernova_ai.money import to_usd
from supernova_ai.reports import breakdown, export, files
from supernova_ai.reports import status as reports
from supernova_ai.reports.breakdown import Grouping, ReportLine, lines
from supernova_ai.reports.forecast import forecast
from supernova_ai.reports.periods import Per, Period, latest_periods
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, StuckEndRow
from supernova_ai.terminal import cost_tables

app = typer.Typer()

_MONEY = {"held", "cost", "settled", "lost", "limit"}


def _zone(name: str | ZoneInfo) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))  # typer gives the default too
    except (ValueError, OSError, KeyError):  # what ZoneInfo raises depends on how wrong the name is
        raise typer.BadParameter(f"{name!r} is not a time zone; use a name such as Europe/Paris") from None


_UTC = ZoneInfo("UTC")
_DATE = ["%Y-%m-%d"]
_FIRST, _LAST = datetime(1970, 1, 2), datetime(2999, 12, 31)

# A report takes a moment for each of its days: ten years of them are enough.
Days = Annotated[
    int, typer.Option("--days", "-d", min=1, max=3660, help="How many days back, today included.")
]
Zone = Annotated[
    ZoneInfo, typer.Option("--time-zone", parser=_zone, metavar="NAME", help="Whose days they are.")
]


@app.callback(invoke_without_command=True)
def costs(
    context: typer.Context,
    config: ConfigPath = None,
    days: Annotated[int, typer.Option("--days", "-d", min=1, max=MOST_DAYS, help="How many days back.")] = 30,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, max=MOST_ROWS, help="How many of the latest attempts.")
    ] = 10,
    request: Annotated[
        str | None, typer.Option(callback=searchable, help="Only the attempts of this request.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", callback=searchable, help="Only this user's budgets and attempts."),
    ] = None,
    users: Annotated[
        int, typer.Option(min=1, max=MOST_ROWS, help="How many users of each budget, the most used first.")
    ] = 5,
    json: AsJson = False,
) -> None:
    """Show how full the budgets are, totals per model and the latest attempts."""
    if leaves_to_subcommand(context):
        return
    with _ledger(config) as (loaded, store):
        now = datetime.fromtimestamp(store.now(), _UTC)
        span = Period(f"last {days} days", now - timedelta(days=days), now)
        since_ms = int(span.start.timestamp() * 1000)

        def read(
            database: Database,
        ) -> tuple[list[Any], list[ReportLine], list[AttemptRow], list[Any], list[Any]]:
            limits = loaded.config.all_budgets
            standings = reports.budget_statuses(
                database, limits, now=now.timestamp(), user=user, most=None if json else users
            )
            latest = reports.latest_attempts(
                database, limit=limit, since_ms=since_ms, request=request, user=user
            )
            by: Grouping = "model" if user is None else "user"
            stuck = list(StuckEndRow.select().execute(database))
            others = processes_with_other_budgets(database, describe(limits), now_ms=store.now_ms())
            return list(standings), lines(database, span, by, user=user), latest, stuck, list(others)

        standings, totals, latest, stuck, others = store.read(read)
    for process, names in others:
        typer.echo(
            f"warning: process {process.pid} on {process.host.split()[0]} keeps other budgets than this "
            f"configuration: {', '.join(names)}. Each process keeps its own limits only; give all the same",
            err=True,
        )
    if request is not None and not latest and limit:
        raise typer.BadParameter(f"request {request!r} has no attempts in the last {days} days")
    if json:
        print_json(
            {
                "budgets": [_plain(asdict(row), _MONEY) for row in standings],
                "totals": [_plain(asdict(row), {"cost"}) for row in totals],
                "attempts": [_plain(dict(row.__data__), {"cost", "held"}) for row in latest],
                "set_aside": [{"attempt": row.attempt, "reason": row.reason} for row in stuck],
            }
        )
        return
    console.print(cost_tables.budgets(standings))
    for budget, count in {row.budget: row.subjects for row in standings if row.subjects > users}.items():
        typer.echo(f"{budget}: {users} of {count:,} users; see one with --user NAME, or more with --users N")
    if stuck:
        typer.echo(
            f"\nthe database refused the ends of {len(stuck)} attempts: their holds stay. "
            f"See 'supernova ledger verify'"
        )
    if not totals and not latest:
        typer.echo(f"\nno attempts in the last {days} days")
        return
    title = "By provider and model" if user is None else "In total"
    console.print(cost_tables.report(title, [(row.name, "", row) for row in totals]))
    console.print(cost_tables.attempts(latest))


@app.command()
def report(
    config: ConfigPath = None,
    by: Annotated[
        Grouping | None, typer.Option(help="One line per group, instead of everything together.")
    ] = None,
    per: Annotated[Per, typer.Option(help="Length of a period.")] = "day",
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", min=1, max=MOST_ROWS, help="How many groups the tables show, dearest first."
        ),
    ] = 20,
    days: Days = 30,
    time_zone: Zone = _UTC,
    json: AsJson = False,
) -> None:
    """Show attempts, success, tokens, costs and times period by period, and over the whole of the days."""
    with _ledger(config) as (_, store):
        periods = latest_periods(per, days, datetime.fromtimestamp(store.now(), time_zone))
        parts, whole = store.read(partial(breakdown.report, periods=periods, by=by))
    if json:
        print_json({"periods": list(map(export.line_row, parts)), "whole": list(map(export.line_row, whole))})
    elif not any(line.attempts for line in whole):
        typer.echo(f"no attempts in the last {days} days")
    else:
        dearest = {line.name for line in whole[:limit]}
        parts = [line for line in parts if line.name in dearest and line.attempts]
        shown = [(line.name or "-", line.period, line) if by else (line.period, "", line) for line in parts]
        console.print(cost_tables.report(f"By {per}", shown))
        bars, unnamed = _bars(parts, periods), "-" if by else "everything"
        rows = [(line.name or unnamed, bars[line.name], line) for line in whole[:limit]]
        console.print(cost_tables.report(whole[0].period, rows))
        if len(whole) > limit:
            typer.echo(f"\nand {len(whole) - limit:,} more: see them with --limit {len(whole)}, or --json")


@app.command()
def top(
    what: Annotated[Grouping, typer.Argument(help="What to compare.")] = "user",
    config: ConfigPath = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST_ROWS, help="How many.")] = 10,
    days: Days = 30,
    time_zone: Zone = _UTC,
    json: AsJson = False,
) -> None:
    """Show the dearest users, sessions, models, tasks or prompts, and their shares of all costs."""
    with _ledger(config) as (_, store):
        span = _back(days, datetime.fromtimestamp(store.now(), time_zone))
        found = store.read(lambda database: lines(database, span, what, limit=limit))
        (whole,) = store.read(lambda database: lines(database, span))
    if json:
        print_json(list(map(export.line_row, found)))
    elif not found:
        typer.echo(f"no attempts in the last {days} days")
    else:
        shares = [f"{line.cost / whole.cost:.1%} of the costs" if whole.cost else "" for line in found]
        rows = [(line.name or "-", share, line) for share, line in zip(shares, found, strict=True)]
        console.print(cost_tables.report(f"Dearest by {what}, last {days} days", rows))


@app.command("forecast")
def forecast_(config: ConfigPath = None, time_zone: Zone = _UTC, json: AsJson = False) -> None:
    """Forecast what the month, and each budget's current window, will have cost at its end."""
    with _ledger(config) as (loaded, store):
        ask = partial(forecast, budgets=loaded.config.all_budgets, now=store.now(), time_zone=time_zone.key)
        found = store.read(lambda database: list(ask(database)))
    if json:
        print_json([_plain(asdict(row), {"limit", "spent", "expected", "low", "high"}) for row in found])
        return
    console.print(cost_tables.forecasts(found))
    for row in found:
        if row.reason:
            name = " ".join(filter(None, (row.budget or "everything", row.subject)))
            typer.echo(f"{name}: {row.reason}")


@app.command("export")
def export_(
    config: ConfigPath = None,
    format: Annotated[export.Format, typer.Option(help="csv for spreadsheets, json for scripts.")] = "csv",  # noqa: A002
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file; otherwise standard output.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_DATE, help="First day; otherwise 30 days.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DATE, help="Last day; otherwise today.")] = None,
    time_zone: Zone = _UTC,
) -> None:
    """Write the rows of the attempts; those that were archived are not among them."""
    for day in (since, until):
        if day and not _FIRST <= day <= _LAST:
            raise typer.BadParameter(f"{day.date()} is not a day from {_FIRST.date()} to {_LAST.date()}")
    with _ledger(config) as (_, store):
        month = _back(30, datetime.fromtimestamp(store.now(), time_zone))
        start = since.replace(tzinfo=time_zone) if since else month.start
        end = until.replace(tzinfo=time_zone) + timedelta(days=1) if until else month.end

        if start >= end:
            raise typer.BadParameter(f"--since is {start.date()}, which is after --until")

        def write(database: Database, file: TextIO) -> int:
            rows = export.attempt_rows(database, Period("", start, end))
            return export.write_rows(export.ATTEMPT_COLUMNS, rows, file, format)

        if out is None:
            store.read(lambda database: write(database, sys.stdout))
            return
        with _writable(out), files.atomic_file(out) as file:
            count = store.read(lambda database: write(database, file))
    typer.echo(f"wrote {count} attempts to {out}")


@app.command("files")
def files_(
    folder: Annotated[Path, typer.Option(help="Where the files are; made if missing.")],
    config: ConfigPath = None,
    time_zone: Zone = _UTC,
) -> None:
    """Write the daily, weekly and monthly report files that are due and not there yet: for cron."""
    with _ledger(config) as (_, store), _writable(folder):
        for path in files.write_due(store, folder, now=store.now(), time_zone=time_zone.key):
            typer.echo(path)


@contextmanager
def _ledger(config: Path | None) -> Iterator[tuple[Loaded, Store]]:
    """Open the configured ledger, with the holds of dead processes turned into lost ones."""
    loaded = configuration.load(config)
    with Store(loaded.database) as store:
        swept_ledger(store, loaded.config)
        yield loaded, store


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error}") from None


def _bars(parts: Iterable[ReportLine], periods: Iterable[Period]) -> dict[str, str]:
    """Draw what each group cost, period by period."""
    spent: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in parts:
        spent[line.name][line.period] = line.cost
    return {
        name: cost_tables.sparkline([found.get(span.name, 0) for span in periods])
        for name, found in spent.items()
    }


def _back(days: int, now: datetime) -> Period:
    found = latest_periods("day", days, now)
    return Period(f"{found[0].name} to {found[-1].name}", found[0].start, found[-1].end)


def _plain(row: dict[str, Any], money: set[str]) -> dict[str, Any]:
    return {
        name: to_usd(value) if name in money and value is not None else value for name, value in row.items()
    }
