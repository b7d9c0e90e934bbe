"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from supernova_ai import config as configuration
from supernova_ai.characters import escaped
from supernova_ai.config import Loaded
from supernova_ai.errors import SupernovaError
from supernova_ai.identifiers import checked_tags, storable
from supernova_ai.money import to_nano
from supernova_ai.paths import MAX_TEXT_BYTES, open_regular, reason_of
from supernova_ai.terminal.output import Terminal

if TYPE_CHECKING:
    from supernova_ai.client import Supernova
    from supernova_ai.keys import Vault
    from supernova_ai.store import Store

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


def limit_option(help: str, least: int = 1) -> Any:  # noqa: A002 - as typer calls it
    """Return the option ``--limit``, a number of rows."""
    return typer.Option("--limit", "-n", min=least, max=MOST_ROWS, help=help)


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
complete_environment = completion(lambda loaded: loaded.environments)
complete_model = completion(
    lambda loaded: (
        f"{name}/{model}" for name, it in loaded.config.providers.items() for model in it.models.values()
    )
)

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", help="The YAML file.", show_default="searched for")
]
Environment = Annotated[
    str | None,
    typer.Option(
        "--env",
        "-e",
        autocompletion=complete_environment,
        help="Another environment than the one in force.",
        show_default=False,
    ),
]
ArchiveFolder = Annotated[
    Path | None,
    typer.Option("--folder", help="The folder of the archives.", show_default="'archive' in the data folder"),
]
Team = Annotated[str | None, typer.Option("--team", help="The team whose budgets count it.")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME=VALUE", help="A tag whose budgets count it; may be repeated."),
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


def read_tags(texts: Iterable[str] | None) -> dict[str, str]:
    """Return the tags that options give as NAME=VALUE."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--tag {name!r} must be NAME=VALUE, such as desk=fx")
        if name in found:
            raise typer.BadParameter("a tag can have one value only: --tag names one twice")
        found[name] = value
    return checked_tags(found)


def one_tag(text: str | None) -> tuple[str, str] | None:
    """Return the tag that an option gives as NAME=VALUE, if any."""
    return None if text is None else next(iter(read_tags([text]).items()))


def runs_subcommand(context: typer.Context) -> bool:
    """Tell whether a subcommand was given, which then does all the work and takes all options."""
    if context.invoked_subcommand is None:
        return False
    for name in context.params:
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"write --{name} after {context.invoked_subcommand!r}, not before it")
    return True


_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(text: str) -> float:
    """Return the seconds of a duration such as 30s, 10m, 2h or 1d."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 30s, 10m, 2h or 1d")
    return float(found[1]) * _UNITS_S[found[2]]


def moment(text: str) -> datetime:
    """Return a date or time in ISO 8601, which is in UTC unless it says otherwise.

    Raises:
        ValueError: the text is no date or time, or in UTC it is outside the years 1 to 9999.
    """
    at = datetime.fromisoformat(text)
    try:
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def since_option(help: str, default: str) -> Any:  # noqa: A002 - as typer calls it
    """Return the option ``--since``, whose value is a date or time."""

    def parse(text: str) -> datetime:
        try:
            return moment(text)
        except ValueError:
            raise typer.BadParameter(
                f"{text!r} is not a date: write 2026-11-22 or 2026-11-22T08:30+01:00"
            ) from None

    return typer.Option("--since", parser=parse, metavar="DATE", help=help, show_default=default)


def load(config: Path | None, *, strict: bool = True, terminal: bool = True) -> Loaded:
    """Load the configuration for a command, and log as it says.

    Args:
        strict: refuse what the environment refuses.
        terminal: a person waits for the command, and sees warnings only.

    Raises:
        ConfigError: it is wrong, or the log file cannot be written.
    """
    loaded = configuration.load(config, strict=strict)
    configuration.configure_logging(loaded.config, terminal=terminal)
    return loaded


def client(config: Path | None, *, service: bool = False, preload: bool = True) -> Supernova:
    """Return a client for a command, and log as its configuration says; raises as ``load`` does.

    Args:
        service: it runs until it is stopped: edits of the configuration are applied.
        preload: it will ask a model.
    """
    from supernova_ai.client import Supernova

    nova = Supernova(config, watch=service, preload=preload)
    configuration.configure_logging(nova.config, terminal=not service)
    return nova


def vault_for(store: Store, *, create: bool = False) -> Vault:
    """Return the store's vault; with ``create``, the first key makes a master key in the keyring."""
    from supernova_ai.keys import open_vault  # here: most commands need no cryptography

    return open_vault(store, environ=configuration.read_environ(), create=create)


def archive_folder(folder: Path | None) -> Path:
    """Return the folder of the archives: the one given, or ``archive`` in the data folder."""
    return folder or configuration.data_folder(configuration.read_environ()) / "archive"


def print_json(value: Any) -> None:
    """Print the value as JSON: records as objects, amounts of money as strings, times in ISO 8601."""
    typer.echo(escaped(json.dumps(value, default=_jsonable, indent=2, ensure_ascii=False)))


def nano_of(amount: str, option: str | None = None) -> int:
    """Return an amount in USD as nano-USD; an error names the option, if it is given."""
    try:
        return to_nano(amount)
    except ValueError as error:
        raise typer.BadParameter(f"{error}: write it as 5.00", param_hint=option) from None


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
            f"{path or 'standard input'} cannot be read as text: {reason_of(error)}{remedy}"
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
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
