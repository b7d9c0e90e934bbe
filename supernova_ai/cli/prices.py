"""``supernova prices``: what a model costs, and where the price comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from supernova_ai.cli.options import AsJson, ConfigPath, complete_model, console, load, print_json
from supernova_ai.pricing.price_map import version
from supernova_ai.pricing.prices import price_table
from supernova_ai.terminal import inventory_tables

app = typer.Typer(
    help="Show prices, from your YAML or from the map that LiteLLM bundles.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Make ``show`` a subcommand: typer turns a group of one command into that command."""


@app.command()
def show(
    model: Annotated[
        str,
        typer.Argument(
            autocompletion=complete_model, help="A configured model, with or without its provider."
        ),
    ],
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Show what each class of tokens of a configured model costs, in USD per million."""
    rows = price_table(load(config).config, model)
    if json:
        print_json(rows)
    else:
        console.print(inventory_tables.prices(rows))
        factors = {(row["provider"], *one) for row in rows for one in row.get("factors", {}).items()}
        for provider, name, factor in sorted(factors):
            typer.echo(f"{provider}: multiplied by {factor} if an answer names {name!r}")
        for row in rows:
            if "per_search" in row:
                typer.echo(f"{row['provider']}: {row['per_search']} USD per search of up to 100 documents")
        typer.echo(f"price map: {version()}")
