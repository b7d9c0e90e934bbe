"""The chart of a backtest is a whole SVG or PNG with every point of its series."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from supernova_ai import Backtest, ExtraMissing, InvalidRequest, save_chart
from supernova_ai.advisor.backtest import backtest
from tests.advisor.sample_advice import SAMPLE

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def result() -> Backtest:
    return backtest(SAMPLE, symbol="BRK.B", costs=25, draws=20)


def points(drawing: ElementTree.Element, name: str) -> int:
    """Return the number of points of a line."""
    (group,) = (one for one in drawing.iter(f"{SVG}g") if one.get("id") == name)
    (path,) = group.findall(f"{SVG}path")
    return sum(path.get("d", "").count(command) for command in "ML")


def test_svg_has_every_point_and_its_words(result: Backtest, tmp_path: Path) -> None:
    """Price, capital and drawdown have a point per bar, trades a mark each; the title tells what it shows."""
    save_chart(result, tmp_path / "chart.svg")
    drawing = ElementTree.parse(tmp_path / "chart.svg").getroot()
    assert drawing.tag == f"{SVG}svg"
    for name in (
        "close",
        "strategy",
        "buy-and-hold",
        "drawdown-of-the-strategy",
        "drawdown-of-buy-and-hold",
    ):
        assert points(drawing, name) == len(result.bars)
    groups = {one.get("id"): one for one in drawing.iter(f"{SVG}g")}
    for action, count in Counter(trade.action for trade in result.trades).items():
        assert len(list(groups[f"trades-{action}"].iter(f"{SVG}use"))) == count
    text = " ".join("".join(one.itertext()) for one in drawing.iter(f"{SVG}text"))
    for part in (
        f"BRK.B, {result.bars[0].time:%Y-%m-%d} to 2026-11-20",
        "costs 25 basis points per trade",
        "buy and hold",
        "Price",
        "Capital (1 at the start)",
        "Drawdown (%)",
    ):
        assert part in text
    ids = [one.get("id") for one in drawing.iter() if one.get("id")]
    assert len(ids) == len(set(ids))


def test_the_same_result_gives_the_same_file(result: Backtest, tmp_path: Path) -> None:
    """The file has no time and no random names; an existing one is replaced."""
    for name in ("one.svg", "other.svg", "other.svg"):
        save_chart(result, str(tmp_path / name))
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def test_png(result: Backtest, tmp_path: Path) -> None:
    """A name that ends with .png gives a picture of 1,500 by 1,200 pixels."""
    save_chart(result, tmp_path / "chart.PNG")
    data = (tmp_path / "chart.PNG").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)] == [1500, 1200]


@pytest.mark.parametrize(
    ("name", "message"),
    [("chart.pdf", "must end with .svg or .png"), ("none/chart.svg", "cannot be written: No such file")],
)
def test_wrong_paths_are_refused(name: str, message: str, result: Backtest, tmp_path: Path) -> None:
    """The error says what is wrong with the path."""
    with pytest.raises(InvalidRequest, match=message):
        save_chart(result, tmp_path / name)


def test_the_extra_is_named_if_it_is_missing(
    result: Backtest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without matplotlib the error says how to install it, and no file is made."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'supernova-ai\[charts\]'"):
        save_chart(result, tmp_path / "chart.svg")
    assert list(tmp_path.iterdir()) == []
