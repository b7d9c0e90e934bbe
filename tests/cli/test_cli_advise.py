"""``supernova advise``, ``advice`` and ``privacy``: advice, its records, and the data of a user."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai.cli import options
from supernova_ai.store import Clock
from supernova_ai.testing import StubProvider
from tests.advisor.sample_advice import CSV, GOOD
from tests.cli.conftest import KEY, Supernova

SEED = ("--symbol", "AAPL", "--bars", str(CSV), "--risk", "75", "--sentiment", "0.3")


@pytest.fixture
def given(supernova: Supernova) -> str:
    """The id of a record of advice for ann, given without a model."""
    result = supernova("advise", *SEED, "--no-llm", "--user", "ann", "--json")
    return str(result.json["details"]["record_id"])


def test_advise_prints_one_page(supernova: Supernova) -> None:
    """The page has action, confidence, signals, rationale, risks, disclaimer and cost, in 80 columns."""
    result = supernova("advise", *SEED, "--no-llm")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].startswith(" BUY  AAPL  as of 2026-11-20   confidence ██████████████░░░░░░ 0.70")
    assert max(map(len, lines)) <= 80
    text = " ".join(result.out.split())
    for part in (
        "momentum ↑ up 0.71 the price rose by 16.1 % over 63 days",
        "As of 20 November 2026: buy AAPL.",
        "• For a bold client (risk score 75 of 100): buy a full position.",
        "General information, not personal investment advice",
        "rationale without a model (no model was asked: explain is False) · 0 requests, $0.00 · record",
    ):
        assert part in text


def test_advise_in_german(supernova: Supernova) -> None:
    """--language sets the language of the rationale and the notes."""
    result = supernova("advise", *SEED, "--no-llm", "--language", "de")
    text = " ".join(result.out.split())
    assert "momentum ↑ up 0.71 der Kurs stieg über 63 Tage um 16,1 %" in text
    assert "Stand 20. November 2026: AAPL kaufen. Für einen risikofreudigen Kunden" in text


def test_advise_with_a_model(
    supernova: Supernova,
    configure: Callable[..., Path],
    stub_provider: Callable[..., StubProvider],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The page has the model's rationale, the model's name and the cost; the news is sent to the model."""
    stub = stub_provider(GOOD)
    configure(stub.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    news = tmp_path / "news.txt"
    news.write_text("Sales rose.")
    result = supernova("advise", *SEED, "--news", str(news), "--max-cost", "0.5")
    assert result.code == 0
    text = " ".join(result.out.split())
    assert text.count("BUY AAPL") == 1
    assert "What speaks against it" in text
    assert "rationale by openai/gpt-6-astra · 1 request, $0.0" in text
    assert "Sales rose." in json.dumps(stub.chats[0].json["messages"])


def slips(tmp_path: Path, count: int) -> Path:
    """A file of bars of which some have an open that is a hair above the high."""
    header, *lines = CSV.read_text().splitlines()
    for number in range(0, 2 * count, 2):
        time, _, high, *rest = lines[number].split(",")
        lines[number] = ",".join([time, str(float(high) * 1.001), high, *rest])
    path = tmp_path / "slips.csv"
    path.write_text("\n".join([header, *lines]))
    return path


def test_mended_bars_are_shown(supernova: Supernova, tmp_path: Path) -> None:
    """The page lists the first mends, also that of a record, also from before there were any."""
    given = ("advise", "--symbol", "AAPL", "--no-llm", "--bars", str(slips(tmp_path, 7)))
    text = " ".join(supernova(*given).out.split())
    assert "Mended bars • bar 0 (20" in text
    assert "• and 2 more: --json shows all" in text
    result = supernova(*given, "--repair", "drop", "--json").json["details"]
    assert [repair.endswith("; left out") for repair in result["repairs"]] == [True] * 7
    assert "Mended bars • bar 0 (20" in " ".join(supernova("advice", "show", result["record_id"]).out.split())
    refused = supernova(*given, "--repair", "none")
    assert refused.code == 2
    assert "repair='drop' leaves such bars out" in " ".join(refused.err.split())


def test_dates_and_numbers_in_two_readings(supernova: Supernova, tmp_path: Path) -> None:
    """The error names the options, and with them the bars are read."""
    path = tmp_path / "months.csv"
    rows = (f"01/{n % 12 + 1:02}/{1990 + n // 12};{';'.join([f'1,{100 + n}'] * 4)}" for n in range(60))
    path.write_text("\n".join(["Date;Open;High;Low;Close", *rows]))
    given = ("advise", "--symbol", "X", "--no-llm", "--bars", str(path))
    asked = supernova(*given)
    assert asked.code == 2
    assert "--day-first or --month-first" in " ".join(asked.err.split())
    assert "--decimal" in supernova(*given, "--day-first").err
    for decimal, close in ((".", 1159), (",", 1.159)):
        details = supernova(*given, "--day-first", "--decimal", decimal, "--json").json["details"]
        assert (details["as_of"][:10], details["indicators"]["close"]) == ("1994-12-01", close)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--symbol", "AAPL", "--bars", "none.csv"), "none.csv cannot be read"),
        ((*SEED[:4], "--risk", "101"), "risk_score is 101"),
        ((*SEED, "--max-cost", "much"), "max_cost must be an amount"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: tuple[str, ...], message: str, supernova: Supernova) -> None:
    """A wrong argument exits with 2, and the message names it."""
    result = supernova("advise", *arguments, "--no-llm")
    assert result.code == 2
    assert message in result.err


def test_records_are_listed_and_shown(given: str, supernova: Supernova) -> None:
    """A record is found by the beginning of its id, and shown as it was given."""
    listed = supernova("advice", "list").out
    assert given[:8] in listed
    assert "generated" in listed
    shown, again = supernova("advice", "show", given[:8]).out, supernova("advise", *SEED, "--no-llm").out
    assert shown.rpartition("record")[0] == again.rpartition("record")[0]
    assert (
        supernova("advice", "show", given, "--json")
        .json["content"]["computed"]["as_of"]
        .startswith("2026-11-20")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options.console, "_width", 50)
        assert given[:8] in supernova("advice", "list").out  # never folded, so that it can be copied
    assert [row["id"] for row in supernova("advice", "list", "--user", "ann", "--json").json] == [given]
    assert supernova("advice", "list", "--symbol", "MSFT").out == "no advice was recorded\n"
    assert supernova("advice", "show", "ffff-none").code == 2


def test_a_record_is_replayed_and_the_chain_verified(given: str, supernova: Supernova) -> None:
    """Both commands report success and exit with 0, as text and as JSON."""
    assert supernova("advice", "replay", given).out == "the result is the same, to the last digit\n"
    assert supernova("advice", "replay", given, "--json").json["agrees"] is True
    verified = supernova("advice", "verify")
    assert (verified.code, verified.out.splitlines()[1]) == (0, "no record was altered")
    assert supernova("advice", "verify", "--json").json["rows"] == 1


def test_recent_records_are_not_pruned(given: str, supernova: Supernova) -> None:
    """By default records of six years are kept."""
    assert supernova("advice", "prune").out == "deleted 0 records of advice older than 2,190 days\n"
    assert supernova("advice", "prune", "--days", "1").out.startswith("deleted 0 records")


def test_old_records_are_pruned(given: str, supernova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are too old are deleted, and the chain still verifies."""
    later = time.time() + 2191 * 86_400
    monkeypatch.setattr(Clock, "__call__", lambda _: later)
    assert supernova("advice", "prune", "--days", "2192").out.startswith("deleted 0 records")
    assert supernova("advice", "prune").out == "deleted 1 record of advice older than 2,190 days\n"
    assert supernova("advice", "list").out == "no advice was recorded\n"
    assert supernova("advice", "verify").code == 0


def test_pruning_needs_a_number_of_days(given: str, supernova: Supernova, folder: Path) -> None:
    """Without ``retention.advice`` the command needs --days."""
    (folder / "nova.yaml").write_text("retention: {advice: null}\n")
    result = supernova("advice", "prune", "--config", "nova.yaml")
    assert (result.code, result.out) == (2, "")
    assert "retention.advice" in result.err
    assert supernova("advice", "prune", "--config", "nova.yaml", "--days", "1").code == 0


def test_a_user_is_exported_and_erased(given: str, supernova: Supernova) -> None:
    """Erasing asks first; afterwards the user is unknown, and the chain still verifies."""
    exported = supernova("privacy", "export", "--user", "ann").json
    assert [row["id"] for row in exported["advice"]] == [given]
    assert supernova("privacy", "erase", "--user", "ann", stdin="n\n").code == 1
    done = supernova("privacy", "erase", "--user", "ann", "--yes")
    assert done.code == 0
    assert "no record links it to the id" in done.out
    assert supernova("privacy", "export", "--user", "ann").code == 2
    assert supernova("advice", "verify").code == 0
    assert supernova("ledger", "verify").code == 0
