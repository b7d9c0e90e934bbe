"""Text of models, providers and users cannot control the terminal, in any command."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import Database
from rich.table import Table
from rich.text import Text
from typer.main import get_group

from supernova_ai import config as configuration
from supernova_ai.characters import visible
from supernova_ai.cli.app import app
from supernova_ai.store import Store, bulk, tables
from supernova_ai.terminal.output import Terminal
from supernova_ai.terminal.screen import Screen
from supernova_ai.testing import Failure, StubProvider
from tests.advisor.sample_advice import CSV
from tests.cli.conftest import KEY, Result, Supernova

HOSTILE = (
    "[red]a[/nothing][link=http://x.test]b[/link]\x1b]52;c;cHduZWQ=\x07\x1b]0;title\x1b\\\x1b[2J\x1b[8mc"
    "\x9b2K\rd\u202ee\u2066f\u200bg\U000e0041h\x7fi\x08j"
)
WRITTEN_BY_OTHERS: dict[type[tables.Table], tuple[str, ...]] = {
    tables.KeyRow: ("fingerprint", "reason", "check_result"),
    tables.AttemptRow: ("user", "session", "model", "error", "prompt_name", "team"),
    tables.UsageRow: ("model", "task", "prompt", "error"),
    tables.PayerRow: ("user", "session"),
    tables.DailyRow: ("user",),
    tables.LabelRow: ("value",),
    tables.LatencyRow: ("model",),
    tables.PatternRow: ("model", "error", "message"),
    tables.HealthRow: ("model", "error", "probe"),
    tables.WindowRow: ("subject",),
    tables.AlertRow: ("subject",),
    tables.RatingRow: ("user", "model", "task", "prompt"),
    tables.AuditRow: ("subject", "details"),
    tables.AdviceRow: ("user", "symbol"),
    tables.JobRow: ("outcome",),
    tables.ConfigVersionRow: ("actor", "cause", "environment"),
    tables.DashboardUserRow: ("name",),
}
"""The columns that contain text of users, models, providers or anyone with access to the database."""

_STYLE = re.compile(r"\x1b\[(?!8m)[\d;]*m")
_CONTROLS = re.compile(r"(?<!\r)\r(?!\n)|(?!\r)[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]")


def clean(result: Result) -> bool:
    """Tell whether the output has no control sequences except our own styles."""
    return _CONTROLS.search(_STYLE.sub("", result.out + result.err)) is None


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Make both streams claim to be a terminal, so that rich strips nothing."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR")
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


@pytest.fixture
def poisoned(
    folder: Path,
    configure: Callable[..., Path],
    supernova: Supernova,
    stub_provider: Callable[..., StubProvider],
) -> str:
    """A provider and a database with hostile text; returns the id of the advice in the database."""
    budgets = [{"name": "each", "limit": "0.0001", "per": "day", "user": "ann"}]
    configure(
        stub_provider(HOSTILE, [HOSTILE, Failure(400, "odd")]).url,
        budgets=budgets,
        alerts={"thresholds": [1]},
    )
    (folder / "config" / "prompts").mkdir()
    name = "[red]odd"
    (folder / "config" / "prompts" / f"{name}.md").write_text(
        f"---\nname: '{name}'\nversion: 1\ntask: chat\nvariables: {{message: text}}\n"
        f"example: {{message: hi}}\n---\n{HOSTILE} {{{{ message }}}}\n"
    )
    supernova("keys", "add", "openai", stdin=KEY)
    assert supernova("dashboard", "users", "add", "ann", "--role", "viewer", stdin=KEY).code == 0
    answered = supernova("chat", "What now?", "--user", "ann", "--max-tokens", "5", "--json").json
    assert supernova("feedback", "add", answered["request_id"], "up", "--comment", HOSTILE).code == 0
    assert supernova("chat", "What now?").code == 6
    advice = ("advise", "--symbol", "AAPL", "--bars", str(CSV), "--no-llm", "--user", "ann", "--json")
    record: str = supernova(*advice).json["details"]["record_id"]
    assert supernova("maintain", "expiry").code == 0
    with Store(configuration.load().database) as store:
        store.write(_poison).result()
    return record


def _poison(database: Database) -> None:
    for table, names in WRITTEN_BY_OTHERS.items():
        for name in names:
            column = table._meta.fields[name].column_name
            where = f"UPDATE {table._meta.table_name} SET {column} = COALESCE({column}, '') || ?"
            bulk.run(database, where, HOSTILE)
    bulk.run(database, "UPDATE attempt SET cost_basis = 'estimated'")


COMMANDS: dict[str, tuple[str, ...]] = {
    "chat": ("hi",),
    "analyze": ("text.txt",),
    "advise": ("--symbol", f"A{HOSTILE}", "--bars", str(CSV), "--no-llm"),
    "advise backtest": ("--symbol", HOSTILE, "--bars", str(CSV)),
    "advice list": (),
    "advice show": ("RECORD",),
    "advice replay": ("RECORD",),
    "advice verify": (),
    "status": (),
    "costs": (),
    "costs report": ("--by", "model"),
    "costs top": ("user",),
    "costs forecast": (),
    "costs savings": (),
    "costs suggestions": (),
    "costs export": (),
    "feedback add": (HOSTILE, "up"),
    "feedback list": (),
    "feedback report": ("--by", "user"),
    "metrics": (),
    "health": (),
    "health errors": (),
    "health check": (),
    "health uptime": (),
    "keys add": (HOSTILE,),
    "keys list": (),
    "keys rotate": (HOSTILE,),
    "keys status": (),
    "keys check": (),
    "keys expire": (HOSTILE, "--at", HOSTILE),
    "keys revoke": (HOSTILE, "--yes"),
    "keys remove": (HOSTILE, "--yes"),
    "audit list": (),
    "audit verify": (),
    "audit export": ("--format", "cef"),
    "audit accept": ("--yes",),
    "ledger verify": (),
    "ledger lost": (),
    "ledger settle": (HOSTILE, "--cost", "1", "--reason", "x"),
    "ledger reconcile": ("bill.csv", "--provider", "openai", "--map", f"time=a,model={HOSTILE}"),
    "ledger restore": (HOSTILE,),
    "backup list": (HOSTILE,),
    "backup verify": (HOSTILE,),
    "backup restore": (HOSTILE, "--into", HOSTILE),
    "backup prune": (HOSTILE,),
    "privacy export": ("--user", f"ann{HOSTILE}"),
    "privacy erase": ("--user", f"bob{HOSTILE}", "--yes"),
    "alerts list": (),
    "alerts ack": ("--all",),
    "jobs": (),
    "maintain": ("verify",),
    "config show": (),
    "config diff": ("development", "production"),
    "config history": (),
    "config set": (HOSTILE, HOSTILE),
    "config apply": (HOSTILE,),
    "config rollback": ("1",),
    "doctor": ("--offline",),
    "setup": ("--yes", "--no-test"),
    "config validate": (),
    "prices show": (HOSTILE,),
    "dashboard users list": (),
    "dashboard users add": (HOSTILE, "--role", "viewer"),
    "dashboard users set-password": (HOSTILE,),
    "dashboard users set-role": (HOSTILE, "viewer"),
    "dashboard users disable": (HOSTILE,),
    "dashboard users unlock": (HOSTILE,),
    "dashboard users remove": (HOSTILE, "--yes"),
    "prompts list": (),
    "prompts show": ("[red]odd",),
    "prompts render": ("[red]odd", "--var", f"message={HOSTILE}"),
    "prompts test": (),
}
"""Every command that prints text of others, with arguments that make it do so."""

WITHOUT_FOREIGN_TEXT = {
    "version", "demo", "advice prune", "costs files", "keys import-env", "ledger archive", "ledger vacuum",
    "ledger copy", "alerts test", "run", "keys rotate-master", "backup create", "privacy log-name",
    "config watch", "serve", "dashboard",
}  # fmt: skip
"""These commands print only counts, and paths and names that the user of the terminal gave."""


def every_command() -> set[str]:
    """Return the names of all commands as they are typed."""

    def names(command: Any) -> Iterator[str]:
        for name, each in getattr(command, "commands", {}).items():
            yield from (f"{name} {below}" for below in names(each))
            if not getattr(each, "commands", {}) or each.invoke_without_command:
                yield name

    return set(names(get_group(app)))


def test_every_command_is_covered() -> None:
    """Every command is in one of the two lists."""
    assert every_command() == set(COMMANDS) | WITHOUT_FOREIGN_TEXT


def test_no_command_passes_on_control_sequences(poisoned: str, folder: Path, supernova: Supernova) -> None:
    """No command passes control sequences on to the terminal, in text or in JSON."""
    (folder / "text.txt").write_text(f"Rates fell. {HOSTILE}")
    (folder / "bill.csv").write_text("a,b\n1,2\n")
    dirty, shown = [], []
    for name, arguments in COMMANDS.items():
        given = [*name.split(), *(poisoned if one == "RECORD" else one for one in arguments)]
        for result in (supernova(*given, stdin=KEY), supernova(*given, "--json", stdin=KEY)):
            if not clean(result):
                dirty.append((given, result.out + result.err))
            if "[red]a[/nothing]" in result.out + result.err:
                shown.append(name)
    assert dirty == []
    assert {"chat", "analyze", "costs", "costs top", "health", "health errors", "ledger lost"} <= set(shown)
    assert {"feedback list", "feedback report"} <= set(shown)


def test_a_hostile_error_message_is_cleaned(
    configure: Callable[..., Path], supernova: Supernova, stub_provider: Callable[..., StubProvider]
) -> None:
    """An error shows the message of a provider without its control sequences."""
    configure(stub_provider(Failure(400, HOSTILE)).url)
    result = supernova("chat", "What now?")
    assert result.code == 6
    assert clean(result)
    assert "[red]a[/nothing]" in result.err


def test_own_styles_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is cleaned, but our own colours reach the terminal."""
    monkeypatch.setattr(stream := io.StringIO(), "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", Screen(stream))
    Terminal().print(Text.assemble(("valid", "green"), " \x1b[31m[red]"))
    assert stream.getvalue() == "\x1b[32mvalid\x1b[0m ␛[31m[red]\n"


def test_a_long_hostile_name_is_wrapped_uncut(capsys: pytest.CaptureFixture[str]) -> None:
    """A cell is wrapped after it is cleaned, so nothing of a long name is cut off."""
    table = Table(box=None, width=12)
    table.add_column("name", overflow="fold")
    table.add_row(Text("\x1b" * 10 + "the end"))
    Terminal().print(table)
    assert "".join(_STYLE.sub("", capsys.readouterr().out).split()) == "name" + "␛" * 10 + "theend"


def test_a_screen_has_the_attributes_of_its_stream() -> None:
    """Attributes other than the writing methods are those of the stream itself."""
    stream = io.StringIO()
    screen = Screen(stream)
    assert screen.write("a\x1b") == 2
    screen.writelines(["b", "\x9b"])
    assert (stream.getvalue(), screen.closed) == ("a␛b\ufffd", False)
    assert visible(stream.getvalue()) == stream.getvalue()
