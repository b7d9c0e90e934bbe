"""``supernova costs``: what was spent, what is held, and how the budgets stand."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from peewee import Database

from supernova_ai import config as configuration
from supernova_ai.cli.options import AsJson, ConfigPath, console, print_json
from supernova_ai.ledger import Ledger, reports
from supernova_ai.money import to_usd
from supernova_ai.ops import tables
from supernova_ai.store import Store
from supernova_ai.store.tables import Attempt

_MONEY = {"held", "cost", "settled", "lost", "limit"}


def costs(
    config: ConfigPath = None,
    days: Annotated[int, typer.Option(min=1, help="How many days back.")] = 30,
    limit: Annotated[int, typer.Option(min=0, help="How many of the latest attempts.")] = 10,
    request: Annotated[str | None, typer.Option(help="Only the attempts of this request.")] = None,
    json: AsJson = False,
) -> None:
    """Show budgets, totals per model and the latest attempts; what dead processes held is counted as lost."""
    loaded = configuration.load(config)
    since_ms = int((time.time() - days * 86_400) * 1000)
    with Store(loaded.database) as store:
        Ledger(store, loaded.config.budgets).sweep()

        def read(database: Database) -> tuple[list[Any], list[Any], list[Attempt]]:
            standings = reports.standings(database, loaded.config.budgets, now=time.time())
            totals = reports.totals(database, since_ms=since_ms)
            latest = reports.attempts(database, limit=limit, since_ms=since_ms, request=request)
            return list(standings), totals, latest

        standings, totals, latest = store.read(read)
    if json:
        print_json(
            {
                "budgets": [_plain(asdict(row), _MONEY) for row in standings],
                "totals": [_plain(asdict(row), {"cost", "held"}) for row in totals],
                "attempts": [_plain(dict(row.__data__), {"cost", "held"}) for row in latest],
            }
        )
        return
    console.print(tables.budgets(standings))
    if not totals:
        typer.echo(f"\nno attempts in the last {days} days")
        return
    console.print(tables.totals(totals))
    console.print(tables.attempts(latest))


def _plain(row: dict[str, Any], money: set[str]) -> dict[str, Any]:
    return {name: to_usd(value) if name in money else value for name, value in row.items()}
