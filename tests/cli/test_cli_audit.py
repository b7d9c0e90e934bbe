"""``supernova audit``: lists, verifies and exports what was done, page by page."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from supernova_ai.audit import chain
from tests.cli.conftest import KEY, Supernova


@pytest.fixture
def alter(supernova_home: Path) -> Callable[[str], None]:
    """Change the database directly."""

    def run(statement: str) -> None:
        connection = sqlite3.connect(supernova_home / "supernova.db")
        with connection:
            connection.execute(statement)
        connection.close()

    return run


def test_list_tells_who_did_what(supernova: Supernova) -> None:
    """Every operation is listed in order with the user and the command's machine, as text and as JSON."""
    supernova("keys", "add", "openai", stdin=KEY)
    supernova("keys", "remove", "openai", "--yes")
    rows = supernova("audit", "list", "--json").json
    assert [row["event"] for row in rows][:2] == ["master.created", "key.added"]
    assert rows[1]["details"]["version"] == 1
    assert {row["source"].partition(" ")[0] for row in rows} == {"cli"}
    lines = supernova("audit", "list").out.splitlines()
    assert len(lines) == len(rows)
    assert re.search(r"^[-0-9]{10} [:0-9]{8} \S+ \(cli on .*\) key.added openai/primary", lines[1])


def test_list_by_and_since(supernova: Supernova) -> None:
    """Operations of another user, or from before a date, are left out; no operation is said so."""
    supernova("keys", "add", "openai", stdin=KEY)
    (who, *_) = {row["actor"] for row in supernova("audit", "list", "--json").json}
    assert len(supernova("audit", "list", "--by", who).out.splitlines()) == 2
    assert supernova("audit", "list", "--by", "nobody-else").out == "no operation matches\n"
    assert supernova("audit", "list", "--by", "nobody-else", "--json").json == []
    assert len(supernova("audit", "list", "--since", "2020-01-01").out.splitlines()) == 2
    assert supernova("audit", "list", "--since", "2999-01-01T08:00+01:00").out == "no operation matches\n"
    wrong = supernova("audit", "list", "--since", "soon")
    assert wrong.code == 2
    assert "write 2026-11-22" in " ".join(wrong.err.split())


def test_verify_names_the_anchor(supernova: Supernova, supernova_home: Path) -> None:
    """An intact chain is compared with its anchor, which no other user can read."""
    supernova("keys", "add", "openai", stdin=KEY)
    result = supernova("audit", "verify")
    assert "2 operations, the chain is intact" in result.out
    (anchor,) = [file for file in (supernova_home / "anchors").iterdir() if file.suffix != ".lock"]
    assert f"row 2 in the file {anchor}" in result.out
    assert anchor.stat().st_mode & 0o777 == 0o600
    anchor.unlink()
    assert "there is no anchor" in supernova("audit", "verify").out


def test_an_altered_row_exits_with_4(supernova: Supernova, alter: Callable[[str], None]) -> None:
    """The altered row is named, as text and as JSON, and still listed."""
    supernova("keys", "add", "openai", stdin=KEY)
    alter("UPDATE audit SET details = '[/nonsense]' WHERE number = 2")
    result = supernova("audit", "verify")
    assert result.code == 4
    assert "BROKEN: row 2 was altered" in result.out
    as_json = supernova("audit", "verify", "--json")
    assert (as_json.code, as_json.json["first_bad"]) == (4, 2)
    assert supernova("audit", "list", "--json").json[1]["details"] == "[/nonsense]"


def test_a_database_put_back_is_noticed_until_it_is_accepted(
    supernova: Supernova, supernova_home: Path
) -> None:
    """An earlier copy, even with new rows, verifies only after ``accept``, which is recorded."""
    supernova("keys", "add", "openai", stdin=KEY)
    file = supernova_home / "supernova.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.read_bytes()
    supernova("keys", "add", "openai", "--slot", "backup", stdin=KEY)
    for rest in supernova_home.glob("supernova.db-*"):
        rest.unlink()
    file.write_bytes(before)
    for _ in range(2):
        result = supernova("audit", "verify")
        assert result.code == 4
        assert "put back to an earlier state" in result.out
        supernova("keys", "remove", "openai", "--yes")
        supernova("keys", "add", "openai", stdin=KEY)
    assert supernova("audit", "accept", "--yes").code == 0
    assert supernova("audit", "verify").code == 0
    assert supernova("audit", "list", "--json").json[-1]["event"] == "audit.accepted"


@pytest.mark.parametrize("format_", ["jsonl", "cef"])
def test_no_row_can_look_like_two(
    supernova: Supernova, alter: Callable[[str], None], format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line breaks and separators of foreign text stay inside their field."""
    monkeypatch.setattr(chain, "PAGE", 1)
    supernova("keys", "add", "openai", stdin=KEY)
    alter(
        "UPDATE audit SET subject = 'a|b=c' || char(10) || 'CEF:0|x' || char(8232, 13, 27) WHERE number = 2"
    )
    lines = supernova("audit", "export", "--format", format_).out.split("\n")
    assert (len(lines), lines[-1]) == (3, "")
    assert not re.search("[\r\x1b\u2028]", lines[1])
    if format_ == "jsonl":
        assert json.loads(lines[1])["subject"].startswith("a|b=c\nCEF:0|x\u2028\r\x1b")
    else:
        header = re.split(r"(?<!\\)\|", lines[1])
        assert header[:3] == ["CEF:0", "SuperNova AI", "supernova-ai"]
        assert len(header) > 7
        assert r"cs2=a|b\=c\nCEF:0|x" in lines[1]


def test_commands_leave_no_core_dump() -> None:
    """A command's process has no core file, and is not dumpable on Linux."""
    code = (
        "import resource, ctypes\n"
        "from supernova_ai.cli.app import forbid_core_dumps\n"
        "forbid_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ("(0, 0) 0" if sys.platform == "linux" else "(0, 0) -1")


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (["alerts", "ack", "--all"], "alerts.acknowledged all"),
        (["ledger", "vacuum"], "ledger.vacuumed"),
    ],
)
def test_other_commands_leave_rows(supernova: Supernova, command: list[str], event: str) -> None:
    """A command that changes something is recorded before there is a master key too."""
    assert supernova(*command).code == 0
    assert event in supernova("audit", "list").out
    assert supernova("audit", "verify").code == 0
