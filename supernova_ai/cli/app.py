"""The ``supernova`` command: its subcommands, its exit codes, and how errors are printed."""

from __future__ import annotations

import io
import os
import sys
from collections import UserDict
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

from supernova_ai.actor import acting
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
from supernova_ai.log import setup
from supernova_ai.secret import HIDDEN, redact
from supernova_ai.terminal.screen import Screen, open_standard_streams

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
"""Exit codes. The first class that matches decides; any other ``SupernovaError`` exits with 1."""

_COMMANDS = {
    "chat": ("ask:chat", "Answer a message and print the text as it arrives."),
    "analyze": ("ask:analyze", "Analyse a text without following any instructions in it."),
    "advise": (
        "advise:advise_app",
        "Advise on an asset from its bars, or rank all of a folder; a model writes no figures.",
    ),
    "advice": ("advise:app", "List, show, replay, verify and prune recorded advice."),
    "demo": (
        "ask:demo",
        "Show a failover, a refusal, advice and the ledger, with a real model on this machine.",
    ),
    "version": ("config:version", "Print the versions of this package and of LiteLLM."),
    "status": (
        "status:status",
        "Show providers, requests, money, alerts, jobs, and what needs a person, on one screen.",
    ),
    "costs": ("costs:app", "Show how full the budgets are, the totals per model, and the latest attempts."),
    "feedback": ("feedback:app", "Keep what users think of answers, list it, or report it beside the costs."),
    "health": (
        "health:app",
        "Show each deployment's state, last failure, success rate and latency, the worst first.",
    ),
    "metrics": (
        "metrics:metrics",
        "Print the metrics of all processes on the database, as Prometheus reads them.",
    ),
    "keys": (
        "key_lifecycle:app",
        "Add, list, rotate, check, revoke, remove or import API keys; rotate the master key.",
    ),
    "audit": ("audit:app", "List, verify or export the record of all operations."),
    "ledger": ("ledger:app", "Verify, settle, reconcile, archive, restore, vacuum or copy the ledger."),
    "backup": ("backup:app", "Make, list, verify, restore or prune encrypted backups."),
    "privacy": ("privacy:app", "Export the data of one user, or erase the user's identity."),
    "alerts": (
        "alerts:app",
        "List, test and acknowledge alerts of budgets, spending spikes, keys, configuration and jobs.",
    ),
    "serve": (
        "serve:serve",
        "Serve OpenAI's API over the configured models until stopped; clients send the token as API key.",
    ),
    "dashboard": (
        "dashboard:app",
        "Show providers, money and errors in a browser until stopped; the printed link signs in once.",
    ),
    "run": (
        "run:run",
        "Run the scheduled jobs until stopped; of several such processes on one database, one runs them.",
    ),
    "maintain": (
        "run:maintain",
        "Run the jobs that are due once, or the named ones, and exit with 1 if one failed; for cron.",
    ),
    "jobs": (
        "run:jobs",
        "List the scheduled jobs: last and next run, duration, outcome, and which process leads.",
    ),
    "config": ("config:app", "Show, check or change the configuration."),
    "setup": (
        "setup:setup",
        "Set up configuration, database, master key and API keys, and keep what is there already.",
    ),
    "doctor": ("doctor:doctor", "Check everything that can be checked, and say what to do about each fault."),
    "prices": ("prices:app", "Show prices, from your YAML or from the map that LiteLLM bundles."),
    "prompts": ("prompts:app", "List, show, render and check prompt templates."),
}
"""The module and the function or app of each command, and its help, in the order of the help."""

_KEY_AS_ARGUMENT = (
    "a key is never an argument: it is in your shell's history now, so replace it at the provider, and give "
    "the new one at the prompt, on standard input or in a file"
)

_HIDDEN_AS_ARGUMENT = (
    "a password is never an argument: it is in your shell's history now, so choose another, and give it at "
    "the prompt or on standard input"
)

_PR_SET_DUMPABLE = 4
"""An option of prctl(2)."""

_PLAIN_WORDING = {
    "int_parsing": "{input!r} is not a whole number",
    "int_parsing_size": "{input!r} is too large",
    "float_parsing": "{input!r} is not a number",
    "greater_than_equal": "{input} is less than the minimum, {ge}",
    "less_than_equal": "{input} is more than the maximum, {le}",
}
"""Our message for each kind of error of pydantic, with which typer checks values."""


class _Commands(UserDict[str, Any]):
    """The commands by name. Importing them all takes most of a second: each is imported when it runs."""

    def __getitem__(self, name: str) -> Any:
        return _command(name, super().__getitem__(name)[0])


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(_COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing the commands."""
        self.commands = {name: TyperCommand(name, help=text) for name, (_, text) in _COMMANDS.items()}
        super().format_help(ctx, formatter)
        self.commands = _Commands(_COMMANDS)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Errors are plain and repeat no key; Ctrl-C at a prompt exits with 130 too."""
        _finish_interrupted_restore()
        handles_keys = sys.argv[1:2] == ["keys"]
        if handles_keys and any(redact(word.rpartition("=")[2]) == HIDDEN for word in sys.argv):
            raise InvalidRequest(_KEY_AS_ARGUMENT)
        try:
            return super().invoke(ctx)
        except typer.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise typer.Exit(130) from None
            raise
        except TyperException as error:
            if handles_keys and "extra argument" in error.message:  # a key need not have a known shape
                error.message = _KEY_AS_ARGUMENT
            elif sys.argv[1:3] == ["dashboard", "users"] and "extra argument" in error.message:
                error.message = _HIDDEN_AS_ARGUMENT
            else:
                error.message = visible(redact(_plain_message(error)), prose=True)
            raise


def _finish_interrupted_restore() -> None:
    """Complete or undo a restore that was killed, before the command reads what it restores."""
    from supernova_ai.config import data_folder, read_environ

    try:
        folder = data_folder(read_environ())
    except ConfigError:
        return  # the command reports it, if it needs the folder
    if any(folder.glob(".restore-*")):  # before the import, which takes longer than most commands
        from supernova_ai.operations.backup.pending import finish_interrupted

        for done in finish_interrupted(folder):
            typer.echo(done, err=True)


def _plain_message(error: TyperException) -> str:
    """Return the error's message, in our words where pydantic refused a value."""
    cause = error.__cause__
    if cause is None:
        return error.message
    from pydantic import ValidationError  # with an error only: its import takes longer than the help

    if not isinstance(cause, ValidationError):
        return error.message
    details = cause.errors()[0]
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    if wording := _PLAIN_WORDING.get(details["type"]):
        return wording.format(input=details["input"], **details.get("ctx", {}))
    return error.message


@cache
def _command(name: str, location: str) -> Any:
    module, _, attribute = location.partition(":")
    function_or_app = getattr(import_module(f"supernova_ai.cli.{module}"), attribute)
    parent = typer.Typer()
    if isinstance(function_or_app, typer.Typer):
        parent.add_typer(function_or_app, name=name)
    else:
        parent.command(name)(function_or_app)
    return get_group(parent).commands[name]


app = typer.Typer(
    name="supernova",
    cls=_Group,
    help="Ask models, give advice, and manage keys, budgets and costs.",
    epilog="Exit codes: 0 done, 2 usage, 3 configuration, 4 keys, 5 budget, 6 provider, 7 database, "
    "130 interrupted, 1 other",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # they print local variables, which may be keys
)


def versions() -> dict[str, str]:
    """Return the versions of this package and of LiteLLM."""
    from importlib.metadata import version as installed  # here: it takes as long to import as typer

    return {name: installed(name) for name in ("supernova-ai", "litellm")}


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(" ".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit


@app.callback()
def _supernova(
    _: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=_print_version, metavar="", help="Print the version."
        ),
    ] = False,
) -> None:
    """Make it a group: typer does not see the commands, which are loaded later."""


def main() -> None:
    """Run the command; print a ``SupernovaError`` to standard error and exit with its code."""
    forbid_core_dumps()
    open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a "€" must not fail if the encoding lacks it
    try:
        with redirect_stdout(Screen(sys.stdout)), redirect_stderr(Screen(sys.stderr)), acting("cli"):
            setup.configure(terminal=True)  # until the configuration is read
            try:
                app()
            finally:
                typer.echo(nl=False)  # flushes
    except (SupernovaError, UnicodeEncodeError) as error:
        undecoded = _undecodable_arguments()
        if isinstance(error, UnicodeEncodeError) and not undecoded:
            raise
        _print_error(redact("\n".join([str(error), *getattr(error, "__notes__", ()), *undecoded])))
        sys.exit(next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1))
    except OSError as error:
        if error.filename is not None:  # the error is not of the output
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python writes again at exit
        if not isinstance(error, BrokenPipeError):
            _print_error(f"the output cannot be written: {error.strerror}")
        sys.exit(1)


def forbid_core_dumps() -> None:
    """Let the system write no core dump of this process, which may hold keys.

    On Linux no other process of this user can then read its memory, or the environment it started with.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)


def _undecodable_arguments() -> list[str]:
    """Describe the arguments that are not text in the locale's encoding: Python passes their bytes on."""
    encoding = sys.getfilesystemencoding()
    return [
        f"argument {number} is not text in this locale's encoding ({encoding}): set LC_ALL to a UTF-8 "
        f"locale, such as C.UTF-8, and set the terminal to UTF-8"
        for number, word in enumerate(sys.argv[1:], 1)
        if any("\udc80" <= letter <= "\udcff" for letter in word)
    ]


def _print_error(message: str) -> None:
    from supernova_ai.terminal.output import Terminal  # with an error only: it imports rich

    Terminal(stderr=True).print_labelled("error:", "red", f" {message}")
