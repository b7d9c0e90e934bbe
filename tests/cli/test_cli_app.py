"""The command as a whole: exit codes, where output goes, and what is never imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from supernova_ai import config as configuration
from supernova_ai import errors
from supernova_ai.cli import app
from tests.advisor.sample_advice import CSV
from tests.cli.conftest import KEY, Supernova

_BUDGET = errors.BudgetExceeded(
    budget="daily",
    spent=Decimal(1),
    held=Decimal(0),
    limit=Decimal(1),
    needed=Decimal(1),
    resets_at=datetime(2026, 11, 23, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SupernovaError("some"), 1),
        (errors.ExtraMissing("local"), 1),
        (errors.InvalidRequest("empty"), 2),
        (errors.ConfigError("budgets[0].per is [/wrong]"), 3),
        (errors.MasterKeyError("none"), 4),
        (errors.KeyFormatError("shape"), 4),
        (errors.KeyNotFound("slot"), 4),
        (errors.KeyCorrupt("record"), 4),
        (_BUDGET, 5),
        (errors.PriceUnknown("model"), 5),
        (errors.NoProvider("nobody"), 6),
        (errors.AuthenticationFailed("401"), 6),
        (errors.StreamInterrupted("half", errors.ProviderUnavailable("reset")), 6),
        (errors.SchemaTooNew("database"), 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_error_becomes_message_and_code(
    error: errors.SupernovaError, code: int, supernova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ``SupernovaError`` ends the command with the code of its class, and its message on standard error."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(configuration, "load", fail)
    result = supernova("config", "validate")
    assert (result.code, result.out, result.err) == (code, "", f"error: {error}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chta", "hello"), "Did you mean 'chat'?"),
        (("chat", "hello", "--modle", "m"), "No such option: --modle"),
        (("chat",), "Missing argument"),
        (("chat", "hello", "--max-tokens", "many"), "'many' is not a whole number"),
        (
            ("chat", "hello", "--tier", "gold"),
            "Invalid value for '--tier' / '-t': 'gold' is not one of 'economy', 'standard', 'premium'",
        ),
        (("costs", "--days", "0"), "Invalid value for '--days' / '-d': 0 is less than the minimum, 1"),
        (("costs", "--days", "99999999"), "99999999 is more than the maximum, 36500"),
        (
            ("costs", "--limit", "99999999999999999999"),
            "99999999999999999999 is more than the maximum, 1000000",
        ),
        (("health", "--hours", "9999999"), "9999999 is more than the maximum, 876000"),
        (("health", "uptime", "--days", "99999999"), "99999999 is more than the maximum, 36500"),
        (("advice", "prune", "--days", "99999999"), "99999999 is more than the maximum, 36500"),
        (
            ("advice", "list", "--limit", "99999999999999999999"),
            "99999999999999999999 is more than the maximum, 1000000",
        ),
        (("ledger", "archive", "--days", "99999999"), "99999999 is more than the maximum, 36500"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_usage_error(arguments: tuple[str, ...], said: str, supernova: Supernova) -> None:
    """A wrong command, option or value exits with 2 and is explained on standard error."""
    result = supernova(*arguments)
    assert (result.code, result.out) == (2, "")
    assert said in " ".join(result.err.replace("│", "").split())


def test_help_names_commands_and_exit_codes(supernova: Supernova) -> None:
    """The help lists every command and every exit code."""
    result = supernova("--help")
    assert result.code == 0
    for command in app._COMMANDS:
        assert f"│ {command} " in result.out
    codes = " ".join(result.out.partition("Exit codes:")[2].split())
    assert all(f"{code} " in codes for code in {0, 1, 130, *(code for _, code in app.EXIT_CODES)})


def test_every_command_and_option_is_explained() -> None:
    """The help of each command is one sentence, an imperative; each argument and option has help too.

    The help of all commands, which is printed without importing them, says the same.
    """
    listed = {name: command.help for name, command in get_group(app.app).commands.items()}
    assert listed == {name: text for name, (_, text) in app._COMMANDS.items()}
    for name, command in _commands(get_group(app.app)):
        help_text = command.help or ""
        assert re.fullmatch(r"(?!\w*[^s]s )[A-Z][^.]*(?:\.\w[^.]*)*\.", help_text), (name, help_text)
        for parameter in command.params:
            assert parameter.name == "help" or parameter.help, (name, parameter.name)


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")


def test_version(supernova: Supernova) -> None:
    """The version names this package and LiteLLM, as text and as JSON."""
    versions = supernova("version", "--json").json
    assert set(versions) == {"supernova-ai", "litellm"}
    assert (
        supernova("version").out == " ".join(f"{name} {number}" for name, number in versions.items()) + "\n"
    )
    assert supernova("--version").out == supernova("version").out


def test_no_message_repeats_a_key(supernova: Supernova) -> None:
    """An argument that looks like a key is not repeated in the error of any command."""
    result = supernova("costs", KEY)
    assert (result.code, result.out) == (2, "")
    assert "No such command" in result.err
    assert KEY not in result.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["version"], ["costs", "export"], ["costs"]], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line(script: str, arguments: list[str]) -> None:
    """A full disk ends the command with 1 and one line, without a traceback."""
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([script, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1
    assert run.stderr == "error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("keys add openai <&-", 2, "the key is empty"),
        ("chat - <&-", 2, "message must be a text that is not empty"),
        ("setup <&-", 2, "there is no terminal to ask on"),
        ("version >&-", 0, ""),
        ("costs --days 0 2>&-", 2, ""),
    ],
)
def test_a_closed_standard_stream_is_empty(script: str, command: str, code: int, said: str) -> None:
    """A command whose standard input is closed reads nothing; one whose output is closed prints nothing."""
    run = subprocess.run(["/bin/sh", "-c", f"exec {script} {command}"], capture_output=True, text=True)
    assert (run.returncode, run.stdout, "Traceback" in run.stderr) == (code, "", False)
    assert said in run.stderr


def test_characters_outside_the_output_encoding_are_replaced(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A character that the output encoding does not have becomes a question mark."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    bars = Path(__file__).parents[2] / "examples" / "bars.csv"
    command = [script, "advise", "--symbol", "AAPL", "--bars", str(bars), "--no-llm"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "rationale without a model (no model was asked: explain is False) ? 0 requests" in run.stdout


def test_only_commands_that_ask_a_model_import_litellm(folder: Path) -> None:
    """A command that needs neither a model nor a list of models works without importing LiteLLM."""
    (folder / "key").write_text(KEY)
    commands = [
        ["--help"],
        ["version"],
        ["config", "show"],
        ["keys", "add", "openai", "--file", "key"],
        ["keys", "list"],
        ["keys", "import-env"],
        ["audit", "verify"],
        ["keys", "remove", "openai", "--yes"],
        ["costs"],
        ["costs", "--json"],
        ["costs", "report"],
        ["costs", "forecast"],
        ["health"],
        ["health", "uptime"],
        ["status"],
        ["ledger", "verify"],
        ["ledger", "lost"],
        ["alerts", "list"],
        ["prices", "show", "gpt-6-luna"],
        ["prompts", "list"],
        ["advise", "--symbol", "AAPL", "--bars", str(CSV), "--no-llm", "--user", "ann"],
        ["advice", "list"],
        ["advice", "verify"],
        ["privacy", "export", "--user", "ann"],
    ]
    program = (
        "import json, sys\n"
        "from supernova_ai.cli import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['supernova', *command]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        print(command, end.code, 'litellm' in sys.modules, file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    assert run.stderr.splitlines() == [f"{command} 0 False" for command in commands]


def test_a_command_imports_only_its_module(folder: Path) -> None:
    """A command imports only its own module, and no cryptography if it decrypts no keys."""
    program = (
        "import sys\n"
        "from supernova_ai.cli import main\n"
        "sys.argv = ['supernova', 'costs', 'report']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(*sorted(name for name in sys.modules if name.startswith('supernova_ai.cli.')))\n"
        "    print('cryptography' in sys.modules, 'apprise' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    own = ("cost_files", "cost_options", "cost_savings", "costs")  # the command is in four files
    modules = " ".join(f"supernova_ai.cli.{name}" for name in ("app", *own, "options"))
    assert run.stdout.splitlines()[1:] == [modules, "False False"]


def test_help_imports_no_command(folder: Path) -> None:
    """``supernova --help`` and ``--version`` import no command, no database and no configuration."""
    program = (
        "import sys\n"
        "from supernova_ai.cli import main\n"
        "for option in ('--help', '--version'):\n"
        "    sys.argv = ['supernova', option]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "print({'peewee', 'pydantic', 'supernova_ai.cli.options'} & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "set()"


def test_light_commands_import_no_heavy_package(folder: Path) -> None:
    """Commands that only read settings import no package that connects, locks, or shows progress."""
    commands = [
        ["--version"],
        ["version"],
        ["config", "show"],
        ["prices", "show", "gpt-6-luna"],
        ["prompts", "list"],
    ]
    heavy = (
        "aiohttp apprise asyncio cryptography filelock http.client httpx keyring numpy packaging pandas "
        "peewee rich.live rich.markdown rich.progress ssl starlette structlog talipp urllib.request"
    )
    program = (
        "import json, sys\n"
        "from supernova_ai.cli import main\n"
        "commands, heavy = json.loads(sys.argv[1]), set(sys.argv[2].split())\n"
        "for command in commands:\n"
        "    sys.argv = ['supernova', *command]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        print(command, end.code, sys.modules.keys() & heavy, file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands), heavy],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr.splitlines() == [f"{command} 0 set()" for command in commands]


def test_installed_script(script: str, folder: Path) -> None:
    """The installed script prints results to standard output, and an error without a traceback."""
    run = subprocess.run([script, "version", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["supernova-ai"]
    (folder / "bad.yaml").write_text("routing: {retries: many}\n")
    run = subprocess.run(
        [script, "config", "validate", "--config", "bad.yaml"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr.startswith("error: the configuration cannot be used")
    assert "bad.yaml:1: routing.retries is 'many'" in run.stderr
    assert "Traceback" not in run.stderr


def test_every_command_has_the_short_option_for_help(supernova: Supernova) -> None:
    """Every command shows its help with -h, and the help of a flag shows no value."""
    for words in ((), ("costs",), ("costs", "report"), ("keys", "add")):
        result = supernova(*words, "-h")
        assert (result.code, "Usage: supernova" in result.out) == (0, True)
    (line,) = (line for line in supernova("costs", "-h").out.splitlines() if "--json" in line)
    assert "-j" in line
    assert "<" not in line


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("keys add op", "openai"),
        ("prices show anthropic/claude-o", "anthropic/claude-opus-5-5"),
        ("chat --model openai/gpt-6.", "openai/gpt-6.1-sol"),
        ("prompts show analysis-s", "analysis-sentiment\nanalysis-summary"),
        ("cos", "costs"),
    ],
)
def test_shells_complete_names(
    supernova: Supernova, monkeypatch: pytest.MonkeyPatch, words: str, found: str
) -> None:
    """A shell can complete the names of commands, providers, models and prompts."""
    monkeypatch.setenv("_SUPERNOVA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"supernova {words}")
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ") + 1))
    assert supernova().out.strip() == found


def test_a_wrong_configuration_completes_nothing(
    supernova: Supernova, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """A wrong configuration prints no error during completion."""
    (folder / "wrong.yaml").write_text("budgets: 5\n")
    monkeypatch.setenv("SUPERNOVA_CONFIG", str(folder / "wrong.yaml"))
    monkeypatch.setenv("_SUPERNOVA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "supernova keys add op")
    monkeypatch.setenv("COMP_CWORD", "3")
    result = supernova()
    assert (result.out.strip(), result.err) == ("", "")


def test_a_remedy_keeps_its_placeholders(supernova: Supernova, folder: Path) -> None:
    """A placeholder in a remedy is shown, but a password that was given is hidden."""
    (folder / "wrong.yaml").write_text("database: postgresql://me:p@ss@host/db\n")
    said = supernova("costs", "-c", "wrong.yaml").err
    assert "postgresql://USER:PASSWORD@HOST/DATABASE" in said
    assert "ss@host" not in said


def test_commands_log_as_the_configuration_says(supernova: Supernova, folder: Path) -> None:
    """Warnings of a command are shown as text, and are in the log file as JSON if it says so."""
    (folder / "nova.yaml").write_text("logs: {file: logs/nova.log, format: json}\ndatabase: open.db\n")
    (folder / "open.db").touch(0o666)
    (folder / "open.db").chmod(0o666)
    result = supernova("costs", "--config", "nova.yaml")
    assert "WARNING store.file.too_open reason=" in result.err
    (line,) = (folder / "logs" / "nova.log").read_text().splitlines()
    assert json.loads(line)["event"] == "store.file.too_open"


def test_a_log_file_that_cannot_be_written_ends_the_command(supernova: Supernova, folder: Path) -> None:
    """A wrong ``logs.file`` is an error of configuration."""
    (folder / "nova.yaml").write_text("logs: {file: /dev/null}\n")
    result = supernova("costs", "--config", "nova.yaml")
    assert (result.code, "logs.file /dev/null cannot be written" in result.err) == (3, True)


def test_only_one_place_loads_the_configuration_of_commands() -> None:
    """Every command logs as its configuration says: it loads it by ``options.load``."""
    files = {file.name: file.read_text("utf-8") for file in Path(app.__file__).parent.glob("*.py")}
    found = {name for name, text in files.items() if re.search(r"configuration\.load\(|\bSupernova\(", text)}
    assert found == {"options.py", "config.py"}
