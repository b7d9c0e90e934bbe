"""The deterministic rationale has the documented parts, and every figure in it is a fact."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import History, read_bars
from supernova_ai.advisor.ensemble import Action, Assessment, assess
from supernova_ai.advisor.explain import explain, risk_notes
from supernova_ai.advisor.facts import format_fact
from supernova_ai.advisor.grounding import check
from supernova_ai.config.advice import AssetClass
from tests.advisor.sample_advice import SAMPLE

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def advice(found: History, **arguments: Any) -> Assessment:
    return assess(found, **{"symbol": "AAPL"} | arguments)


def made(action: Action) -> Assessment:
    """Return advice with this action, on the first walk that has it."""
    for seed in range(60):
        bars = walk(seed, 130, drift=(seed % 5 - 2) * 0.002, deviation=0.015 + 0.035 * (seed % 2))
        found = advice(read_bars(bars, now=NOW), risk_score=seed * 7 % 101)
        if found.action == action:
            return found
    raise AssertionError(f"no {action} in 60 walks")


def test_the_rationale_of_the_sample() -> None:
    """The rationale and the notes on the bundled bars, as docs/advice.md shows them."""
    found = advice(SAMPLE, risk_score=75, sentiment_hint=0.3)
    assert explain(found) == (
        "Buy AAPL, with a confidence of 0.696: in a trending market the score is 0.401. "
        "For it: the price rose by 16.1 % over 63 bars, and the 20-bar average ($132.28) is above the 50-bar "
        "average ($127.99). Against it: the on-balance volume is below its 20-bar mean. "
        "For a bold client (risk score 75): a full position. "
        "An ordinary bar moves by $1.9192, which is 1.41 % of the close."
    )
    assert risk_notes(found) == (
        "For a bold client (risk score 75): a full position.",
        "An ordinary bar moves by $1.9192, which is 1.41 % of the close.",
        "Without the news hint of 0.30 the score is 0.326.",
        "A single stock can lose its value overnight, on news that no chart shows beforehand.",
    )


@pytest.mark.parametrize("action", get_args(Action))
def test_each_action_is_explained_in_three_to_six_sentences(action: Action) -> None:
    """The text starts with the action and the symbol, and has both sides and the risk."""
    text = explain(made(action))
    assert text.startswith(f"{action.capitalize()} AAPL, with a confidence of ")
    assert 3 <= len(re.findall(r"[.](?= |$)", text)) <= 6
    assert "client (risk score" in text
    if action == "avoid":
        assert "a year is more than this client should accept" in text


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    drift=st.sampled_from([-0.004, 0.0, 0.004]),
    deviation=st.sampled_from([0.005, 0.015, 0.05]),
    length=st.integers(31, 260),
    risk_score=st.integers(0, 100),
    hint=st.floats(-1, 1).map(lambda hint: round(hint, 2)),
    asset_class=st.sampled_from(get_args(AssetClass)),
)
def test_every_figure_is_a_fact(
    seed: int,
    drift: float,
    deviation: float,
    length: int,
    risk_score: int,
    hint: float,
    asset_class: AssetClass,
) -> None:
    """The rationale, the reasons and the notes pass the same check as a model's text."""
    bars = walk(seed, length, drift=drift, deviation=deviation)
    found = advice(
        read_bars(bars, now=bars[-1].time),
        risk_score=risk_score,
        sentiment_hint=hint,
        asset_class=asset_class,
    )
    for text in (explain(found), *risk_notes(found), *(f"{signal.reason}." for signal in found.signals)):
        report = check(text, found.facts, symbol="AAPL", action=found.action)
        assert report.grounded, f"{text}\n{report.describe()}"


def test_facts_of_signals_exist() -> None:
    """Each id in a signal is that of a fact; ids are unique, and every value can be formatted."""
    found = advice(SAMPLE)
    ids = [fact.id for fact in found.facts]
    assert len(ids) == len(set(ids))
    assert {name for signal in found.signals for name in signal.facts} <= set(ids)
    assert all(format_fact(fact) for fact in found.facts)
    values = {fact.id: fact.value for fact in found.facts}
    assert values["close"] == SAMPLE.bars[-1].close
    assert (values["bars"], str(values["first_date"]), str(values["last_date"])) == (
        250,
        "2025-12-08",
        "2026-11-20",
    )
    assert values["change_63"] == pytest.approx(100 * (SAMPLE.bars[-1].close / SAMPLE.bars[-64].close - 1))


def test_short_series_have_fewer_facts() -> None:
    """Indicators that need more bars are no facts, and a note names the strategies without a signal."""
    found = advice(replace(SAMPLE, bars=SAMPLE.bars[:40]))
    assert {"sma_50", "sma_200", "change_63"} & {fact.id for fact in found.facts} == set()
    assert "No signal, because bars or volume are missing: ma_cross, momentum." in risk_notes(found)


def test_notes_name_gaps_and_the_unfinished_bar() -> None:
    """The notes have the dates of the longest gap and of the bar that was left out."""
    bars = walk("gap", 80)
    with_gap = read_bars(bars[:50] + bars[60:], now=bars[-1].time)
    notes = risk_notes(advice(with_gap))
    before, after = bars[49].time.date(), bars[60].time.date()
    assert f"Gaps in the bars: 1, the longest from {before} to {after}." in notes
    assert "The bar of 2026-11-20 was not over and is left out." in notes


def test_notes_name_high_volatility_and_drawdown() -> None:
    """High volatility and a deep drawdown have a note each."""
    fallen = advice(read_bars(walk(1, 130, drift=-0.004, deviation=0.05), now=NOW))
    assert any(
        re.fullmatch(r"A volatility of [\d.]+ % a year is high for its asset class\.", note)
        for note in risk_notes(fallen)
    )
    assert any(
        re.fullmatch(r"The drawdown from the highest close is [\d.]+ %\.", note)
        for note in risk_notes(fallen)
    )


def test_the_position_suits_the_client() -> None:
    """A cautious client gets a smaller position from the same bars; each asset class has its own warning."""
    found = read_bars(walk(3, 130, drift=0.006), now=NOW)
    positions = [risk_notes(advice(found, risk_score=risk))[0] for risk in (0, 50, 100)]
    assert positions == [
        "For a cautious client (risk score 0): a small position, built in steps.",
        "For a balanced client (risk score 50): an ordinary position, built in steps.",
        "For a bold client (risk score 100): a full position.",
    ]
    last = {risk_notes(advice(found, asset_class=asset))[-1] for asset in get_args(AssetClass)}
    assert len(last) == 5


def test_action_from_news_alone_says_so() -> None:
    """If no signal supports the action, the rationale says that the news does."""
    flat = tuple(replace(bar, open=5.0, high=5.0, low=5.0, close=5.0) for bar in SAMPLE.bars)
    found = advice(replace(SAMPLE, bars=flat), risk_score=100, sentiment_hint=1)
    assert found.action == "buy"
    assert "No signal speaks for it; the news does. No signal speaks against it." in explain(found)


def test_the_example_of_the_docs_gives_what_it_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example in docs/advice.md prints the output that the page shows."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "advice.md").read_text(encoding="utf-8")
    *_, example, shown = re.findall(r"^```(?:python|text)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(root)
    exec(compile(example, "docs/advice.md", "exec"), {})
    assert capsys.readouterr().out == shown
