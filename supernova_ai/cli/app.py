"""The ``supernova`` command: its parts, and what its exit codes mean."""

from __future__ import annotations

import sys
from collections import UserDict
from functools import cache
from pkgutil import resolve_name
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_group

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

_HOMES = {
    "chat": "ask:chat",
    "analyze": "ask:analyze",
    "advise": "advise:advise",
    "advice": "advise:app",
    "demo": "ask:demo",
    "version": "config:version",
    "costs": "costs:app",
    "health": "health:app",
    "keys": "keys:app",
    "ledger": "ledger:app",
    "privacy": "privacy:app",
    "alerts": "alerts:app",
    "config": "config:app",
    "prices": "prices:app",
    "prompts": "prompts:app",
}
"""Each command, in the order of the help: its module in this package, and the function or app in it."""


class _Commands(UserDict[str, Any]):
    """The commands by name. A module is imported when its command is asked for: all take most of a second."""

    def __getitem__(self, name: str) -> Any:
        return _command(name, super().__getitem__(name))


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(_HOMES)


@cache
def _command(name: str, home: str) -> Any:
    found = resolve_name(f"supernova_ai.cli.{home}")
    alone = typer.Typer()
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return get_group(alone).commands[name]


app = typer.Typer(
    name="supernova",
    cls=_Group,
    help="The LLM layer of a financial advisor: chat, keys, costs.",
    epilog="Exit codes: 0 done, 2 usage, 3 configuration, 4 keys, 5 budget, 6 provider, 7 database, 1 other",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print local variables, and so keys
)


@app.callback()
def _supernova() -> None:
    """Make it a group: typer sees no commands."""


def main() -> None:
    """Run the command; an error of ours becomes its message on standard error and its exit code."""
    try:
        app()
    except SupernovaError as error:
        Console(stderr=True).print(f"[red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1))


def _plain(error: SupernovaError) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())]).replace("[", r"\[")
