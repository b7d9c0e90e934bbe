"""``supernova advise`` and ``supernova advice``: give advice, and look at what was given."""

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
    MOST_DAYS,
    MOST_ROWS,
    AsJson,
    ConfigPath,
    console,
    flag,
    print_json,
    read_text,
    searchable,
)
from supernova_ai.client import Supernova
from supernova_ai.config.advice import AssetClass
from supernova_ai.store import Store
from supernova_ai.store.tables import AdviceRow
from supernova_ai.terminal.advice_page import AdviceView, page, records_table

app = typer.Typer(help="Records of advice: list, show, replay, verify, prune.", no_args_is_help=True)

RecordId = Annotated[str, typer.Argument(callback=searchable, help="The record's id, or its beginning.")]

_DAY_MS = 86_400_000


def advise(
    symbol: Annotated[str, typer.Option(help="The ticker, such as AAPL or BTC/USDT.")],
    bars: Annotated[Path, typer.Option(help="A CSV file with time, open, high, low, close and volume.")],
    config: ConfigPath = None,
    risk: Annotated[float, typer.Option(help="0 for the most cautious client to 100 for the boldest.")] = 50,
    sentiment: Annotated[float, typer.Option(help="How good the news is, -1 to 1.")] = 0.0,
    asset_class: Annotated[AssetClass, typer.Option(help="What the bars are the prices of.")] = "stock",
    currency: Annotated[
        str | None, typer.Option(help="What the prices are in; by default the pair's second, or USD.")
    ] = None,
    news: Annotated[Path | None, typer.Option(help="A text that the client read; it moves nothing.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Whose budget and record it is.")] = None,
    max_cost: Annotated[str | None, typer.Option("--max-cost", help="USD, for all of it.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", help="Seconds, for everything; late words of a model are left out."),
    ] = None,
    no_llm: Annotated[bool, flag("--no-llm", help="Ask no model.")] = False,
    json: AsJson = False,
) -> None:
    """Advise on an asset from its bars; a model may word it, and its figures are checked."""
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
    user: Annotated[
        str | None, typer.Option("--user", "-u", callback=searchable, help="Only this user's.")
    ] = None,
    symbol: Annotated[
        str | None, typer.Option("--symbol", callback=searchable, help="Only on this symbol.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=MOST_ROWS, help="How many, newest first.")
    ] = 20,
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
    """Show recorded advice as it was given; as JSON, all that the record holds but the bars."""
    found = _find(config, record)
    if json:
        print_json(_summary(found) | {"hash": found.hash, "content": loads(found.content)})
    else:
        console.print(page(AdviceView.from_record(found)))


@app.command("replay")
def replay_(record: RecordId, config: ConfigPath = None, json: AsJson = False) -> None:
    """Compute recorded advice again from the bars it kept. Exits with 1 if anything differs."""
    result = replay.replay(_find(config, record))
    if json:
        print_json({"record": result.record, "agrees": result.agrees, "differences": result.differences})
    else:
        for difference in result.differences:
            typer.echo(difference)
        typer.echo(
            "it comes out the same, to the last digit" if result.agrees else "it comes out DIFFERENTLY"
        )
    if not result.agrees:
        raise typer.Exit(1)


@app.command()
def verify(
    config: ConfigPath = None,
    head: Annotated[
        str | None,
        typer.Option(help="What an earlier check printed: the chain must lead through it."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Check that no record was altered, removed or put in. Exits with 1 if one was."""
    with _open(config) as store:
        report = store.read(partial(records.verify, noted=head))
    if json:
        print_json({"ok": report.ok, "rows": report.rows, "head": report.head, "problem": report.problem})
    else:
        typer.echo(f"{report.rows:,} records, the chain ends at {report.head}")
        typer.echo(f"PROBLEM: {report.problem}" if report.problem else "every record is as it was written")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def prune(
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            "-d",
            min=1,
            max=MOST_DAYS,
            help="Keep the records of so many days; otherwise retention.advice.",
        ),
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Delete the records that are older than they must be kept; the chain goes on from the last of them."""
    loaded = configuration.load(config)
    days = days or loaded.config.retention.advice
    if days is None:
        raise typer.BadParameter("how long are records kept? Give --days, or set 'retention.advice'")
    with Store(loaded.database) as store:
        now_ms = store.now_ms()
        count = records.prune(store, before_ms=now_ms - days * _DAY_MS, now_ms=now_ms)
    typer.echo(f"deleted {count:,} records of advice older than {days} days")


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
