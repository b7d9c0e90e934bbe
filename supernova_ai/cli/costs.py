"""``supernova costs``: the state of the budgets, costs by group and period, and forecasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import typer
from peewee import Database

from supernova_ai.characters import counted
from supernova_ai.cli import cost_files, cost_savings
from supernova_ai.cli.cost_options import (
    GROUPS,
    UTC,
    Days,
    TagOnly,
    TeamOnly,
    Zone,
    attempt_json,
    grouping,
    in_usd,
    last_days,
    open_ledger,
)
from supernova_ai.cli.options import (
    MOST_DAYS,
    MOST_ROWS,
    AsJson,
    ConfigPath,
    console,
    limit_option,
    one_tag,
    print_json,
    runs_subcommand,
    search_option,
)
from supernova_ai.ledger import Payer
from supernova_ai.ledger.budgets import describe
from supernova_ai.ledger.labels import TAG, TEAM
from supernova_ai.ledger.leases import processes_with_other_budgets
from supernova_ai.reports import breakdown, export, status
from supernova_ai.reports.breakdown import ReportLine, lines
from supernova_ai.reports.forecast import forecast
from supernova_ai.reports.periods import Per, Period, latest_periods
from supernova_ai.reports.status import BudgetStatus
from supernova_ai.store.tables import AttemptRow, ProcessRow, StuckEndRow
from supernova_ai.terminal import cost_tables

app = typer.Typer()


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
    limit: Annotated[int, limit_option("How many of the latest attempts.", least=0)] = 10,
    request: Annotated[
        str | None, search_option("--request", help="Only the attempts of this request.")
    ] = None,
    user: Annotated[
        str | None, search_option("--user", "-u", help="Only this user's budgets and attempts.")
    ] = None,
    team: TeamOnly = None,
    tag: TagOnly = None,
    users: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_ROWS, help="How many users, teams or values of each budget, the most used first."
        ),
    ] = 5,
    json: AsJson = False,
) -> None:
    """Show how full the budgets are, the totals per model, and the latest attempts."""
    if runs_subcommand(context):
        return
    tagged = one_tag(tag)
    tags = dict([tagged]) if tagged else {}
    only = {"user": user, TEAM: team, **{f"{TAG}{name}": value for name, value in tags.items()}}
    chosen = [(by, value) for by, value in only.items() if value is not None]
    if len(chosen) > 1:
        raise typer.BadParameter("give one of --user, --team and --tag: no sum is kept of two together")
    by, value = chosen[0] if chosen else ("model", None)
    with open_ledger(config) as (loaded, store):
        now = datetime.fromtimestamp(store.now(), UTC)
        period = Period(f"last {counted(days, 'day')}", now - timedelta(days=days), now)
        since_ms = int(period.start.timestamp() * 1000)
        limits = loaded.config.all_budgets

        def read(database: Database) -> _Overview:
            return _Overview(
                budgets=list(
                    status.budget_statuses(
                        database,
                        limits,
                        now=now.timestamp(),
                        of=Payer(user, team, tags),
                        most=None if json else users,
                    )
                ),
                totals=lines(database, period, by, only=value),
                attempts=status.latest_attempts(
                    database,
                    limit=limit,
                    since_ms=since_ms,
                    request=request,
                    user=user,
                    team=team,
                    tag=tagged,
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
        raise typer.BadParameter(f"request {request!r} has no attempts in the last {counted(days, 'day')}")
    if json:
        print_json(
            {
                "budgets": [in_usd(row, {"held", "settled", "lost", "limit"}) for row in overview.budgets],
                "totals": [in_usd(row, {"cost", "saved"}) for row in overview.totals],
                "attempts": list(map(attempt_json, overview.attempts)),
                "set_aside": [{"attempt": row.attempt, "reason": row.reason} for row in overview.stuck],
            }
        )
    else:
        _print_overview(overview, users, days, "In total" if chosen else "By provider and model")


def _print_overview(overview: _Overview, users: int, days: int, title: str) -> None:
    console.print(cost_tables.budgets(overview.budgets))
    for budget, (count, each) in {
        row.budget: (row.subjects, row.each) for row in overview.budgets if row.subjects > users
    }.items():
        named = f"--tag {each.removeprefix(TAG)}=VALUE" if each.startswith(TAG) else f"--{each} NAME"
        kind = "values" if each.startswith(TAG) else f"{each}s"
        typer.echo(f"{budget}: {users} of {count:,} {kind}; see one with {named}, or more with --users N")
    if overview.stuck:
        typer.echo(
            f"\nthe database refused the ends of {counted(len(overview.stuck), 'attempt')}: their holds "
            f"stay. Run 'supernova ledger verify'"
        )
    if not overview.totals and not overview.attempts:
        typer.echo(f"\nno attempts in the last {counted(days, 'day')}")
        return
    console.print(cost_tables.report(title, [(row.name, "", row) for row in overview.totals]))
    console.print(cost_tables.attempts(overview.attempts))


@app.command()
def report(
    config: ConfigPath = None,
    by: Annotated[
        str | None,
        typer.Option(
            parser=grouping,
            metavar="GROUP",
            help=f"Show one line per {GROUPS}.",
            show_default="everything together",
        ),
    ] = None,
    per: Annotated[Per, typer.Option(help="Length of a period.")] = "day",
    limit: Annotated[int, limit_option("How many groups the tables show, highest cost first.")] = 20,
    days: Days = 30,
    time_zone: Zone = UTC,
    json: AsJson = False,
) -> None:
    """Show attempts, success, tokens, costs and latency per period and in total."""
    with open_ledger(config) as (_, store):
        periods = latest_periods(per, days, datetime.fromtimestamp(store.now(), time_zone))
        parts, whole = store.read(partial(breakdown.report, periods=periods, by=by))
    if json:
        print_json({"periods": list(map(export.line_row, parts)), "whole": list(map(export.line_row, whole))})
    elif not any(line.attempts for line in whole):
        typer.echo(f"no attempts in the last {counted(days, 'day')}")
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
    what: Annotated[
        str, typer.Argument(parser=grouping, metavar="WHAT", help=f"What to compare: {GROUPS}.")
    ] = "user",
    config: ConfigPath = None,
    limit: Annotated[int, limit_option("How many.")] = 10,
    days: Days = 30,
    time_zone: Zone = UTC,
    json: AsJson = False,
) -> None:
    """Show the users, models, tasks or other groups with the highest cost, and their share of all costs."""
    with open_ledger(config) as (_, store):
        period = last_days(days, datetime.fromtimestamp(store.now(), time_zone))
        found = store.read(lambda database: lines(database, period, what, limit=limit))
        (whole,) = store.read(lambda database: lines(database, period))
    if json:
        print_json(list(map(export.line_row, found)))
    elif not found:
        typer.echo(f"no attempts in the last {counted(days, 'day')}")
    else:
        shares = [f"{line.cost / whole.cost:.1%} of the costs" if whole.cost else "" for line in found]
        rows = [(line.name or "-", share, line) for share, line in zip(shares, found, strict=True)]
        console.print(cost_tables.report(f"Highest cost by {what}, last {counted(days, 'day')}", rows))


@app.command("forecast")
def forecast_(config: ConfigPath = None, time_zone: Zone = UTC, json: AsJson = False) -> None:
    """Forecast what the month, and each budget's current window, will cost by its end."""
    with open_ledger(config) as (loaded, store):
        ask = partial(forecast, budgets=loaded.config.all_budgets, now=store.now(), time_zone=time_zone.key)
        found = store.read(lambda database: list(ask(database)))
    if json:
        print_json([in_usd(row, {"limit", "spent", "expected", "low", "high"}) for row in found])
        return
    console.print(cost_tables.forecasts(found))
    for row in found:
        if row.reason:
            name = " ".join(filter(None, (row.budget or "everything", row.subject)))
            typer.echo(f"{name}: {row.reason}")


def _sparklines(parts: Iterable[ReportLine], periods: Iterable[Period]) -> dict[str, str]:
    """Draw the cost of each group per period."""
    costs: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in parts:
        costs[line.name][line.period] = line.cost
    return {
        name: cost_tables.sparkline([found.get(period.name, 0) for period in periods])
        for name, found in costs.items()
    }


# Last, as the help lists them.
app.add_typer(cost_savings.app)
app.add_typer(cost_files.app)
