"""The bars of long commands: on a terminal only, and on standard error."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from supernova_ai import config as configuration
from supernova_ai.ledger import Ledger
from supernova_ai.operations.backup import snapshot
from supernova_ai.operations.backup.container import Cost
from supernova_ai.store import Store
from tests.cli.conftest import KEY, Result, Supernova
from tests.holds import entry, settle

PASSPHRASE = "correct horse battery"

BARS = {
    "ledger verify": "Verifying days",
    "ledger archive --days 30": "Archiving attempts",
    "ledger restore": "Restoring archives",
    "ledger copy --to copy.db": "Copying rows",
    "costs export --out costs.csv": "Writing days",
    "backup create": "Writing rows",
    "backup verify": "Checking rows",
    "backup restore --into there": "Restoring rows",
}


@pytest.fixture
def arguments(
    supernova: Supernova,
    configure: Callable[..., Path],
    supernova_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], list[str]]:
    """A data folder with attempts, an archive, and a backup; adds the files that a command needs."""
    monkeypatch.setattr(snapshot, "COST", Cost(log_n=4))
    configure("http://127.0.0.1:9")
    assert supernova("keys", "add", "openai", stdin=KEY).code == 0
    _spend("old", days_ago=40)
    assert supernova("ledger", "archive", "--days", "30").code == 0
    _spend("older", days_ago=50)
    _spend("new", days_ago=0)
    assert supernova("backup", "create", "--to", "made.backup", stdin=PASSPHRASE).code == 0
    (archived,) = (Path(configuration.load().database).parent / "archive").glob("*.gz")
    files = {
        "ledger restore": [str(archived)],
        "backup verify": ["made.backup"],
        "backup restore --into there": ["made.backup"],
    }
    return lambda command: [*command.split(), *files.get(command, [])]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("command", "bar"), BARS.items())
def test_a_terminal_shows_how_far_a_command_is(
    command: str,
    bar: str,
    arguments: Callable[[str], list[str]],
    supernova: Supernova,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal a bar counts on standard error; standard output has the result alone."""
    result, written = _on_terminal(supernova, monkeypatch, arguments(command))
    assert result.code == 0, written
    assert bar in written
    assert bar not in result.out


@pytest.mark.parametrize(("command", "bar"), BARS.items())
def test_without_a_terminal_there_is_no_bar(
    command: str, bar: str, arguments: Callable[[str], list[str]], supernova: Supernova
) -> None:
    """In a cron job or a pipe standard error has no bar."""
    result = supernova(*arguments(command), stdin=PASSPHRASE)
    assert (result.code, result.err) == (0, "")


def _spend(name: str, *, days_ago: float) -> None:
    at_ms = int((time.time() - days_ago * 86_400) * 1000)
    loaded = configuration.load()
    with Store(loaded.database) as store:
        ledger = Ledger(store, loaded.config.budgets, clock=lambda: at_ms / 1000)
        hold = ledger.write(partial(ledger.hold, entry=entry(name, 1000, at_ms))).result()
        settle(ledger, hold, "0.000000005")
        ledger.close()


def _on_terminal(
    supernova: Supernova, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> tuple[Result, str]:
    """Run the command with a terminal as standard error; return its result and what the terminal got."""
    terminal, side = os.openpty()
    pieces: list[bytes] = []

    def read() -> None:  # in a thread: the buffer of a terminal is full after a few kilobytes
        while not b"".join(pieces).endswith(b"the end"):
            pieces.append(os.read(terminal, 1024))

    reading = threading.Thread(target=read)
    reading.start()
    with open(side, "w") as stderr:  # noqa: PTH123 - a number, not a path
        monkeypatch.setattr(sys, "stderr", stderr)
        result = supernova(*arguments, stdin=PASSPHRASE)
        print("the end", end="", file=stderr, flush=True)
        reading.join()
    os.close(terminal)
    return result, b"".join(pieces).decode(errors="replace")
