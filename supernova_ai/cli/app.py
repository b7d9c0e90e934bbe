"""The ``supernova`` command: its parts, and what its exit codes mean."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from supernova_ai.cli import alerts, ask, config, costs, keys, ledger, prices
from supernova_ai.errors import (
    BudgetExceeded,
    ConfigError,
    InvalidRequest,
    NoProvider,
    PriceUnknown,
    ProviderError,
    StoreError,
    SupernovaError,
    VaultError,
)

EXIT_CODES: tuple[tuple[type[SupernovaError], int], ...] = (
    (InvalidRequest, 2),
    (ConfigError, 3),
    (VaultError, 4),
    (BudgetExceeded, 5),
    (PriceUnknown, 5),
    (NoProvider, 6),
    (ProviderError, 6),
    (StoreError, 7),
)
"""The first class that fits decides; any other error of ours is 1."""

app = typer.Typer(
    name="supernova",
    help="The LLM layer of a financial advisor: chat, keys, costs.",
    epilog="Exit codes: 0 done, 2 usage, 3 configuration, 4 keys, 5 budget, 6 provider, 7 database, 1 other",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print local variables, and so keys
)
app.command()(ask.chat)
app.command()(ask.analyze)
app.command()(ask.demo)
app.command()(config.version)
app.add_typer(costs.app, name="costs")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.add_typer(alerts.app, name="alerts")
app.add_typer(config.app, name="config")
app.add_typer(prices.app, name="prices")


def main() -> None:
    """Run the command; an error of ours becomes its message on standard error and its exit code."""
    try:
        app()
    except SupernovaError as error:
        Console(stderr=True).print(f"[red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1))


def _plain(error: SupernovaError) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())]).replace("[", r"\[")
