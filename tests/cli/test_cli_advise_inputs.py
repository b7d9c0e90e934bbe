"""The options of ``supernova advise`` for a position, a risk, and files of facts and news."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.advisor.sample_advice import CSV
from tests.cli.conftest import Supernova

ADVISE = ("advise", "--symbol", "AAPL", "--bars", str(CSV), "--risk", "75", "--sentiment", "0.3", "--no-llm")

FACTS = """
- id: pe_ratio
  value: 31.4
  name: P/E
  source: 10-K 2026
- {id: report, value: 2026-12-01, name: next report, source: the company}
"""
NEWS = [{"headline": "Sales rose", "source": "Reuters", "date": "2026-11-20"}]


def facts_of(supernova: Supernova, *arguments: str) -> dict[str, object]:
    """The values of the facts of advice with these arguments."""
    details = supernova(*ADVISE, *arguments, "--json").json["details"]
    return {fact["id"]: fact["value"] for fact in details["facts"]}


def test_a_position_is_given_by_options(supernova: Supernova) -> None:
    """The page speaks to a holder, and the facts have the position and the size."""
    position = ("--quantity", "10", "--cost-basis", "120", "--opened", "2026-03-02", "--horizon", "short")
    more = ("--weight", "AAPL=0.4", "--risk-per-trade", "500")
    text = " ".join(supernova(*ADVISE, *position, *more).out.split())
    assert "buy more AAPL" in text
    assert "The position has gained 13.6 %." in text
    assert "By arithmetic, not a promise: a stop 2 average true ranges below the close" in text
    facts = facts_of(supernova, *position, *more)
    assert (facts["quantity"], facts["position_weight"], facts["days_held"]) == (10, 40, 263)
    assert facts["position_size"] == 130


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_facts_are_read_from_a_file(form: str, supernova: Supernova, tmp_path: Path) -> None:
    """A list in YAML or JSON, where a date may be a text."""
    path = tmp_path / f"facts.{form}"
    as_json = [
        {"id": "pe_ratio", "value": 31.4, "name": "P/E", "source": "10-K 2026"},
        {"id": "report", "value": "2026-12-01", "name": "next report", "source": "the company"},
    ]
    path.write_text(FACTS if form == "yaml" else json.dumps(as_json))
    facts = facts_of(supernova, "--facts", str(path))
    assert (facts["pe_ratio"], facts["report"]) == (31.4, "2026-12-01")


def test_news_items_are_read_from_a_file(supernova: Supernova, tmp_path: Path) -> None:
    """A JSON list gives items; any other text is news as before, also one that begins with a bracket."""
    path = tmp_path / "news"
    path.write_text(json.dumps(NEWS))
    assert facts_of(supernova, "--news", str(path))["news_1"] == "Sales rose"
    path.write_text("[dpa] Sales rose.")
    assert "news_1" not in facts_of(supernova, "--news", str(path))


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (("--facts", "file"), "- id: [", "file is neither JSON nor YAML"),
        (("--facts", "file"), "pe_ratio: 31.4", "facts is {'pe_ratio': 31.4}: give a list of Fact"),
        (("--facts", "file"), "[{id: close, value: 1, name: x, source: y}]", "one of our own facts"),
        (("--facts", "file"), '[{"id": "a", "value": NaN, "name": "x", "source": "y"}]', "has value nan"),
        (("--news", "file"), '[{"headline": "x"}]', "news[0] has no source"),
        (("--news", "file.json"), '{"headline": "x"}', "news must be a text, or a list of NewsItem"),
        (("--news", "file.json"), '[{"headline": "x"},]', "file.json is not JSON"),
        (("--quantity", "-5"), "", "short positions are not advised on"),
        (("--opened", "March"), "", "position has opened 'March'"),
        (("--weight", "MSFT=0.4"), "", "--weight MSFT=… is of another symbol than AAPL"),
        (("--risk-per-trade", "0"), "", "risk_per_trade is 0.0: it must be an amount above zero"),
    ],
)
def test_wrong_options_exit_with_2(
    arguments: tuple[str, ...], content: str, message: str, supernova: Supernova, folder: Path
) -> None:
    """The message names the part."""
    (folder / "file").write_text(content)
    (folder / "file.json").write_text(content)
    result = supernova(*ADVISE, *arguments)
    assert result.code == 2
    assert message in " ".join(result.err.replace("│", " ").split())


def test_a_folder_has_one_horizon(supernova: Supernova, folder: Path) -> None:
    """``--horizon`` is for every file of a folder."""
    (folder / "bars").mkdir()
    (folder / "bars" / "ONE.csv").write_bytes(CSV.read_bytes())
    found = supernova("advise", "--bars", "bars", "--no-llm", "--horizon", "long", "--json").json
    averages = [signal["facts"] for signal in found["rows"][0]["details"]["signals"]]
    assert ["sma_50", "sma_200"] in averages


def test_a_backtest_has_a_horizon(supernova: Supernova) -> None:
    """``--horizon`` changes what the rules look back on, and the result says which it was."""
    command = ("advise", "backtest", "--bars", str(CSV), "--draws", "20", "--json")
    long, medium = (supernova(*command, "--horizon", name).json for name in ("long", "medium"))
    assert (long["horizon"], medium["horizon"]) == ("long", "medium")
    assert long["bars"] != medium["bars"]
    assert medium == supernova(*command).json
