"""The ``supernova`` command: its parts, and what its exit codes mean."""

from __future__ import annotations

import io
import os
import sys
from collections import UserDict
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pkgutil import resolve_name
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

from supernova_ai.characters import visible
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
from supernova_ai.secret import HIDDEN, redact
from supernova_ai.terminal.output import Screen, Terminal

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

_NO_ARGUMENT = (
    "a key is never an argument: it is in your shell's history now, so replace it at the provider, and give "
    "the new one at the prompt, on standard input or in a file"
)


class _Commands(UserDict[str, Any]):
    """The commands by name. A module is imported when its command is asked for: all take most of a second."""

    def __getitem__(self, name: str) -> Any:
        return _command(name, super().__getitem__(name))


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(_HOMES)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. No message repeats a key, and Ctrl-C at a prompt is the same as anywhere."""
        of_keys = sys.argv[1:2] == ["keys"]
        if of_keys and any(redact(word.rpartition("=")[2]) == HIDDEN for word in sys.argv):
            raise InvalidRequest(_NO_ARGUMENT)
        try:
            return super().invoke(ctx)
        except typer.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise typer.Exit(130) from None
            raise
        except TyperException as error:
            # Not every provider's keys have a shape that is known.
            extra = of_keys and "extra argument" in error.message
            error.message = _NO_ARGUMENT if extra else visible(redact(error.message), prose=True)
            raise


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
    epilog="Exit codes: 0 done, 2 usage, 3 configuration, 4 keys, 5 budget, 6 provider, 7 database, "
    "130 interrupted, 1 other",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # they would print local variables, and so keys
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from supernova_ai.cli.config import version

        version()
        raise typer.Exit


@app.callback()
def _supernova(
    _: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=_show_version, metavar="", help="Print the version."
        ),
    ] = False,
) -> None:
    """Make it a group: typer sees no commands."""


def main() -> None:
    """Run the command; an error of ours becomes its message on standard error and its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a "€" must not break a terminal that has none
    try:
        with redirect_stdout(Screen(sys.stdout)), redirect_stderr(Screen(sys.stderr)):
            try:
                app()
            finally:
                typer.echo(nl=False)  # flushes
    except (SupernovaError, UnicodeEncodeError) as error:
        undecoded = _undecoded()
        if isinstance(error, UnicodeEncodeError) and not undecoded:
            raise
        _tell(redact("\n".join([str(error), *getattr(error, "__notes__", ()), *undecoded])))
        sys.exit(next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1))
    except OSError as error:
        if error.filename is not None:  # no fault of the output
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again at its end
        if not isinstance(error, BrokenPipeError):
            _tell(f"the output cannot be written: {error.strerror}")
        sys.exit(1)


def _undecoded() -> list[str]:
    """Tell of arguments that are not text in the locale's encoding: Python lets their bytes through."""
    encoding = sys.getfilesystemencoding()
    return [
        f"argument {place} is not text in this locale's encoding ({encoding}): set LC_ALL to a UTF-8 locale, "
        f"such as C.UTF-8, and let the terminal send UTF-8"
        for place, word in enumerate(sys.argv[1:], 1)
        if any("\udc80" <= letter <= "\udcff" for letter in word)
    ]


def _tell(message: str) -> None:
    Terminal(stderr=True).print_labelled("error:", "red", f" {message}")
