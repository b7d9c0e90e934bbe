"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai import config as configuration
from supernova_ai.characters import escaped
from supernova_ai.config import Loaded
from supernova_ai.errors import SupernovaError
from supernova_ai.identifiers import storable
from supernova_ai.paths import MAX_TEXT_BYTES, open_regular
from supernova_ai.terminal.output import Terminal

MOST_DAYS = 36_500
MOST_ROWS = 1_000_000
"""A larger number is a mistake: it would exceed the calendar or the memory."""

console = Terminal()


def flag(*names: str, help: str) -> Any:  # noqa: A002 - as typer calls it
    """Return an option without a value; by default its help would show ``<bool>``."""
    return typer.Option(*names, metavar="", help=help)


def search_option(*names: str, help: str) -> Any:  # noqa: A002 - as typer calls it
    """Return an option whose value is searched for in the database; text that no row can hold is refused."""
    return typer.Option(*names, callback=searched, help=help, show_default="all")


def searched(param: typer.CallbackParam, value: str | None) -> str | None:
    """Check that the value of an option is text that the database can hold."""
    return value if value is None else storable(param.name or "this", value)


def completion(names: Callable[[Loaded], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a completion of names in the configuration for shells; empty if the configuration is wrong."""

    def complete(incomplete: str) -> list[str]:
        try:
            known = names(configuration.load())
        except SupernovaError:
            return []
        return sorted({name for name in known if name.startswith(incomplete)})

    return complete


complete_provider = completion(lambda loaded: loaded.config.providers)
complete_model = completion(
    lambda loaded: (
        f"{name}/{model}" for name, it in loaded.config.providers.items() for model in it.models.values()
    )
)

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", help="The YAML file.", show_default="searched for")
]
ArchiveFolder = Annotated[
    Path | None,
    typer.Option("--folder", help="The folder of the archives.", show_default="'archive' in the data folder"),
]
AsJson = Annotated[bool, flag("--json", "-j", help="Print JSON for scripts.")]
Confirmed = Annotated[bool, flag("--yes", "-y", help="Do not ask for confirmation.")]


def retention(setting: str, help: str) -> Any:  # noqa: A002 - as typer calls it
    """Return the option ``--days`` of a command that removes what is older than the setting says."""
    return typer.Option("--days", "-d", min=1, max=MOST_DAYS, help=help, show_default=setting)


def retained_days(days: int | None, configured: int | None, setting: str) -> int:
    """Return how many days are kept, as the option or the setting says."""
    kept = days or configured
    if kept is None:
        raise typer.BadParameter(
            f"nothing says how many days are kept. Give --days, or set '{setting}' in the configuration"
        )
    return kept


def runs_subcommand(context: typer.Context) -> bool:
    """Tell whether a subcommand was given, which then does all the work and takes all options."""
    if context.invoked_subcommand is None:
        return False
    for name in context.params:
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"write --{name} after {context.invoked_subcommand!r}, not before it")
    return True


def archive_folder(folder: Path | None) -> Path:
    """Return the folder of the archives: the one given, or ``archive`` in the data folder."""
    return folder or configuration.data_folder(configuration.read_environ()) / "archive"


def print_json(value: Any) -> None:
    """Print the value as JSON: records as objects, amounts of money as strings, times in ISO 8601."""
    typer.echo(escaped(json.dumps(value, default=_jsonable, indent=2, ensure_ascii=False)))


def read_text(path: Path | None) -> str:
    """Return the text of a file, or of standard input for None; the bytes must be UTF-8."""
    try:
        with open_regular(path, MAX_TEXT_BYTES) if path else nullcontext(sys.stdin.buffer) as file:
            read = file.read(MAX_TEXT_BYTES + 1)
        if len(read) > MAX_TEXT_BYTES:
            raise OSError(f"it is longer than {MAX_TEXT_BYTES // 2**20} MiB")
        return read.decode()
    except (OSError, UnicodeDecodeError) as error:
        remedy = ". It must be in UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        raise typer.BadParameter(
            f"{path or 'standard input'} cannot be read as text: {error}{remedy}"
        ) from None


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
