"""Each strategy has the documented direction and strength, and no signal if the bars are too few."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai.advisor.indicators import Indicators, compute
from supernova_ai.advisor.signals import LOOK_BACKS, STRATEGIES, Horizon, Signal
from supernova_ai.config import AdviceRules
from supernova_ai.config.advice import AssetClass, Strategy
from tests.advisor import sample_advice

RULES = AdviceRules()
SAMPLE = sample_advice.SAMPLE.bars
INDICATORS = replace(compute(SAMPLE), close=100.0, atr_14=2.0)


def signal_of(
    name: Strategy,
    indicators: Indicators,
    asset_class: AssetClass = "stock",
    horizon: Horizon = "medium",
) -> Signal | None:
    return STRATEGIES[name](indicators, RULES, asset_class, LOOK_BACKS[horizon])


def test_every_configured_strategy_exists() -> None:
    """The configuration, the strategies and their signals have the same names."""
    assert tuple(STRATEGIES) == get_args(Strategy)
    for name in STRATEGIES:
        signal = signal_of(name, INDICATORS)
        assert signal is not None
        assert signal.name == name


EXPECTED: list[tuple[Strategy, dict[str, Any], int, float]] = [
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


@pytest.mark.parametrize(("name", "changes", "direction", "strength"), EXPECTED)
def test_direction_and_strength_are_as_documented(
    name: Strategy, changes: dict[str, Any], direction: int, strength: float
) -> None:
    """The direction is the sign of the measure; the documented amount is half of full strength."""
    signal = signal_of(name, replace(INDICATORS, **changes))
    assert signal is not None
    assert signal.direction == direction
    assert signal.strength == pytest.approx(strength)
    assert signal.value == pytest.approx(direction * strength)


def test_the_asset_class_sets_what_is_overbought() -> None:
    """An RSI of 72 is overbought for a stock, and not for a coin."""
    indicators = replace(INDICATORS, rsi_14=72.0)
    directions = {
        asset: signal.direction
        for asset in ("stock", "crypto")
        if (signal := signal_of("rsi_reversion", indicators, asset))
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
def test_strategies_need_the_documented_number_of_bars(name: Strategy, least: int) -> None:
    """A strategy has a signal from the number of bars in its docstring."""
    assert signal_of(name, compute(SAMPLE[: least - 1])) is None
    assert signal_of(name, compute(SAMPLE[:least])) is not None
    assert f"needs {least} bars" in (STRATEGIES[name].__doc__ or "")


def test_volume_has_no_signal_without_volume() -> None:
    """Bars without volume, or without recent trades, have no volume signal."""
    assert signal_of("volume", compute([replace(bar, volume=None) for bar in SAMPLE])) is None
    recent_zero = [*SAMPLE[:-20], *(replace(bar, volume=0.0) for bar in SAMPLE[-20:])]
    assert signal_of("volume", compute(recent_zero)) is None


def test_flat_series_has_no_direction() -> None:
    """In a flat series every strategy is neutral, in spite of rounding errors of the averages."""
    for price in (0.1, 3.3, 777.7):
        flat = [replace(bar, open=price, high=price, low=price, close=price) for bar in SAMPLE]
        signals = [signal_of(name, compute(flat)) for name in STRATEGIES]
        assert [(signal.direction, signal.strength) for signal in signals if signal] == [(0, 0.0)] * 7


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    drift=st.sampled_from([-0.003, 0.0, 0.003]),
    length=st.integers(30, 120),
    factor=st.floats(1e-6, 1e6),
)
def test_signals_do_not_depend_on_the_scale(seed: int, drift: float, length: int, factor: float) -> None:
    """Prices and volumes in other units give the same signals."""
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
        one, other = signal_of(name, compute(bars)), signal_of(name, compute(scaled))
        assert (one and one.direction) == (other and other.direction)
        assert (one.strength if one else 0) == pytest.approx(other.strength if other else 0, abs=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), length=st.integers(2, 120))
def test_strength_is_at_most_one(seed: int, length: int) -> None:
    """A strength is 0 to 1, and 0 exactly if there is no direction."""
    for name in STRATEGIES:
        if signal := signal_of(name, compute(walk(seed, length, deviation=0.05))):
            assert 0 <= signal.strength < 1
            assert (signal.strength == 0) == (signal.direction == 0)
