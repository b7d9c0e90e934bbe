"""``supernova setup``: ask what is to be decided, and set everything up."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from supernova_ai import config as configuration
from supernova_ai.characters import quoted
from supernova_ai.cli.options import console, flag, load, nano_of, read_text
from supernova_ai.config import Config
from supernova_ai.config.environments import BUILT_IN as ENVIRONMENTS
from supernova_ai.config.fields import nearest
from supernova_ai.config.load import in_home
from supernova_ai.errors import InvalidRequest, MasterKeyError
from supernova_ai.keys.keyring_entry import KeyringEntry
from supernova_ai.keys.source import PROVIDERS, variable
from supernova_ai.keys.vault import SLOTS
from supernova_ai.money import to_nano
from supernova_ai.operations import key_entry
from supernova_ai.operations.setup import steps
from supernova_ai.operations.setup.steps import Answers, Place, Step
from supernova_ai.secret import Secret

_KEYRING_S = 5.0
_COLOURS = {"done": "green", "kept": "cyan", "skipped": "yellow", "failed": "red"}
_NEXT = (
    'supernova chat "What is a bond?"      ask a model',
    "supernova doctor                      check the installation",
    "supernova costs                       see what was spent",
    "supernova backup create               make an encrypted backup",
    "supernova run                         probes, alerts, reports and backups by themselves",
)


def setup(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The YAML file to write.", show_default="config/supernova.yaml"),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            "--env", help="development, staging or production, in a new configuration.", show_default="asked"
        ),
    ] = None,
    daily: Annotated[
        str | None,
        typer.Option(help="The daily budget of a new configuration, in USD.", show_default="asked"),
    ] = None,
    monthly: Annotated[
        str | None,
        typer.Option(help="The monthly budget of a new configuration, in USD.", show_default="asked"),
    ] = None,
    master: Annotated[
        Place | None, typer.Option(help="Where a new master key is stored.", show_default="asked")
    ] = None,
    import_keys: Annotated[
        bool | None,
        typer.Option(
            "--import-keys/--no-import-keys", help="Copy keys from .env into the vault.", show_default="asked"
        ),
    ] = None,
    blank: Annotated[
        bool | None,
        typer.Option("--blank/--no-blank", help="Then empty them in .env.", show_default="asked"),
    ] = None,
    key_file: Annotated[
        list[str] | None,
        typer.Option(
            "--key-file", help="A key to store: PROVIDER=FILE, or PROVIDER/backup=FILE.", show_default="none"
        ),
    ] = None,
    test: Annotated[
        bool | None,
        typer.Option(
            "--test/--no-test", help="Send a test question, for a cent at most.", show_default="asked"
        ),
    ] = None,
    systemd: Annotated[bool, flag("--systemd", help="Write a systemd unit for `supernova run`.")] = False,
    yes: Annotated[bool, flag("--yes", "-y", help="Ask nothing: take the defaults.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write the report: Markdown, or JSON by its name.", show_default="none"),
    ] = None,
) -> None:
    """Set up configuration, database, master key and API keys, and keep what is there already."""
    file = in_home((config or _usual_file()).expanduser)
    asked = _Questions(yes=yes)
    there = load(file).config if file.exists() else None
    which = f"Environment ({', '.join(ENVIRONMENTS)})"
    questions = (
        ("environment", "--env", environment, which, "development", _one_of(ENVIRONMENTS)),
        ("budgets.daily.limit", "--daily", daily, "Daily budget in USD", "50.00", _limit),
        ("budgets.monthly.limit", "--monthly", monthly, "Monthly budget in USD", "1000.00", _limit),
    )
    settings = {
        key: asked.text(option, given, question, default, check)
        for key, option, given, question, default, check in questions
        if there is None or given is not None
    }
    if there:
        _check_kept(there, file, settings)
    place = asked.text(
        "--master",
        master,
        "Master key in keyring, file or credential",
        _usual_place(),
        _one_of(get_args(Place)),
    )
    found = [name for name in _key_variables() if configuration.read_environ().get(name)]
    import_, blank_ = bool(import_keys), bool(blank)
    if found:
        import_ = asked.yes_or_no(
            "--import-keys", import_keys, f"Store {', '.join(found)} encrypted", default=True
        )
        blank_ = import_ and asked.yes_or_no("--blank", blank, "Then empty them in .env", default=False)
    keys = _keys_of_files(there or Config(), key_file or []) or asked.keys(found)
    ask = asked.yes_or_no("--test", test, "Send a test question, for a cent at most", default=True)
    asked.check()
    answers = Answers(
        file=file,
        settings=settings,
        master=cast("Place", place),
        import_keys=import_,
        blank=blank_,
        keys=keys,
        ask=ask,
        unit=_unit_path() if systemd else None,
    )
    done = []
    for step in steps.run(answers):
        done.append(step)
        console.print_labelled(f"{step.outcome:>8}", _COLOURS[step.outcome], f"  {step.name}: {step.text}")
    if report:
        _write_report(report, done)
    if done[-1].outcome == "failed":
        raise typer.Exit(1)
    console.print_labelled("", "", "\nNext:\n" + "\n".join(f"  {line}" for line in _NEXT))


class _Questions:
    """Asks what no option said. Without a terminal nothing can be asked: the missing options are named."""

    def __init__(self, *, yes: bool) -> None:
        self._defaults = yes
        self._can_ask = sys.stdin.isatty()
        self._missing: list[str] = []

    def text(
        self, option: str, given: str | None, question: str, default: str, check: Callable[[str], str]
    ) -> str:
        """Return what was given, or the answer. A wrong answer is asked for again."""
        if given is None and self._may_ask(option):
            return str(typer.prompt(question, default=default, value_proc=check))
        try:
            return check(default if given is None else given)
        except typer.BadParameter as error:
            raise typer.BadParameter(error.message, param_hint=option) from None

    def yes_or_no(self, option: str, given: bool | None, question: str, *, default: bool) -> bool:
        """Return what was given, or the answer."""
        if given is not None or not self._may_ask(option):
            return default if given is None else given
        return typer.confirm(question, default=default)

    def keys(self, found: Iterable[str]) -> dict[tuple[str, str], Secret]:
        """Ask for a key of each provider that takes one and has none in a variable; they are not shown."""
        if self._defaults or not self._can_ask:
            return {}
        keys = {}
        for provider in PROVIDERS:
            if provider == "ollama" or variable(provider, SLOTS[0]) in found:
                continue
            text = typer.prompt(
                f"Key of {provider} (empty: none)", default="", hide_input=True, show_default=False
            )
            if text.strip():
                keys[provider, SLOTS[0]] = Secret(text.strip())
        return keys

    def check(self) -> None:
        """Refuse to guess: name the options that a script must give."""
        if self._missing:
            raise typer.BadParameter(
                f"there is no terminal to ask on: give {', '.join(self._missing)}, or --yes for the defaults"
            )

    def _may_ask(self, option: str) -> bool:
        if self._defaults:
            return False
        if not self._can_ask:
            self._missing.append(option)
        return self._can_ask


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    def check(answer: str) -> str:
        if answer not in known:
            raise typer.BadParameter(
                f"{quoted(answer)} must be one of {', '.join(known)}.{nearest(answer, known)}"
            )
        return answer

    return check


def _limit(answer: str) -> str:
    if nano_of(answer) <= 0:
        raise typer.BadParameter(f"a budget must be more than 0 USD, not {answer}")
    return answer


def _usual_file() -> Path:
    return Path(configuration.read_environ().get("SUPERNOVA_CONFIG") or Path("config", "supernova.yaml"))


def _usual_place() -> Place:
    """Return the keyring if there is a safe one that answers, otherwise a file."""
    with suppress(MasterKeyError):
        KeyringEntry("setup", backend=None, timeout=_KEYRING_S).get()
        return "keyring"
    return "file"


def _key_variables() -> list[str]:
    return [variable(provider, slot) for provider in PROVIDERS for slot in SLOTS]


def _check_kept(config: Config, file: Path, settings: Mapping[str, str]) -> None:
    """Refuse settings that differ from the configuration that is there: it stays as it is."""
    limits = {f"budgets.{budget.name}.limit": to_nano(budget.limit) for budget in config.budgets}
    for key, value in settings.items():
        is_limit = key != "environment"
        there, asked = (limits.get(key), nano_of(value)) if is_limit else (config.environment, value)
        if there != asked:
            command = shlex.join(["supernova", "config", "set", key, value, "--config", str(file)])
            raise typer.BadParameter(f"{file} exists, and setup changes nothing in it. Run: {command}")


def _keys_of_files(config: Config, given: Iterable[str]) -> dict[tuple[str, str], Secret]:
    keys = {}
    for one in given:
        where, separator, file = one.partition("=")
        provider, _, slot = where.partition("/")
        if not separator or (slot or SLOTS[0]) not in SLOTS:
            raise typer.BadParameter(
                f"write PROVIDER=FILE, or PROVIDER/backup=FILE, not {where!r}", param_hint="--key-file"
            )
        try:
            keys[provider, slot or SLOTS[0]] = key_entry.as_key(config, provider, read_text(Path(file)))
        except InvalidRequest as error:
            raise typer.BadParameter(f"{file}: {error}", param_hint="--key-file") from None
    return keys


def _unit_path() -> Path:
    if os.geteuid() == 0:
        return Path("/etc/systemd/system/supernova.service")
    return Path("~/.config/systemd/user/supernova.service").expanduser()


def _write_report(file: Path, steps: list[Step]) -> None:
    if file.suffix == ".json":
        text = json.dumps([asdict(step) for step in steps], indent=2, ensure_ascii=False) + "\n"
    else:
        rows = "\n".join(
            f"| {step.name} | {step.outcome} | {step.text.replace('|', '/')} |" for step in steps
        )
        text = f"# Set-up of SuperNova AI\n\n| step | outcome | what |\n|---|---|---|\n{rows}\n"
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(
            f"{file} cannot be written: {error.strerror}", param_hint="--report"
        ) from None
