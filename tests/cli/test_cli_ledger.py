"""``supernova ledger``: output, effect and exit codes of its commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai import config as configuration
from supernova_ai.ledger import End, Entry, Ledger, lost_end
from supernova_ai.store import Store, bulk
from supernova_ai.types import Usage
from tests.cli.conftest import Supernova
from tests.holds import entry

Spend = Callable[..., None]
DAY = 86_400


@pytest.fixture
def spend(folder: Path) -> Spend:
    """Put one ended attempt into the ledger of the working folder; ``lost_end`` unless a cost is given."""

    def run(name: str, *, nano: int | None = None, basis: Any = "exact", days_ago: float = 0) -> None:
        loaded = configuration.load()
        at_ms = int((time.time() - days_ago * DAY) * 1000)
        entry = Entry(
            id=name, request="r", process="", user_id=None, session_id=None, task="chat", tier="standard",
            provider="openai", model="gpt", key_slot=None, held_nano=1_000_000, started_ms=at_ms,
            prompt_name=None, prompt_hash=None, config_version="c", price_version="p",
        )  # fmt: skip
        with Store(loaded.database) as store:
            ledger = Ledger(store, loaded.config.budgets, clock=lambda: at_ms / 1000)
            hold = ledger.write(lambda database: ledger.hold(database, entry)).result()
            if nano is None:
                end = lost_end(hold, ended_ms=at_ms, error="Timeout")
            else:
                end = End("settled", nano, basis, Usage(1, 2), at_ms)
            assert ledger.end(hold, end).result()
            ledger.close()

    return run


def execute(statement: str) -> None:
    """Change the database of the working folder directly."""
    with Store(configuration.load().database) as store:
        store.write(lambda database: bulk.run(database, statement)).result()


def attempts(where: str) -> list[tuple[str, str, int]]:
    def read(database: Database) -> list[tuple[str, str, int]]:
        return bulk.run(database, "SELECT id, state, cost_nano FROM attempt ORDER BY id").fetchall()  # type: ignore[no-any-return]

    with Store(where) as store:
        return store.read(read)


def test_verify(supernova: Supernova, spend: Spend) -> None:
    """A right ledger exits with 0; a wrong one with 1, and the expected and found amounts."""
    spend("a", nano=5)
    good = supernova("ledger", "verify")
    assert (good.code, good.out.splitlines()[-1]) == (0, "the ledger is right")
    assert "1 attempt" in good.out
    assert supernova("ledger", "verify", "--json").json["ok"] is True
    execute("UPDATE budget_window SET settled_nano = 6 WHERE budget = 'daily'")
    bad = supernova("ledger", "verify")
    assert (bad.code, bad.out.splitlines()[-1]) == (1, "the ledger is NOT right")
    assert "expected settled $0.000000005, held $0.00, lost $0.00; found settled $0.000000006" in bad.out
    plain = supernova("ledger", "verify", "--json")
    assert (plain.code, plain.json["ok"], plain.json["counts"]) == (1, False, {"window": 1})


def test_lost_attempts_as_json(supernova: Supernova, spend: Spend) -> None:
    """Every amount is USD, what the prompt cache saved too, and tags are an object, as of costs --json."""
    spend("a", nano=5, basis="estimated")
    execute("""UPDATE attempt SET saved_nano = 2000000, tags = '{"desk":"fx"}'""")
    (row,) = supernova("ledger", "lost", "--json").json
    assert (row["cost"], row["held"], row["saved"]) == ("0.000000005", "0.001", "0.002")
    assert row["tags"] == {"desk": "fx"}
    assert supernova("costs", "--json").json["attempts"] == [row]


def test_lost_and_settle(supernova: Supernova, spend: Spend) -> None:
    """Attempts with uncertain costs are listed with their ids until they are settled."""
    spend("a")
    spend("b", nano=5, basis="estimated")
    listed = supernova("ledger", "lost")
    assert "lost, counted as $0.001 (bound) of $0.001 held Timeout" in listed.out
    assert [row["id"] for row in supernova("ledger", "lost", "--json").json] == ["a", "b"]
    settled = supernova("ledger", "settle", "a", "--cost", "0.0004", "--reason", "the bill")
    assert (settled.code, settled.out) == (0, "settled a at $0.0004\n")
    supernova("ledger", "settle", "b", "--cost", "0", "--reason", "the bill")
    assert supernova("ledger", "lost").out == "the cost of every attempt is known exactly\n"
    assert supernova("ledger", "verify").code == 0


@pytest.mark.parametrize(
    "command",
    [
        "costs",
        "costs report",
        "ledger lost",
        "ledger settle a --cost 8.50 --reason r",
        "ledger copy --to b.db",
    ],
)
def test_losing_the_holds_of_a_dead_process_records_alerts(
    supernova: Supernova, folder: Path, command: str
) -> None:
    """Each command that turns the holds into lost ones records the alerts of passed thresholds."""
    (folder / "config").mkdir()
    (folder / "config" / "supernova.yaml").write_text("budgets: [{name: daily, limit: 10, per: day}]\n")
    loaded = configuration.load()
    with Store(loaded.database) as store:
        ledger = Ledger(store, loaded.config.all_budgets)
        held = entry("a", 8_500_000_000, ledger.now_ms())
        ledger.write(lambda database: ledger.hold(database, held)).result()
    execute("DELETE FROM process")  # it holds money, and no lease
    assert supernova(*command.split()).code == 0
    told = supernova("alerts", "list", "--json").json
    assert [(row["threshold"], row["spent"]) for row in told] == [(50, "8.5"), (80, "8.5")]


def test_settle_refuses_wrong_arguments(supernova: Supernova, spend: Spend) -> None:
    """An unknown attempt, a wrong amount, or no reason exits with 2."""
    spend("a")
    assert supernova("ledger", "settle", "a", "--cost", "1").code == 2
    for cost in ("much", "1e999999"):
        assert supernova("ledger", "settle", "a", "--cost", cost, "--reason", "r").code == 2
    assert supernova("ledger", "settle", "a", "--cost", "1", "--reason", " ").code == 2
    unknown = supernova("ledger", "settle", "z", "--cost", "1", "--reason", "r")
    assert (unknown.code, "no attempt 'z'" in unknown.err) == (2, True)


def test_reconcile_changes_nothing_without_apply(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """Without --apply nothing is written; with it, the amounts of the export are settled."""
    spend("a")
    spend("b")
    (folder / "june.csv").write_text("ref,usd\na,0.0001\nx,1\n")
    asked = ("ledger", "reconcile", "june.csv", "--provider", "openai", "--map", "id=ref,cost=usd")
    dry = supernova(*asked)
    assert dry.out.splitlines() == [
        "line 2: a $0.001 → $0.0001",
        "line 3: belongs to no attempt, billed $1.00",
        "$1.00 in 1 line is not counted: add --book to count it",
        "1 of 2 lines would settle an attempt: add --apply to do it",
    ]
    assert len(supernova("ledger", "lost", "--json").json) == 2
    plain = supernova(*asked, "--json").json
    assert plain["matched"] == [{"attempt": "a", "line": 2, "counted": "0.001", "billed": "0.0001"}]
    assert plain["settled"] is None
    assert supernova(*asked, "--apply").out.splitlines()[-1] == "settled 1 attempt"
    assert [row["id"] for row in supernova("ledger", "lost", "--json").json] == ["b"]


def test_reconcile_books_lines_that_are_not_counted(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """With --book a line without an attempt is counted once, and the ledger is still right."""
    spend("a", nano=100_000)
    (folder / "june.csv").write_text(f"ref,usd,at\nx,1,{time.time() - 5}\n")
    asked = ("ledger", "reconcile", "june.csv", "--provider", "openai", "--map", "id=ref,cost=usd,time=at")
    plain = supernova(*asked, "--json").json
    assert (plain["uncounted"], plain["booked"]) == ("1", None)
    assert [(line["line"], line["id"], line["cost"]) for line in plain["unclaimed"]] == [(2, "x", "1")]
    assert "booked 1 line\n" in supernova(*asked, "--book").out
    again = supernova(*asked, "--book", "--json").json
    assert (again["uncounted"], again["booked"]) == ("0", 0)
    assert supernova("ledger", "verify").code == 0
    without = supernova(*asked[:-1], "id=at,cost=usd", "--book")
    assert (without.code, "has no time" in without.err) == (2, True)


def test_archive_and_restore(supernova: Supernova, spend: Spend) -> None:
    """Old attempts are moved to files in the data folder, verified there, and restored."""
    spend("old", nano=5, days_ago=40)
    spend("new", nano=5)
    done = supernova("ledger", "archive", "--days", "30")
    assert done.out.splitlines()[-1] == "archived 1 attempt older than 30 days"
    where = configuration.load().database
    assert [row[0] for row in attempts(where)] == ["new"]
    (file,) = (Path(where).parent / "archive").glob("*.gz")
    assert "1 archived attempts" in supernova("ledger", "verify").out
    assert supernova("ledger", "restore", str(file)).out == "restored 1 attempt\n"
    assert (
        supernova("ledger", "restore", str(file)).out
        == f"the attempts of {file.name} are in the ledger already\n"
    )
    assert [row[0] for row in attempts(where)] == ["new", "old"]
    assert supernova("ledger", "vacuum").out == "vacuumed the database\n"
    assert supernova("ledger", "verify").code == 0


def test_several_archives_are_restored_at_once(supernova: Supernova, spend: Spend) -> None:
    """The files of several runs are put back by one command."""
    for id_, days_ago in (("older", 60), ("old", 40)):
        spend(id_, nano=5, days_ago=days_ago)
        supernova("ledger", "archive", "--days", "30")
    where = configuration.load().database
    assert attempts(where) == []
    files = sorted(map(str, (Path(where).parent / "archive").glob("*.gz")))
    assert supernova("ledger", "restore", *files).out == "restored 2 attempts\n"
    assert [row[0] for row in attempts(where)] == ["old", "older"]
    assert supernova("ledger", "verify").code == 0


def test_archive_follows_retention(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """The days come from the option or the setting; without both nothing moves, and the error names them."""
    spend("old", nano=5, days_ago=40)
    spend("new", nano=5)
    refused = supernova("ledger", "archive")
    assert refused.code == 2
    assert "Give --days, or set 'retention.attempts'" in " ".join(refused.err.replace("│", "").split())
    (folder / "kept.yaml").write_text("retention: {attempts: 30}\n")
    longer = supernova("ledger", "archive", "--config", "kept.yaml", "--days", "50")
    assert longer.out == "archived 0 attempts older than 50 days\n"
    done = supernova("ledger", "archive", "--config", "kept.yaml")
    assert done.out.splitlines()[-1] == "archived 1 attempt older than 30 days"


def test_a_missing_archive_is_reported(supernova: Supernova, spend: Spend) -> None:
    """Verification with a wrong folder exits with 1 and names what cannot be checked."""
    spend("old", nano=5, days_ago=40)
    supernova("ledger", "archive", "--days", "30")
    found = supernova("ledger", "verify", "--folder", "elsewhere")
    assert found.code == 1
    assert "1 attempt in archive attempts-" in found.out
    assert "cannot be checked: there is no elsewhere" in found.out


def test_copy(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """Every row is copied, the output says that keys are not, and a second copy is refused."""
    spend("a", nano=5)
    spend("b")
    supernova("keys", "add", "openai", stdin="sk-test-0123456789abcdef")
    done = supernova("ledger", "copy", "--to", "copy.db")
    assert done.code == 0
    assert "2 attempt\n" in done.out
    assert "1 key not copied" in done.out
    assert attempts(str(folder / "copy.db")) == attempts(configuration.load().database)
    again = supernova("ledger", "copy", "--to", "copy.db")
    assert (again.code, "a finished copy already" in again.err) == (2, True)
    assert supernova("ledger", "copy", "--to", "second.db", "--json").json["rows"]["attempt"] == 2
