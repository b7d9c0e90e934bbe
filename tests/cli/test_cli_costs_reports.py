"""``supernova costs report``, ``top``, ``forecast``, ``export`` and ``files``: readable and exact."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai import config as configuration
from supernova_ai.ledger import rollups
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from tests.cli.conftest import Supernova
from tests.holds import ended_attempt
from tests.reports.answered import answered, rated

Spend = Callable[..., None]

DAY_MS = 86_400_000
ODD = "[/bold]=ann"


@pytest.fixture
def spend() -> Iterator[Spend]:
    """Put a settled attempt, with its rollups, into the ledger: days ago, and cost in nano-dollars."""
    with Store(configuration.load().database) as store:

        def run(days_ago: int, nano: int, *, user: str = "ann", model: str = "gpt-6-luna") -> None:
            sent = int(time.time() * 1000) - days_ago * DAY_MS
            own = {"model": model, "tier": "economy", "prompt_name": "hello", "user_id": user}
            row = ended_attempt(nano, sent, prompt_tokens=30, **own)

            def add(database: Database) -> None:
                rollups.add(database, row)
                AttemptRow.insert(
                    {field: value for field, value in row._asdict().items() if value is not None}
                    | {
                        "id": f"{days_ago} {user} {nano}",
                        "request": "r",
                        "process": "p",
                        "held_nano": nano,
                        "config_version": "c",
                        "price_version": "p",
                    }
                ).execute(database)

            store.write(add).result()

        yield run


def test_report_fits_80_columns(supernova: Supernova, spend: Spend) -> None:
    """The report per day and in total fits 80 columns: success, tokens, costs, latency and a sparkline."""
    spend(2, 1_000_000_000)
    spend(0, 2_000_000_000, model="a-model-with-a-very-long-name-indeed-2026-11-22")
    result = supernova("costs", "report", "--days", "3")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    for shown in ("everything", "▄·█", "100.0%", "$3.00", "$1.50", "0.72 s", "0.09 s"):
        assert shown in result.out
    grouped = supernova("costs", "report", "--by", "model", "--per", "month", "--days", "1")
    assert max(map(len, grouped.out.splitlines())) <= 80
    assert "openai/" in grouped.out


def test_report_shows_the_groups_with_the_highest_cost(supernova: Supernova, spend: Spend) -> None:
    """Both tables have only the groups with the highest cost, and count the others; JSON has all."""
    for nano, user in ((2, "ann"), (9, "bob"), (5, "eve")):
        spend(0, nano, user=user)
    asked = ("costs", "report", "--by", "user", "--limit", "2")
    shown = supernova(*asked).out
    assert (shown.count("bob"), shown.count("eve"), shown.count("ann")) == (2, 2, 0)
    assert shown.endswith("and 1 more: see them with --limit 3, or --json\n")
    assert "more:" not in supernova(*asked[:-1], "3").out
    assert [line["name"] for line in supernova(*asked, "--json").json["whole"]] == ["bob", "eve", "ann"]


def test_report_as_json_is_exact(supernova: Supernova, spend: Spend) -> None:
    """Each day has a line, even without attempts, and the total is exact to the nano-dollar."""
    spend(2, 1)
    spend(0, 2)
    plain = supernova("costs", "report", "--days", "3", "--json").json
    assert [line["cost_usd"] for line in plain["periods"]] == ["0.000000001", "0", "0.000000002"]
    (whole,) = plain["whole"]
    assert (whole["attempts"], whole["cost_usd"], whole["errors"]) == (2, "0.000000003", {})
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert plain["periods"][-1]["period"] == today


def test_top_shows_the_users_with_the_highest_cost(supernova: Supernova, spend: Spend) -> None:
    """Users with the highest cost come first, with their shares; a user's id may contain markup."""
    spend(0, 1_000_000_000, user="bob")
    spend(1, 3_000_000_000, user=ODD)
    result = supernova("costs", "top")
    assert result.out.index(ODD) < result.out.index("bob")
    assert "75.0% of the costs" in result.out
    (line,) = supernova("costs", "top", "model", "--limit", "1", "--json").json
    assert (line["name"], line["cost_usd"]) == ("openai/gpt-6-luna", "4")


def test_forecast_of_a_steady_ledger(supernova: Supernova, spend: Spend) -> None:
    """After weeks of a dollar a day, the forecast is about a dollar a day, with an interval."""
    for days in range(30):
        spend(days, 1_000_000_000)
    month, daily, monthly = supernova("costs", "forecast", "--json").json
    now = datetime.now(UTC)
    days = ((now.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)).day
    assert float(month["low"]) <= float(month["expected"]) <= float(month["high"])
    assert float(month["expected"]) == pytest.approx(days, abs=1.01)
    assert (daily["budget"], daily["limit"], monthly["limit"]) == ("daily", "50", "1000")
    assert "everything" in supernova("costs", "forecast").out


def test_forecast_without_history_gives_the_reason(supernova: Supernova) -> None:
    """Without enough history the forecast has a reason instead of a number."""
    result = supernova("costs", "forecast")
    assert result.code == 0
    assert "everything: not enough history: 0 whole days, 0 with costs; it takes 21 and 7" in result.out
    assert supernova("costs", "forecast", "--json").json[0]["expected"] is None


def test_savings_and_suggestions(supernova: Supernova) -> None:
    """Both have their arithmetic, and fit 80 columns; JSON has exact amounts."""
    hour = int(time.time()) // 3600
    with Store(configuration.load().database) as store:
        answered(store, "openai/gpt-6-astra", 100, 1_500_000_000, cached=2, prompt="advice-stock", hour=hour)
        rated(store, "openai/gpt-6-astra", 50, quality=800, hour=hour)
        rated(store, "openai/gpt-6.1-sol", 50, quality=900, hour=hour)
    plain = supernova("costs", "savings", "--json").json
    assert [(one["kind"], one["amount"]) for one in plain["savings"]] == [
        ("answer cache", "0.03"),
        ("prompt cache", "0"),
    ]
    assert (plain["advice"]["cost"], plain["advice"]["records"], plain["advice"]["each"]) == ("1.5", 0, None)
    shown = supernova("costs", "savings").out
    assert "2 answers from the cache" in shown
    assert re.search(r"advice-stock +102 +\$1\.50", shown)
    (one,) = supernova("costs", "suggestions", "--json").json["models"]
    assert (one["cost"], one["would_cost"], one["saves"]) == ("1.5", "0.3", "1.2")
    shown += (said := supernova("costs", "suggestions").out)
    assert one["suggestion"] in " ".join(said.split())
    assert "saves $1.20" in said
    assert "Mean quality 0.90 of 50 answers, against 0.80 of 50" in said
    assert max(map(len, shown.splitlines())) <= 80


def test_suggestions_need_data(supernova: Supernova, spend: Spend) -> None:
    """Without rated answers nothing is suggested, and the models that need some are named."""
    spend(0, 2_000_000_000)
    said = supernova("costs", "suggestions").out
    assert "the answers of the last 30 days suggest nothing" in said
    assert "fewer than 50 answers were rated: chat by openai/gpt-6-luna" in said


def test_export_to_standard_output_and_to_a_file(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """CSV and JSON have the same attempts; only the owner can read the file."""
    spend(1, 1, user="=cmd()")
    spend(0, 2)
    rows = supernova("costs", "export", "--format", "json").json
    assert [(row["user"], row["cost_usd"]) for row in rows] == [
        ("=cmd()", "0.000000001"),
        ("ann", "0.000000002"),
    ]
    written = supernova("costs", "export", "--out", "attempts.csv")
    assert written.out == "wrote 2 attempts to attempts.csv\n"
    file = folder / "attempts.csv"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = list(csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")))
    assert [row["user"] for row in found] == ["'=cmd()", "ann"]


def test_export_takes_whole_days(supernova: Supernova, spend: Spend) -> None:
    """The export includes the first and the last day."""
    for days in range(4):
        spend(days, days + 1)
    day = datetime.now(UTC) - timedelta(days=2)
    rows = supernova(
        "costs",
        "export",
        "--format",
        "json",
        "--since",
        f"{day:%Y-%m-%d}",
        "--until",
        f"{day + timedelta(days=1):%Y-%m-%d}",
    ).json
    assert [row["cost_usd"] for row in rows] == ["0.000000003", "0.000000002"]


def test_due_files_are_written_once(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """Due files are written and named; a second run writes nothing."""
    spend(2, 1)
    result = supernova("costs", "files", "--folder", "reports")
    paths = [Path(line) for line in result.out.splitlines()]
    assert paths
    assert all(path.exists() for path in paths)
    assert json.loads((folder / paths[1]).read_text())[0]["by"] == "all"
    assert supernova("costs", "files", "--folder", "reports").out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--days", "3", "report"), "--days after 'report'"),
        (("report", "--time-zone", "Nowhere"), "'Nowhere' is not a time zone"),
        (
            ("report", "--by", "colour"),
            "Invalid value for '--by': 'colour' is not one of: provider, model",
        ),
        (("report", "--days", "3661"), "3661 is more than the maximum, 3660"),
        (("top", "nonsense"), "Invalid value for 'WHAT': 'nonsense' is not one of: provider, model"),
        (("top", "--days", "800000"), "800000 is more than the maximum, 3660"),
        (("top", "--limit", "1000001"), "1000001 is more than the maximum, 1000000"),
        (("export", "--since", "yesterday"), "'yesterday' is not a day; write it as 2026-10-31"),
        (("export", "--until", "9999-12-31"), "9999-12-31 is not a day from"),
        (("export", "--since", "0001-01-01"), "0001-01-01 is not a day from"),
        (
            ("export", "--since", "2026-10-02", "--until", "2026-10-01"),
            "--since is 2026-10-02, which is after",
        ),
        (("--tag", ""), "--tag '' must be NAME=VALUE"),
        (("export", "--tag", ""), "--tag '' must be NAME=VALUE"),
        (("export", "--out", "nowhere/file.csv"), "cannot be written"),
        (("files", "--folder", "taken"), "cannot be written"),
    ],
)
def test_wrong_use_is_refused(supernova: Supernova, folder: Path, arguments: Any, said: str) -> None:
    """A wrong option, or a path that cannot be written, exits with 2 and a reason."""
    (folder / "taken").write_text("a file")
    result = supernova("costs", *arguments)
    assert result.code == 2
    assert said in " ".join(result.err.replace("│", " ").split())


@pytest.mark.parametrize("command", [["report"], ["top"]])
def test_an_empty_ledger_says_so(supernova: Supernova, command: list[str]) -> None:
    """Without attempts there is a sentence instead of a table."""
    assert supernova("costs", *command).out == "no attempts in the last 30 days\n"
