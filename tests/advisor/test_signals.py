"""Each strategy points where it says, as strongly as the bars do, and is silent where they are too few."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import load_csv
from supernova_ai.advisor.indicators import Indicators, compute
from supernova_ai.advisor.signals import STRATEGIES, Signal
from supernova_ai.config import AdviceRules
from supernova_ai.config.advice import AssetClass, Strategy

RULES = AdviceRules()
SAMPLE = load_csv(
    Path(__file__).parents[2] / "examples" / "bars.csv", now=datetime(2026, 11, 22, tzinfo=UTC)
).bars
SEEN = replace(compute(SAMPLE), close=100.0, atr_14=2.0)


def say(name: Strategy, seen: Indicators, asset_class: AssetClass = "stock") -> Signal | None:
    return STRATEGIES[name](seen, RULES, asset_class)


def test_every_strategy_is_there_under_its_name() -> None:
    """The names of the configuration are those of the strategies, and of their signals."""
    assert tuple(STRATEGIES) == get_args(Strategy)
    for name in STRATEGIES:
        said = say(name, SEEN)
        assert said is not None
        assert said.name == name


POINTS: list[tuple[Strategy, dict[str, Any], int, float]] = [
    ("ma_cross", {"sma_20": 102.0, "sma_50": 100.0}, 1, 0.5),
    ("ma_cross", {"sma_20": 100.0, "sma_50": 106.0}, -1, 0.75),
    ("ma_cross", {"sma_20": 100.0, "sma_50": 100.0}, 0, 0),
    ("rsi_reversion", {"rsi_14": 20.0}, 1, 0.5),
    ("rsi_reversion", {"rsi_14": 30.0}, 0, 0),
    ("rsi_reversion", {"rsi_14": 70.0}, 0, 0),
    ("rsi_reversion", {"rsi_14": 80.0}, -1, 0.5),
    ("rsi_reversion", {"rsi_14": 100.0}, -1, 0.75),
    ("macd", {"macd_histogram": 0.5}, 1, 0.5),
    ("macd", {"macd_histogram": -0.5}, -1, 0.5),
    ("bollinger", {"bollinger_b": -0.125}, 1, 0.5),
    ("bollinger", {"bollinger_b": 0.5}, 0, 0),
    ("bollinger", {"bollinger_b": 1.125}, -1, 0.5),
    ("breakout", {"low_20": 90.0, "high_20": 99.5}, 1, 0.5),
    ("breakout", {"low_20": 90.0, "high_20": 110.0}, 0, 0),
    ("breakout", {"low_20": 100.5, "high_20": 110.0}, -1, 0.5),
    ("momentum", {"change_63": 100 / 92 - 1}, 1, 0.5),
    ("momentum", {"change_63": 100 / 108 - 1}, -1, 0.5),
    ("volume", {"obv": 900.0, "obv_mean_20": 500.0, "volume_mean_20": 100.0}, 1, 0.5),
    ("volume", {"obv": -900.0, "obv_mean_20": -500.0, "volume_mean_20": 100.0}, -1, 0.5),
]


@pytest.mark.parametrize(("name", "changes", "direction", "strength"), POINTS)
def test_strategies_point_as_they_say(
    name: Strategy, changes: dict[str, Any], direction: int, strength: float
) -> None:
    """The direction is the sign of what is measured; one unit of it is half of full strength."""
    said = say(name, replace(SEEN, **changes))
    assert said is not None
    assert said.direction == direction
    assert said.strength == pytest.approx(strength)
    assert said.value == pytest.approx(direction * strength)


def test_the_asset_class_sets_what_is_overbought() -> None:
    """An RSI of 72 is overbought for a stock and not yet for a coin."""
    seen = replace(SEEN, rsi_14=72.0)
    directions = {
        asset: said.direction for asset in ("stock", "crypto") if (said := say("rsi_reversion", seen, asset))
    }
    assert directions == {"stock": -1, "crypto": 0}


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("ma_cross", 50),
        ("rsi_reversion", 15),
        ("macd", 34),
        ("bollinger", 20),
        ("breakout", 21),
        ("momentum", 64),
        ("volume", 20),
    ],
)
def test_strategies_are_silent_until_they_have_their_bars(name: Strategy, least: int) -> None:
    """A strategy speaks from the number of bars that its docstring names."""
    assert say(name, compute(SAMPLE[: least - 1])) is None
    assert say(name, compute(SAMPLE[:least])) is not None
    assert f"needs {least} bars" in (STRATEGIES[name].__doc__ or "")


def test_volume_is_silent_without_volume() -> None:
    """Bars without volume, or that did not trade of late, have no volume signal."""
    assert say("volume", compute([replace(bar, volume=None) for bar in SAMPLE])) is None
    gone = [*SAMPLE[:-20], *(replace(bar, volume=0.0) for bar in SAMPLE[-20:])]
    assert say("volume", compute(gone)) is None


def test_nothing_points_anywhere_where_nothing_moves() -> None:
    """A flat series gives every strategy's neutral word, whatever rounding makes of its averages."""
    for price in (0.1, 3.3, 777.7):
        flat = [replace(bar, open=price, high=price, low=price, close=price) for bar in SAMPLE]
        said = [say(name, compute(flat)) for name in STRATEGIES]
        assert [(signal.direction, signal.strength) for signal in said if signal] == [(0, 0.0)] * 7


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    drift=st.sampled_from([-0.003, 0.0, 0.003]),
    length=st.integers(30, 120),
    factor=st.floats(1e-6, 1e6),
)
def test_signals_have_no_scale(seed: int, drift: float, length: int, factor: float) -> None:
    """Prices in cents, yen or bitcoin, and volumes in lots: the same signals."""
    bars = walk(seed, length, drift=drift)
    scaled = [
        replace(
            bar,
            open=bar.open * factor,
            high=bar.high * factor,
            low=bar.low * factor,
            close=bar.close * factor,
            volume=(bar.volume or 0.0) * factor,
        )
        for bar in bars
    ]
    for name in STRATEGIES:
        one, other = say(name, compute(bars)), say(name, compute(scaled))
        assert (one and one.direction) == (other and other.direction)
        assert (one.strength if one else 0) == pytest.approx(other.strength if other else 0, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), length=st.integers(2, 120))
def test_strengths_are_shares(seed: int, length: int) -> None:
    """A strength is 0 to 1, and 0 exactly where there is no direction."""
    for name in STRATEGIES:
        if said := say(name, compute(walk(seed, length, deviation=0.05))):
            assert 0 <= said.strength < 1
            assert (said.strength == 0) == (said.direction == 0)
