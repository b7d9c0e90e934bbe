"""``supernova prices``: what a model costs, and where that is known from."""

from __future__ import annotations

from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai.cli.options import AsJson, ConfigPath, console, models, print_json
from supernova_ai.terminal import inventory_tables

app = typer.Typer(help="Prices: LiteLLM's bundled map, and yours in the YAML.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make ``show`` a command of its own: a group of one would be taken for the command itself."""


@app.command()
def show(
    model: Annotated[
        str, typer.Argument(autocompletion=models, help="A configured model, with or without its provider.")
    ],
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Show what each class of tokens of a configured model costs, in USD per million."""
    from supernova_ai.litellm_adapter import prices  # imports LiteLLM, whose map this is

    rows = prices.listed(configuration.load(config).config, model)
    if json:
        print_json(rows)
    else:
        console.print(inventory_tables.prices(rows))
        factors = {(row["provider"], *one) for row in rows for one in row.get("factors", {}).items()}
        for provider, name, factor in sorted(factors):
            typer.echo(f"{provider}: {factor} times as much where an answer names {name!r}")
        typer.echo(f"price map: {prices.version()}")
