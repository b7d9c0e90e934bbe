"""``supernova costs``: readable in 80 columns, exact as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import config as configuration
from supernova_ai.cli import options
from supernova_ai.ledger import End, Entry, Ledger
from supernova_ai.store import Store
from supernova_ai.types import Usage
from tests.cli.conftest import Supernova

Spend = Callable[..., None]

_ODD_USER = "[/bold] ann [red]"


@pytest.fixture
def spend(folder: Path) -> Spend:
    """Put one ended attempt into the ledger, under the configuration of the working folder."""

    def run(request: str, end: End, **given: Any) -> None:
        ordinary: dict[str, Any] = {
            "id": f"{request}-attempt",
            "request": request,
            "process": "",
            "user_id": None,
            "session_id": None,
            "task": "chat",
            "tier": "standard",
            "provider": "anthropic",
            "model": "claude-sonnet-5-5",
            "key_slot": "primary",
            "held_nano": 61_630_000,
            "started_ms": int(time.time() * 1000),
            "prompt_name": None,
            "prompt_hash": None,
            "config_version": "c",
            "price_version": "p",
        }
        loaded = configuration.load()
        with Store(loaded.database) as store:
            ledger = Ledger(store, loaded.config.all_budgets)
            entry = Entry(**ordinary | given)
            hold = ledger.write(lambda database: ledger.hold(database, entry)).result()
            assert ledger.end(hold, end).result()
            ledger.close()

    return run


def _settled(nano: int) -> End:
    ended = int(time.time() * 1000)
    return End("settled", nano, "exact", Usage(prompt=39, completion=55), ended, latency_ms=1910)


def _released() -> End:
    return End("released", 0, None, Usage(), int(time.time() * 1000), error="ProviderUnavailable")


def test_empty_ledger(supernova: Supernova) -> None:
    """Before the first attempt only the budgets are shown, as unused."""
    result = supernova("costs")
    assert result.code == 0
    assert "$50.00" in result.out
    assert result.out.endswith("no attempts in the last 30 days\n")
    plain = supernova("costs", "--json").json
    assert (plain["totals"], plain["attempts"]) == ([], [])
    assert [(row["budget"], row["limit"], row["settled"]) for row in plain["budgets"]] == [
        ("daily", "50", "0"),
        ("monthly", "1000", "0"),
    ]


def test_the_table_fits_80_columns_uncut(supernova: Supernova, spend: Spend) -> None:
    """In 80 columns every line fits, and names, outcomes, errors and costs are complete."""
    spend("one", _released())
    spend("two", _settled(38_850), provider="openai", model="smollm2")
    result = supernova("costs")
    assert max(map(len, result.out.splitlines())) <= 80
    for whole in ("claude-sonnet-5-5", "ProviderUnavailable", "released", "settled", "39+55", "1.91 s"):
        assert whole in result.out
    assert "$0.00003885" in result.out
    assert "…" not in result.out


def test_a_narrow_terminal_splits_no_amount(
    supernova: Supernova, spend: Spend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 60 columns names are folded, and every amount and number is on one line."""
    monkeypatch.setattr(options.console, "_width", 60)
    spend("two", _settled(38_850), provider="openai", model="a-model-with-a-very-long-name")
    out = supernova("costs").out
    assert max(map(len, out.splitlines())) <= 60
    assert "…" not in out
    for whole in ("$0.00003885", "$50.00", "$1,000.00", "39", "55"):
        assert whole in out


@pytest.mark.parametrize("width", [20, 40, 50])
def test_a_very_narrow_terminal_shows_lists(
    supernova: Supernova, spend: Spend, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Where no table fits, each row is a list: no name is left out, and no amount is cut."""
    monkeypatch.setattr(options.console, "_width", width)
    spend("two", _settled(38_850), provider="openai", model="a-model-with-a-very-long-name")
    out = supernova("costs").out
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    assert "a-model-with-a-very-long-name" in "".join(out.split())
    for line in ("Attempt", "$0.00003885", "$50.00"):
        assert line in out


def test_a_wide_terminal_shows_one_line_each(
    supernova: Supernova, spend: Spend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 160 columns the parts of a column are side by side."""
    monkeypatch.setattr(options.console, "_width", 160)
    spend("one", _released())
    (line,) = (line for line in supernova("costs").out.splitlines() if "ProviderUnavailable" in line)
    assert line.split()[1:6] == ["anthropic", "claude-sonnet-5-5", "standard", "primary", "released"]


def test_environments_that_share_a_database_are_told_apart(supernova: Supernova, spend: Spend) -> None:
    """The table names the environment of each attempt if there are several; JSON and export always do."""
    spend("one", _released(), environment="staging")
    assert "Environment" not in supernova("costs").out
    spend("two", _released(), environment="production")
    shown = supernova("costs").out
    assert all(word in shown for word in ("Environment", "staging", "production"))
    attempts = supernova("costs", "--json").json["attempts"]
    assert [row["environment"] for row in attempts] == ["staging", "production"]
    assert [line.count("staging") for line in supernova("costs", "export").out.splitlines()] == [0, 1, 0]


def test_budgets_show_the_users_who_used_most(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """The five users nearest to their limit are listed with their share, and the others are counted."""
    (folder / "config").mkdir()
    (folder / "config" / "supernova.yaml").write_text(
        'budgets: [{name: each-user, limit: 0.01, per: day, user: "*"}]\n'
    )
    for number in range(1, 8):
        spend(
            f"r{number}", _settled(number * 1_000_000), user_id=f"user-{number}", held_nano=number * 1_000_000
        )
    out = supernova("costs", "--limit", "0").out
    assert [n for n in range(1, 8) if f"user-{n}" in out] == [3, 4, 5, 6, 7]
    assert "███████░░░ 70%" in out
    assert "each-user: 5 of 7 users" in out
    assert "user-1" in supernova("costs", "--users", "7").out
    mine = supernova("costs", "--user", "user-2").out
    assert "20%" in mine
    assert "user-3" not in mine
    plain = supernova("costs", "--user", "user-2", "--json").json
    assert [row["subject"] for row in plain["budgets"]] == ["user-2"]
    assert [(row["name"], row["cost"]) for row in plain["totals"]] == [("user-2", "0.002")]
    assert [row["request"] for row in plain["attempts"]] == ["r2"]


def test_a_user_id_may_contain_markup(supernova: Supernova, spend: Spend, folder: Path) -> None:
    """A user's id is shown unchanged, even if it looks like markup of the terminal."""
    (folder / "config").mkdir()
    (folder / "config" / "supernova.yaml").write_text(
        'budgets: [{name: each-user, limit: 2, per: day, user: "*"}]\n'
    )
    spend("one", _settled(1_000), user_id=_ODD_USER)
    result = supernova("costs")
    assert result.code == 0
    assert _ODD_USER in result.out
    assert supernova("costs", "--json").json["budgets"][0]["subject"] == _ODD_USER


def test_json_is_exact(supernova: Supernova, spend: Spend) -> None:
    """Amounts in JSON are decimal strings, exact to the nano-dollar."""
    spend("one", _settled(1))
    spend("two", _settled(2))
    plain = supernova("costs", "--json").json
    assert [row["settled"] for row in plain["budgets"]] == ["0.000000003", "0.000000003"]
    assert [row["cost"] for row in plain["totals"]] == ["0.000000003"]
    assert [row["cost"] for row in plain["attempts"]] == ["0.000000001", "0.000000002"]
    assert plain["attempts"][0]["request"] == "one"


def test_archiving_does_not_change_totals(supernova: Supernova, spend: Spend) -> None:
    """Totals come from the rollups, so archived attempts still count."""
    days_ago_ms = int((time.time() - 3 * 86_400) * 1000)
    spend("old", replace(_settled(5), ended_ms=days_ago_ms), started_ms=days_ago_ms)
    spend("new", _settled(7))
    before = supernova("costs", "--json").json["totals"]
    assert (before[0]["attempts"], before[0]["cost"]) == (2, "0.000000012")
    assert supernova("ledger", "archive", "--days", "1").out.endswith("archived 1 attempt older than 1 day\n")
    assert supernova("costs", "--json").json["totals"] == before


def test_the_probe_budget_is_shown_once_it_is_used(supernova: Supernova, spend: Spend) -> None:
    """The budget of paid probes has no line before the first paid probe."""
    spend("one", _settled(1))
    assert [row["budget"] for row in supernova("costs", "--json").json["budgets"]] == ["daily", "monthly"]
    spend("two", _settled(1), task="probe", held_nano=1_000)
    shown = supernova("costs", "--json").json["budgets"][-1]
    assert (shown["budget"], shown["limit"], shown["settled"]) == ("probe", "0.05", "0.000000001")
    assert "probe" in supernova("costs", "forecast").out


def test_selection(supernova: Supernova, spend: Spend) -> None:
    """Attempts can be limited in number, to one request, and to some days; totals only to days."""
    spend("old", _settled(1), started_ms=int((time.time() - 3 * 86_400) * 1000))
    spend("one", _settled(1))
    spend("two", _settled(1))

    def requests(*options: str) -> list[str]:
        return [row["request"] for row in supernova("costs", "--json", *options).json["attempts"]]

    assert requests() == ["old", "one", "two"]
    assert requests("--limit", "1") == ["two"]
    assert requests("--request", "one") == ["one"]
    absent = supernova("costs", "--request", "nobody")
    assert (absent.code, absent.out) == (2, "")
    assert "request 'nobody' has no attempts in the last 30 days" in absent.err
    assert requests("--days", "2") == ["one", "two"]
    assert supernova("costs", "--json", "--days", "2", "--limit", "0").json["totals"][0]["attempts"] == 2
