"""``supernova advise`` and ``supernova advice``: give advice, and look up recorded advice."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from json import loads
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai import config as configuration
from supernova_ai.advisor import records, replay
from supernova_ai.advisor.advise import advise as advise_on
from supernova_ai.advisor.bars import load_csv
from supernova_ai.cli.options import (
    MOST_ROWS,
    AsJson,
    ConfigPath,
    console,
    flag,
    print_json,
    read_text,
    retained_days,
    retention,
    search_option,
    searched,
)
from supernova_ai.client import Supernova
from supernova_ai.config.advice import AssetClass
from supernova_ai.store import Store
from supernova_ai.store.tables import AdviceRow
from supernova_ai.terminal.advice_page import AdviceView, page, records_table

app = typer.Typer(help="List, show, replay, verify and prune recorded advice.", no_args_is_help=True)

RecordId = Annotated[str, typer.Argument(callback=searched, help="The record's id, or its beginning.")]

_DAY_MS = 86_400_000


def advise(
    symbol: Annotated[str, typer.Option(help="The ticker, such as AAPL or BTC/USDT.")],
    bars: Annotated[
        Path, typer.Option(help="A CSV file with columns time, open, high, low, close and volume.")
    ],
    config: ConfigPath = None,
    risk: Annotated[
        float, typer.Option(help="The client's risk score: 0 for the most cautious, 100 for the boldest.")
    ] = 50,
    sentiment: Annotated[float, typer.Option(help="How good the news is, from -1 to 1.")] = 0.0,
    asset_class: Annotated[AssetClass, typer.Option(help="The kind of asset.")] = "stock",
    currency: Annotated[
        str | None, typer.Option(help="The currency of the prices.", show_default="the pair's second, or USD")
    ] = None,
    news: Annotated[
        Path | None,
        typer.Option(
            help="A text file with news; a model may mention it, but it does not change the action."
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", help="The user whose budgets count it, and whose record it is."),
    ] = None,
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
    no_llm: Annotated[bool, flag("--no-llm", help="Ask no model.")] = False,
    json: AsJson = False,
) -> None:
    """Advise on an asset from its bars, with a rationale whose figures are checked if a model writes it."""
    history = load_csv(bars)
    nova = Supernova(config)
    try:
        advice = advise_on(
            history,
            symbol=symbol,
            asset_class=asset_class,
            risk_score=risk,
            sentiment_hint=sentiment,
            currency=currency,
            news=read_text(news) if news else None,
            user_id=user,
            max_cost=max_cost,
            timeout=timeout,
            explain=not no_llm,
            client=nova,
        )
    finally:
        nova.close()
    if json:
        print_json(advice._asdict())
    else:
        console.print(page(AdviceView.from_advice(advice)))


@app.command("list")
def list_(
    config: ConfigPath = None,
    user: Annotated[str | None, search_option("--user", "-u", help="Only this user's.")] = None,
    symbol: Annotated[str | None, search_option("--symbol", help="Only this symbol's.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST_ROWS, help="How many records.")] = 20,
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
        typer.echo(f"{report.rows:,} records; the head of the chain is {report.head}")
        typer.echo(f"PROBLEM: {report.problem}" if report.problem else "no record was altered")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def prune(
    days: Annotated[int | None, retention("retention.advice", "Keep records of this many days.")] = None,
    config: ConfigPath = None,
) -> None:
    """Delete records that are older than they must be kept; the chain continues from the last one deleted."""
    loaded = configuration.load(config)
    kept = retained_days(days, loaded.config.retention.advice, "retention.advice")
    with Store(loaded.database) as store:
        now_ms = store.now_ms()
        count = records.prune(store, before_ms=now_ms - kept * _DAY_MS, now_ms=now_ms)
    typer.echo(f"deleted {count:,} records of advice older than {kept} days")


def _open(config: Path | None) -> Store:
    return Store(configuration.load(config).database)


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
