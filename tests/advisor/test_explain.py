"""The deterministic rationale has the documented parts, and every figure in it is a fact."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import History, read_bars
from supernova_ai.advisor.ensemble import Action, Assessment, Holding, assess
from supernova_ai.advisor.explain import fact_table, risk_notes, titles
from supernova_ai.advisor.language import language
from supernova_ai.advisor.signals import Horizon
from supernova_ai.config.advice import AssetClass
from tests.advisor.sample_advice import SAMPLE, own_text

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
    """The rationale and the notes on the bundled bars."""
    found = advice(SAMPLE, risk_score=75, sentiment_hint=0.3)
    assert own_text(found).split("\n\n") == [
        "## Summary",
        "As of 20 November 2026: buy AAPL. For a bold client (risk score 75 of 100): buy a full position. "
        "The signals and the news together point up: their score is 0.40, on a scale from -1 (all point "
        "down) to 1 (all point up), and this client buys from 0.21. The market is trending, so the signals "
        "that follow a trend count most. The confidence is 0.70 of 1: it says how clear the case is, not how "
        "likely a gain is.",
        "## What speaks for it",
        "The price rose by 16.1 % over 63 days. The 20-day average ($132.28) is 3.4 % above the 50-day "
        "average ($127.99).",
        "## What speaks against it",
        "The on-balance volume is below its 20-day average.",
        "## Risk",
        "An ordinary day moves the price by $1.92, which is 1.4 % of the close. The annualised volatility is "
        "18.4 %. At the worst time, the close was 9.4 % below the highest close before it.",
    ]
    assert risk_notes(found) == (
        "For a bold client (risk score 75 of 100): buy a full position.",
        "An ordinary day moves the price by $1.92, which is 1.4 % of the close.",
        "Without the hint of the news (0.30), the score is 0.33.",
        "A single stock can lose its value overnight, on news that no chart shows beforehand.",
    )


@pytest.mark.parametrize("action", get_args(Action))
def test_each_action_is_explained_in_four_sections(action: Action) -> None:
    """The text starts with the action, the symbol and the date, and has both sides and the risk."""
    found = made(action)
    text = own_text(found)
    assert text.startswith(f"## Summary\n\nAs of 20 November 2026: {action} AAPL.")
    headings = re.findall("^## (.+)$", text, re.MULTILINE)
    assert headings == list(titles(action, language()).values())
    assert headings[1] == ("Good signs" if action in ("hold", "avoid") else "What speaks for it")
    assert "client (risk score" in text


@pytest.mark.parametrize(
    ("step", "average"),
    [
        (timedelta(days=1), "20-day average"),
        (timedelta(hours=1), "20-hour average"),
        (timedelta(days=7), "20-week average"),
        (timedelta(hours=4), "20-bar average"),
    ],
)
def test_names_have_the_period_of_the_bars(step: timedelta, average: str) -> None:
    """A name never says bar if the bars have a period with a word."""
    bars = [replace(bar, time=NOW - step * number) for number, bar in enumerate(reversed(SAMPLE.bars), 1)][
        ::-1
    ]
    found = advice(read_bars(bars, now=NOW))
    names = {fact.id: fact.name for fact in found.facts}
    assert names["sma_20"] == average
    assert any("bar" in name for name in names.values() if "-" in name) is (average == "20-bar average")


@settings(max_examples=25)
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
    """Each figure of the rationale, the reasons and the notes is of a fact, or a distance of two."""
    bars = walk(seed, length, drift=drift, deviation=deviation)
    found = advice(
        read_bars(bars, now=bars[-1].time),
        risk_score=risk_score,
        sentiment_hint=hint,
        asset_class=asset_class,
    )
    table = fact_table(found)
    known = " ".join(
        [
            *(f"{table.shown(id_)} {table[id_].name} {table[id_].period}" for id_ in table),
            "from -1 to 1, of 100",
        ]
    )
    for text in (own_text(found), *risk_notes(found), *(f"{signal.reason}." for signal in found.signals)):
        without_distances = re.sub(r"[\d.,]+ % (?=above|below)", "", text)
        for figure in re.findall(r"\d[\d,.]*\d|\d", without_distances):
            assert figure in known, text


def test_facts_of_signals_exist() -> None:
    """Each id in a signal is that of a fact; ids are unique, and every value can be formatted."""
    found = advice(SAMPLE)
    ids = [fact.id for fact in found.facts]
    assert len(ids) == len(set(ids))
    assert {name for signal in found.signals for name in signal.facts} <= set(ids)
    assert all(map(fact_table(found).shown, ids))
    values = {fact.id: fact.value for fact in found.facts}
    assert values["close"] == SAMPLE.bars[-1].close
    assert (values["bars"], str(values["first_date"]), str(values["last_date"])) == (
        250,
        "2025-12-08",
        "2026-11-20 00:00:00+00:00",
    )
    assert values["change_63"] == pytest.approx(100 * (SAMPLE.bars[-1].close / SAMPLE.bars[-64].close - 1))


def test_short_series_have_fewer_facts() -> None:
    """Indicators that need more bars are no facts, and a note names the strategies without a signal."""
    found = advice(replace(SAMPLE, bars=SAMPLE.bars[:40]))
    assert {"sma_50", "sma_200", "change_63"} & {fact.id for fact in found.facts} == set()
    assert "Bars or volume are missing for: the averages, the momentum." in risk_notes(found)


def test_notes_name_gaps_and_the_unfinished_bar() -> None:
    """The notes have the dates of the longest gap and of the bar that was left out."""
    bars = walk("gap", 80)
    with_gap = read_bars(bars[:50] + bars[60:], now=bars[-1].time)
    notes = risk_notes(advice(with_gap))
    before, after = bars[49].time.date(), bars[60].time.date()
    assert (
        f"Gaps in the bars: 1, the longest from {language().day(before)} to {language().day(after)}." in notes
    )
    assert "The bar of 20 November 2026 was not over and is left out." in notes


@pytest.mark.parametrize(
    ("now", "age"),
    [
        (datetime(2026, 11, 25, tzinfo=UTC), None),
        (datetime(2026, 12, 25, tzinfo=UTC), "34 days"),
    ],
)
def test_old_bars_are_warned_of(now: datetime, age: str | None) -> None:
    """If newer bars should exist, the summary and the notes say how old the last one is."""
    found = advice(read_bars(SAMPLE.bars, now=now))
    warning = (
        f"The data are old: the last bar ended {age} before this advice. Get newer bars before acting on it."
    )
    assert (warning in own_text(found), warning in risk_notes(found)) == (age is not None, age is not None)
    assert ("The data are old" in own_text(found)) is (age is not None)


@pytest.mark.parametrize(("ratio", "found"), [(4, True), (0.1, True), (1.7, False), (1, False)])
def test_a_jump_like_a_split_is_warned_of(ratio: float, found: bool) -> None:
    """A stock whose price jumps by the ratio of a split has a warning; a coin has none."""
    bars = walk(1, 130)
    split = [
        replace(bar, **{name: getattr(bar, name) * ratio for name in ("open", "high", "low", "close")})
        for bar in bars[:100]
    ]
    history = read_bars([*split, *bars[100:]], now=NOW)
    day = language().day(bars[100].time.date())
    for asset_class in ("stock", "crypto"):
        advised = advice(history, asset_class=asset_class)
        times = {fact.id: fact.as_of for fact in advised.facts if fact.id in ("split_before", "split_after")}
        is_split = found and asset_class == "stock"
        assert (f"On {day} the price jumped from $" in own_text(advised)) is is_split
        assert times == ({"split_before": bars[99].time, "split_after": bars[100].time} if is_split else {})


@pytest.mark.parametrize(
    ("scale", "asset_class", "shown"),
    [
        (1.0, "stock", "$136.36"),
        (0.07, "stock", "$9.55"),
        (0.07, "crypto", "$9.5452"),
        (0.008, "fx", "$1.0909"),
        (0.0001, "stock", "$0.013636"),
    ],
)
def test_prices_have_sensible_digits(scale: float, asset_class: AssetClass, shown: str) -> None:
    """Two decimals, except for small prices and for pairs, whose digits are those of the bars."""
    bars = [
        replace(
            bar, **{name: round(getattr(bar, name) * scale, 8) for name in ("open", "high", "low", "close")}
        )
        for bar in SAMPLE.bars
    ]
    found = advice(read_bars(bars, now=NOW), asset_class=asset_class)
    assert fact_table(found).shown("close") == shown


def test_the_horizon_chooses_the_look_back() -> None:
    """Short, medium and long horizons compare other averages and other changes."""
    bars = read_bars(walk(5, 260, drift=0.002), now=NOW)
    facts = {
        horizon: {signal.name: signal.facts for signal in advice(bars, horizon=horizon).signals}
        for horizon in get_args(Horizon)
    }
    assert [found["ma_cross"] for found in facts.values()] == [
        ("ema_12", "ema_26"),
        ("sma_20", "sma_50"),
        ("sma_50", "sma_200"),
    ]
    assert [found["momentum"] for found in facts.values()] == [
        ("change_20",),
        ("change_63",),
        ("change_200",),
    ]


@pytest.mark.parametrize("action", get_args(Action))
def test_without_a_position_nothing_is_sold(action: Action) -> None:
    """Who holds nothing is told not to buy, and who holds something what to do with it."""
    found = made(action)
    texts = {holding: own_text(replace(found, holding=holding)) for holding in get_args(Holding)}
    first = {holding: text.split("\n\n")[1].split(". ")[0] for holding, text in texts.items()}
    none, held = first["none"].removeprefix("As of 20 November 2026: "), first["held"]
    assert none.startswith("buy AAPL" if action == "buy" else "do not buy AAPL")
    assert "do not buy" not in held
    assert not re.search("sell|reduce|keep", risk_notes(replace(found, holding="none"))[0])
    assert len(set(first.values())) >= (1 if action == "sell" else 2)


def test_notes_name_high_volatility_and_drawdown() -> None:
    """High volatility and a deep drawdown have a note each."""
    fallen = advice(read_bars(walk(1, 130, drift=-0.004, deviation=0.05), now=NOW))
    assert any(
        re.fullmatch(r"A volatility of [\d.]+ % a year is high for its asset class\.", note)
        for note in risk_notes(fallen)
    )
    assert any(
        re.fullmatch(r"The close is [\d.]+ % below the highest close\.", note) for note in risk_notes(fallen)
    )


def test_the_position_suits_the_client() -> None:
    """A cautious client gets a smaller position from the same bars; each asset class has its own warning."""
    found = read_bars(walk(3, 130, drift=0.006), now=NOW)
    positions = [risk_notes(advice(found, risk_score=risk))[0] for risk in (0, 50, 100)]
    assert positions == [
        "For a cautious client (risk score 0 of 100): buy a small position, in steps.",
        "For a balanced client (risk score 50 of 100): buy an ordinary position, in steps.",
        "For a bold client (risk score 100 of 100): buy a full position.",
    ]
    last = {risk_notes(advice(found, asset_class=asset))[-1] for asset in get_args(AssetClass)}
    assert len(last) == 5


def test_action_from_news_alone_says_so() -> None:
    """If no signal supports the action, the rationale says that the news does."""
    flat = tuple(replace(bar, open=5.0, high=5.0, low=5.0, close=5.0) for bar in SAMPLE.bars)
    found = advice(replace(SAMPLE, bars=flat), risk_score=100, sentiment_hint=1)
    assert found.action == "buy"
    assert "No signal points up; the news is good." in own_text(found)
    assert "No signal points down." in own_text(found)
    assert "The signals and the news together point up" in own_text(found)


def test_a_score_without_news_is_of_the_signals_alone() -> None:
    """The sentence about the score, and what to wait for, name the news only where it was counted."""
    falling = read_bars(walk(3, 130, drift=-0.006), now=NOW)
    for hint, scored in ((0.0, "signals"), (-1.0, "signals and the news")):
        found = replace(advice(falling, sentiment_hint=hint), holding="none")
        assert f"wait until the {scored} no longer point down" in risk_notes(found)[0]
        assert f"The {scored} together point" in own_text(found)
