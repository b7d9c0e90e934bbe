"""``supernova costs savings`` and ``suggestions``: what was saved, and what could be."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import typer

from supernova_ai.characters import counted
from supernova_ai.cli.cost_options import UTC, Days, Zone, in_usd, last_days, open_ledger
from supernova_ai.cli.options import AsJson, ConfigPath, console, print_json
from supernova_ai.money import to_usd
from supernova_ai.reports import savings as saved
from supernova_ai.reports import suggestions as suggested
from supernova_ai.reports.advice import advice_cost
from supernova_ai.reports.export import line_row
from supernova_ai.reports.suggestions import LEAST_RATED, CheaperModel, LowerMaxTokens
from supernova_ai.terminal import cost_tables

app = typer.Typer()


@app.command()
def savings(config: ConfigPath = None, days: Days = 30, time_zone: Zone = UTC, json: AsJson = False) -> None:
    """Show what caches and cheaper tiers saved, with the arithmetic, and what each advice cost."""
    with open_ledger(config) as (loaded, store):
        period = last_days(days, datetime.fromtimestamp(store.now(), time_zone))
        found = store.read(partial(saved.savings, config=loaded.config, period=period))
        advice = store.read(partial(advice_cost, period=period))
    if json:
        plain = in_usd(advice, {"cost"}) | {
            "each": None if advice.each is None else to_usd(advice.each),
            "by_class": list(map(line_row, advice.by_class)),
        }
        print_json({"savings": [in_usd(one, {"amount"}) for one in found], "advice": plain})
        return
    console.print(cost_tables.savings(f"Saved in the last {counted(days, 'day')}", found))
    console.print(cost_tables.advice(advice))


@app.command()
def suggestions(
    config: ConfigPath = None, days: Days = 30, time_zone: Zone = UTC, json: AsJson = False
) -> None:
    """Suggest how the same answers would cost less, with the arithmetic and the data behind it."""
    with open_ledger(config) as (loaded, store):
        period = last_days(days, datetime.fromtimestamp(store.now(), time_zone))
        found = store.read(partial(suggested.suggestions, config=loaded.config, period=period))
    if json:
        columns = ("task", "model", "checked", "feedbacks")
        print_json(
            {
                "models": [_plain(one, {"cost", "would_cost"}) for one in found.models],
                "lengths": [_plain(one, {"freed"}) for one in found.lengths],
                "unrated": [dict(zip(columns, row, strict=True)) for row in found.unrated],
            }
        )
        return
    made: list[CheaperModel | LowerMaxTokens] = [*found.models, *found.lengths]
    for one in made:
        console.print(cost_tables.suggestion(one))
    if not made:
        typer.echo(f"the answers of the last {counted(days, 'day')} suggest nothing")
    if found.unrated:
        names = ", ".join(f"{task} by {model}" for task, model, *_ in found.unrated)
        typer.echo(
            f"\nnot compared, because fewer than {LEAST_RATED} answers were rated: {names}. "
            f"See docs/quality.md for how answers are rated"
        )


def _plain(one: CheaperModel | LowerMaxTokens, money: set[str]) -> dict[str, Any]:
    texts = {"suggestion": one.suggestion, "arithmetic": one.arithmetic}
    saves = {"saves": to_usd(one.saves)} if isinstance(one, CheaperModel) else {}
    return in_usd(one, money) | saves | texts
