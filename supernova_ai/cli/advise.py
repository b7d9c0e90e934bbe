"""``supernova advise`` and ``supernova advice``: give advice, and look up recorded advice."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from functools import partial
from json import loads
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai.advisor import records, replay
from supernova_ai.advisor.advise import advise as advise_on
from supernova_ai.advisor.options import AdviceOptions
from supernova_ai.advisor.position import Position
from supernova_ai.advisor.view import AdviceView
from supernova_ai.characters import counted
from supernova_ai.cli.advice_files import read_facts_file, read_news_file
from supernova_ai.cli.advise_many import advise_folder
from supernova_ai.cli.backtest import backtest
from supernova_ai.cli.bar_options import DayFirst, Decimal, RepairOption, repair_of
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Tags,
    Team,
    client,
    console,
    flag,
    limit_option,
    load,
    print_json,
    read_tags,
    retained_days,
    retention,
    runs_subcommand,
    search_option,
    searched,
    vault_for,
)
from supernova_ai.cli.position_options import (
    CostBasis,
    HorizonOption,
    Opened,
    Quantity,
    Weights,
    position_of,
    read_weights,
)
from supernova_ai.config.advice import AssetClass, LanguageCode
from supernova_ai.store import Store
from supernova_ai.store.tables import AdviceRow
from supernova_ai.terminal.advice_page import action_part, page, records_table, words_part

advise_app = typer.Typer()
advise_app.command()(backtest)

app = typer.Typer(help="List, show, replay, verify and prune recorded advice.", no_args_is_help=True)

RecordId = Annotated[str, typer.Argument(callback=searched, help="The record's id, or its beginning.")]

_DAY_MS = 86_400_000


@advise_app.callback(invoke_without_command=True)
def advise(
    context: typer.Context,
    symbol: Annotated[
        str | None,
        typer.Option(
            help="The ticker, such as AAPL or BTC/USDT; of a folder, each file's name is one.",
            show_default=False,
        ),
    ] = None,
    bars: Annotated[
        Path | None,
        typer.Option(
            help="A file of bars: CSV with time, open, high, low, close, volume; or JSON. Or a folder.",
            show_default=False,
        ),
    ] = None,
    config: ConfigPath = None,
    risk: Annotated[
        float, typer.Option(help="The client's risk score: 0 for the most cautious, 100 for the boldest.")
    ] = 50,
    repair: RepairOption = "clip",
    day_first: DayFirst = None,
    decimal: Decimal = None,
    sentiment: Annotated[float, typer.Option(help="How good the news is, from -1 to 1.")] = 0.0,
    asset_class: Annotated[AssetClass, typer.Option(help="The kind of asset.")] = "stock",
    currency: Annotated[
        str | None, typer.Option(help="The currency of the prices.", show_default="the pair's second, or USD")
    ] = None,
    language: Annotated[
        LanguageCode | None,
        typer.Option(help="The language of the rationale and the notes.", show_default="advice.language"),
    ] = None,
    quantity: Quantity = None,
    cost_basis: CostBasis = None,
    weight: Weights = None,
    opened: Opened = None,
    horizon: HorizonOption = None,
    risk_per_trade: Annotated[
        float | None,
        typer.Option(
            "--risk-per-trade",
            help="What the client would lose at a stop; with it a buy has a size.",
            show_default=False,
        ),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="A JSON or YAML file with your own facts: a list with id, value, name and source of each.",
            show_default=False,
        ),
    ] = None,
    news: Annotated[
        Path | None,
        typer.Option(
            help="A file with news that does not change the action: a text, by which a model may choose its "
            "facts, or a JSON list with headline, source and date of each item.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", help="The user whose budgets count it, and whose record it is."),
    ] = None,
    team: Team = None,
    tag: Tags = None,
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", help="Cost limit for all requests together, in USD.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            help="Time limit for everything, in seconds; a model's text that comes later is left out.",
            show_default="routing.deadline for each request",
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=32, help="For a folder: how many files at the same time.")
    ] = 4,
    no_llm: Annotated[bool, flag("--no-llm", help="Ask no model.")] = False,
    json: AsJson = False,
) -> None:
    """Advise on an asset from its bars, or rank all of a folder; a model writes no figures."""
    if runs_subcommand(context):
        return
    if bars is None:
        raise typer.BadParameter("give --bars, a CSV file or a folder of CSV files")
    if (symbol is None) is not (folder := bars.is_dir()):
        raise typer.BadParameter(
            "leave --symbol out: the symbols are the names of the files in the folder"
            if folder
            else "give --symbol, such as AAPL"
        )
    weights = read_weights(weight)
    position: Position = {
        "quantity": quantity,
        "cost_basis": cost_basis,
        "opened": opened,
        "horizon": horizon,
    }
    with closing(client(config, preload=not no_llm)) as nova:
        options: AdviceOptions = {
            "asset_class": asset_class,
            "risk_score": risk,
            "sentiment_hint": sentiment,
            "currency": currency,
            "language": language,
            "risk_per_trade": risk_per_trade,
            "facts": read_facts_file(facts) if facts else None,
            "news": read_news_file(news) if news else None,
            "user_id": user,
            "team": team,
            "tags": read_tags(tag),
            "repair": repair_of(repair),
            "day_first": day_first,
            "decimal": decimal,
            "max_cost": max_cost,
            "timeout": timeout,
            "explain": not no_llm,
            "client": nova,
        }
        if symbol is None:
            advise_folder(bars, options, parallel=parallel, weights=weights, position=position, json=json)
            return
        options["position"] = position_of(symbol, weights, position)
        if not json:
            options["on_bars"] = lambda found: console.print(action_part(AdviceView.from_advice(found)))
        advice = advise_on(bars, symbol=symbol, **options)
    if json:
        print_json(advice._asdict())
    else:
        view = AdviceView.from_advice(advice)
        console.print(page(view) if no_llm else words_part(view))


@app.command("list")
def list_(
    config: ConfigPath = None,
    user: Annotated[str | None, search_option("--user", "-u", help="Only this user's.")] = None,
    symbol: Annotated[str | None, search_option("--symbol", help="Only this symbol's.")] = None,
    limit: Annotated[int, limit_option("How many records.")] = 20,
    json: AsJson = False,
) -> None:
    """List the records of advice, newest first."""
    with _open(config) as store:
        found = store.read(lambda database: records.latest(database, user=user, symbol=symbol, limit=limit))
    if json:
        print_json([_summary(record) for record in found])
    elif found:
        console.print(records_table(found))
    else:
        typer.echo("no advice was recorded")


@app.command()
def show(record: RecordId, config: ConfigPath = None, json: AsJson = False) -> None:
    """Show a record of advice as it was given; with --json, everything in it except the bars."""
    found = _find(config, record)
    if json:
        print_json(_summary(found) | {"hash": found.hash, "content": loads(found.content)})
    else:
        console.print(page(AdviceView.from_record(found)))


@app.command("replay")
def replay_(record: RecordId, config: ConfigPath = None, json: AsJson = False) -> None:
    """Compute recorded advice again from its stored bars, and exit with 1 if anything differs."""
    result = replay.replay(_find(config, record))
    if json:
        print_json({"record": result.record, "agrees": result.agrees, "differences": result.differences})
    else:
        for difference in result.differences:
            typer.echo(difference)
        typer.echo(
            "the result is the same, to the last digit" if result.agrees else "the result is DIFFERENT"
        )
    if not result.agrees:
        raise typer.Exit(1)


@app.command()
def verify(
    config: ConfigPath = None,
    head: Annotated[
        str | None, typer.Option(help="The head that an earlier check printed; the chain must contain it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Check that no record was altered, removed or added, and exit with 1 if one was."""
    with _open(config) as store:
        report = store.read(partial(records.verify, noted=head))
    if json:
        print_json({"ok": report.ok, "rows": report.rows, "head": report.head, "problem": report.problem})
    else:
        typer.echo(f"{counted(report.rows, 'record')}; the head of the chain is {report.head}")
        typer.echo(f"PROBLEM: {report.problem}" if report.problem else "no record was altered")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def prune(
    days: Annotated[int | None, retention("retention.advice", "Keep records of this many days.")] = None,
    config: ConfigPath = None,
) -> None:
    """Delete records that are older than they must be kept; the chain continues from the last one deleted."""
    loaded = load(config)
    kept = retained_days(days, loaded.config.retention.advice, "retention.advice")
    with Store(loaded.database) as store:
        now_ms = store.now_ms()
        count = records.prune(vault_for(store), before_ms=now_ms - kept * _DAY_MS, now_ms=now_ms)
    typer.echo(f"deleted {counted(count, 'record')} of advice older than {counted(kept, 'day')}")


def _open(config: Path | None) -> Store:
    return Store(load(config).database)


def _find(config: Path | None, record: str) -> AdviceRow:
    with _open(config) as store:
        return store.read(lambda database: records.find(database, record))


def _summary(record: AdviceRow) -> dict[str, Any]:
    view = AdviceView.from_record(record)
    return {
        "id": record.id,
        "created": datetime.fromtimestamp(record.created_ms / 1000).astimezone(),
        "user_token": record.user,
        "symbol": view.symbol,
        "action": view.action,
        "confidence": view.confidence,
        "as_of": view.as_of,
        "source": view.source,
    }
