"""``supernova costs``: the state of the budgets, costs by group and period, forecasts, and exports."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
    print_json,
    runs_subcommand,
    search_option,
)
from supernova_ai.config import Loaded
from supernova_ai.ledger import swept_ledger
from supernova_ai.ledger.budgets import describe
from supernova_ai.ledger.leases import processes_with_other_budgets
from supernova_ai.money import to_usd
from supernova_ai.reports import breakdown, export, files, status
from supernova_ai.reports.breakdown import Grouping, ReportLine, lines
from supernova_ai.reports.forecast import forecast
from supernova_ai.reports.periods import Per, Period, latest_periods
from supernova_ai.reports.status import BudgetStatus
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, ProcessRow, StuckEndRow
from supernova_ai.terminal import cost_tables

app = typer.Typer()

_UTC = ZoneInfo("UTC")
_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 2), datetime(2999, 12, 31)


def _zone(name: str | ZoneInfo) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))  # typer passes the default too
    except (ValueError, OSError, KeyError):  # ZoneInfo raises different errors for different wrong names
        raise typer.BadParameter(f"{name!r} is not a time zone; use a name such as Europe/Paris") from None


def _day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it as 2026-10-31") from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise typer.BadParameter(f"{text} is not a day from {_FIRST_DAY.date()} to {_LAST_DAY.date()}")
    return day


def _day_option(help: str, default: str) -> Any:  # noqa: A002 - as typer calls it
    return typer.Option(parser=_day, metavar="YYYY-MM-DD", help=help, show_default=default)


def _limit_option(help: str, least: int = 1) -> Any:  # noqa: A002 - as typer calls it
    return typer.Option("--limit", "-n", min=least, max=MOST_ROWS, help=help)


# A report takes time for each of its days: ten years are enough.
Days = Annotated[
    int, typer.Option("--days", "-d", min=1, max=3660, help="How many days back, today included.")
]
Zone = Annotated[
    ZoneInfo, typer.Option("--time-zone", parser=_zone, metavar="NAME", help="The time zone of the days.")
]


@dataclass(frozen=True, slots=True)
class _Overview:
    """What ``supernova costs`` shows. ``others`` are processes with other limits, and the budgets' names."""

    budgets: list[BudgetStatus]
    totals: list[ReportLine]
    attempts: list[AttemptRow]
    stuck: list[StuckEndRow]
    others: list[tuple[ProcessRow, list[str]]]


@app.callback(invoke_without_command=True)
def costs(
    context: typer.Context,
    config: ConfigPath = None,
    days: Annotated[int, typer.Option("--days", "-d", min=1, max=MOST_DAYS, help="How many days back.")] = 30,
    limit: Annotated[int, _limit_option("How many of the latest attempts.", least=0)] = 10,
    request: Annotated[
        str | None, search_option("--request", help="Only the attempts of this request.")
    ] = None,
    user: Annotated[
        str | None, search_option("--user", "-u", help="Only this user's budgets and attempts.")
    ] = None,
    users: Annotated[
        int, typer.Option(min=1, max=MOST_ROWS, help="How many users of each budget, the most used first.")
    ] = 5,
    json: AsJson = False,
) -> None:
    """Show how full the budgets are, the totals per model, and the latest attempts."""
    if runs_subcommand(context):
        return
    with _ledger(config) as (loaded, store):
        now = datetime.fromtimestamp(store.now(), _UTC)
        period = Period(f"last {days} days", now - timedelta(days=days), now)
        since_ms = int(period.start.timestamp() * 1000)
        limits = loaded.config.all_budgets

        def read(database: Database) -> _Overview:
            return _Overview(
                budgets=list(
                    status.budget_statuses(
                        database, limits, now=now.timestamp(), user=user, most=None if json else users
                    )
                ),
                totals=lines(database, period, "user" if user else "model", user=user),
                attempts=status.latest_attempts(
                    database, limit=limit, since_ms=since_ms, request=request, user=user
                ),
                stuck=list(StuckEndRow.select().execute(database)),
                others=list(processes_with_other_budgets(database, describe(limits), now_ms=store.now_ms())),
            )

        overview = store.read(read)
    for process, names in overview.others:
        typer.echo(
            f"warning: process {process.pid} on {process.host.split()[0]} has other limits for budgets: "
            f"{', '.join(names)}. Each process enforces its own limits: use the same configuration for all",
            err=True,
        )
    if request is not None and not overview.attempts and limit:
        raise typer.BadParameter(f"request {request!r} has no attempts in the last {days} days")
    if json:
        print_json(
            {
                "budgets": [_jsonable(row, {"held", "settled", "lost", "limit"}) for row in overview.budgets],
                "totals": [_jsonable(row, {"cost"}) for row in overview.totals],
                "attempts": [
                    row.__data__ | {"cost": to_usd(row.cost), "held": to_usd(row.held)}
                    for row in overview.attempts
                ],
                "set_aside": [{"attempt": row.attempt, "reason": row.reason} for row in overview.stuck],
            }
        )
    else:
        _print_overview(overview, users, days, "By provider and model" if user is None else "In total")


def _print_overview(overview: _Overview, users: int, days: int, title: str) -> None:
    console.print(cost_tables.budgets(overview.budgets))
    for budget, count in {
        row.budget: row.subjects for row in overview.budgets if row.subjects > users
    }.items():
        typer.echo(f"{budget}: {users} of {count:,} users; see one with --user NAME, or more with --users N")
    if overview.stuck:
        typer.echo(
            f"\nthe database refused the ends of {len(overview.stuck)} attempts: their holds stay. "
            f"Run 'supernova ledger verify'"
        )
    if not overview.totals and not overview.attempts:
        typer.echo(f"\nno attempts in the last {days} days")
        return
    console.print(cost_tables.report(title, [(row.name, "", row) for row in overview.totals]))
    console.print(cost_tables.attempts(overview.attempts))


@app.command()
def report(
    config: ConfigPath = None,
    by: Annotated[
        Grouping | None, typer.Option(help="Show one line per group.", show_default="everything together")
    ] = None,
    per: Annotated[Per, typer.Option(help="Length of a period.")] = "day",
    limit: Annotated[int, _limit_option("How many groups the tables show, highest cost first.")] = 20,
    days: Days = 30,
    time_zone: Zone = _UTC,
    json: AsJson = False,
) -> None:
    """Show attempts, success, tokens, costs and latency per period and in total."""
    with _ledger(config) as (_, store):
        periods = latest_periods(per, days, datetime.fromtimestamp(store.now(), time_zone))
        parts, whole = store.read(partial(breakdown.report, periods=periods, by=by))
    if json:
        print_json({"periods": list(map(export.line_row, parts)), "whole": list(map(export.line_row, whole))})
    elif not any(line.attempts for line in whole):
        typer.echo(f"no attempts in the last {days} days")
    else:
        shown = {line.name for line in whole[:limit]}
        parts = [line for line in parts if line.name in shown and line.attempts]
        rows = [(line.name or "-", line.period, line) if by else (line.period, "", line) for line in parts]
        console.print(cost_tables.report(f"By {per}", rows))
        charts, unnamed = _sparklines(parts, periods), "-" if by else "everything"
        rows = [(line.name or unnamed, charts[line.name], line) for line in whole[:limit]]
        console.print(cost_tables.report(whole[0].period, rows))
        if len(whole) > limit:
            typer.echo(f"\nand {len(whole) - limit:,} more: see them with --limit {len(whole)}, or --json")


@app.command()
def top(
    what: Annotated[Grouping, typer.Argument(help="What to compare.")] = "user",
    config: ConfigPath = None,
    limit: Annotated[int, _limit_option("How many.")] = 10,
    days: Days = 30,
    time_zone: Zone = _UTC,
    json: AsJson = False,
) -> None:
    """Show the users, models, tasks or other groups with the highest cost, and their share of all costs."""
    with _ledger(config) as (_, store):
        period = _last_days(days, datetime.fromtimestamp(store.now(), time_zone))
        found = store.read(lambda database: lines(database, period, what, limit=limit))
        (whole,) = store.read(lambda database: lines(database, period))
    if json:
        print_json(list(map(export.line_row, found)))
    elif not found:
        typer.echo(f"no attempts in the last {days} days")
    else:
        shares = [f"{line.cost / whole.cost:.1%} of the costs" if whole.cost else "" for line in found]
        rows = [(line.name or "-", share, line) for share, line in zip(shares, found, strict=True)]
        console.print(cost_tables.report(f"Highest cost by {what}, last {days} days", rows))


@app.command("forecast")
def forecast_(config: ConfigPath = None, time_zone: Zone = _UTC, json: AsJson = False) -> None:
    """Forecast what the month, and each budget's current window, will cost by its end."""
    with _ledger(config) as (loaded, store):
        ask = partial(forecast, budgets=loaded.config.all_budgets, now=store.now(), time_zone=time_zone.key)
        found = store.read(lambda database: list(ask(database)))
    if json:
        print_json([_jsonable(row, {"limit", "spent", "expected", "low", "high"}) for row in found])
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
        Path | None, typer.Option("--out", "-o", help="The file to write.", show_default="standard output")
    ] = None,
    since: Annotated[datetime | None, _day_option("The first day.", "30 days back")] = None,
    until: Annotated[datetime | None, _day_option("The last day.", "today")] = None,
    time_zone: Zone = _UTC,
) -> None:
    """Write the rows of all attempts that are not archived, oldest first."""
    with _ledger(config) as (_, store):
        month = _last_days(30, datetime.fromtimestamp(store.now(), time_zone))
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
    folder: Annotated[Path, typer.Option(help="The folder of the files; created if missing.")],
    config: ConfigPath = None,
    time_zone: Zone = _UTC,
) -> None:
    """Write the daily, weekly and monthly report files that are due and missing, as a cron job."""
    with _ledger(config) as (_, store), _writable(folder):
        for path in files.write_due(store, folder, now=store.now(), time_zone=time_zone.key):
            typer.echo(path)


@contextmanager
def _ledger(config: Path | None) -> Iterator[tuple[Loaded, Store]]:
    """Open the configured ledger; the holds of dead processes have become lost."""
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


def _sparklines(parts: Iterable[ReportLine], periods: Iterable[Period]) -> dict[str, str]:
    """Draw the cost of each group per period."""
    costs: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in parts:
        costs[line.name][line.period] = line.cost
    return {
        name: cost_tables.sparkline([found.get(period.name, 0) for period in periods])
        for name, found in costs.items()
    }


def _last_days(days: int, now: datetime) -> Period:
    found = latest_periods("day", days, now)
    return Period(f"{found[0].name} to {found[-1].name}", found[0].start, found[-1].end)


def _jsonable(row: Any, money: set[str]) -> dict[str, Any]:
    """Return the fields of a record, with its amounts in USD."""
    fields = asdict(row)
    return fields | {name: to_usd(fields[name]) for name in money if fields[name] is not None}
