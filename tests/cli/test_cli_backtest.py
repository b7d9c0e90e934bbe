"""``supernova advise backtest``: the table, the chart, and what docs/backtest.md shows of both."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.advisor.sample_advice import CSV
from tests.cli.conftest import Supernova

PAGE = (CSV.parents[1] / "docs" / "backtest.md").read_text(encoding="utf-8")

CASES = os.environ.get("SUPERNOVA_CASES_DIR")

SERIES = {
    "GOOG": ("goog-daily", "stock"),
    "KO": ("ko-daily", "stock"),
    "EUR/USD": ("eurusd-hourly", "fx"),
    "BTC/USD": ("btcusd-monthly", "crypto"),
}


def row(supernova: Supernova, name: str, file: Path, asset_class: str) -> tuple[str, Any]:
    """Return the row of the docs' table for a file of bars, and the result."""
    command = ("advise", "backtest", "--bars", str(file), "--symbol", name, "--asset-class", asset_class)
    found = supernova(*command, "--json").json
    own, held, shifted = found["strategy"], found["buy_and_hold"], found["shifted"]
    cells = (
        name,
        f"{len(found['bars']):,}",
        f"{own['exposure']:.0%}",
        *(f"{one['total_return']:+,.0%}" for one in (own, held, shifted["median"])),
        *(f"{one['sharpe']:.2f}" for one in (own, held, shifted["median"])),
        f"{own['max_drawdown']:.0%}",
        f"{held['max_drawdown']:.0%}",
        f"{shifted['return_percentile']:.0%}",
        f"{shifted['sharpe_percentile']:.0%}",
    )
    return f"| {' | '.join(cells)} |", found


def test_docs_show_what_the_command_prints(supernova: Supernova) -> None:
    """The output in docs/backtest.md is that of the command on the bundled bars."""
    shown = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    result = supernova("advise", "backtest", "--bars", str(CSV))
    assert (result.code, result.err) == (0, "")
    assert [line.rstrip() for line in result.out.splitlines()] == shown.splitlines()
    assert max(map(len, result.out.splitlines())) <= 80
    assert row(supernova, "examples/bars.csv", CSV, "stock")[0] in PAGE


@pytest.mark.skipif(not CASES, reason="SUPERNOVA_CASES_DIR names the folder of the public series")
def test_docs_show_the_public_series(supernova: Supernova) -> None:
    """The rows in docs/backtest.md are those of the command on each public series, and on all together."""
    together: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    for name, (file, asset_class) in SERIES.items():
        line, found = row(supernova, name, Path(str(CASES)) / "bars" / f"{file}.csv", asset_class)
        assert line in PAGE
        for bucket in found["hits"]:
            label = f"{bucket['low']:.1f} to {bucket['high']:.1f}"
            decisions, expected = bucket["decisions"], bucket["expected"] or 0.0
            together[label].append((decisions, bucket["hits"], decisions * expected))
    for label, parts in together.items():
        count, hits, expected = (sum(column) for column in zip(*parts, strict=True))
        if count:
            assert f"| {label} | {count:,} | {hits / count:.0%} | {expected / count:.0%} |" in PAGE


def test_the_chart_is_written(supernova: Supernova, folder: Path) -> None:
    """--chart draws the picture beside the table, with the symbol and the costs of the command."""
    result = supernova(
        *("advise", "backtest", "--bars", str(CSV), "--symbol", "WALK", "--costs", "25", "--draws", "20"),
        *("--chart", "walk.svg", "--seed", "3", "--risk", "80"),
    )
    assert result.code == 0
    assert result.out.startswith("WALK, 221 bars")
    drawing = (folder / "walk.svg").read_text()
    assert "costs 25 basis points per trade, risk score 80" in drawing


def test_the_rules_are_those_of_the_configuration(supernova: Supernova, folder: Path) -> None:
    """With thresholds that nothing reaches, the backtest never buys."""
    (folder / "nova.yaml").write_text("advice: {buy: [1, 1]}\n")
    command = ("advise", "backtest", "--bars", str(CSV), "--draws", "20", "--json")
    assert supernova(*command).json["trades"] != []
    assert supernova(*command, "--config", "nova.yaml").json["trades"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bars", "none.csv"), "none.csv cannot be read"),
        (("--bars", str(CSV), "--costs", "-1"), "costs is -1"),
        (("--bars", str(CSV), "--chart", "walk.pdf", "--draws", "20"), "must end with .svg or .png"),
        ((), "Missing option '--bars'"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: tuple[str, ...], message: str, supernova: Supernova) -> None:
    """A wrong argument exits with 2, and the message names it."""
    result = supernova("advise", "backtest", *arguments)
    assert result.code == 2
    assert message in result.err
