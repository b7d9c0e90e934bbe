"""A backtest follows the advice of each bar at the next open, and never looks ahead."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai import AdviceRules, Backtest, InvalidRequest
from supernova_ai.advisor import backtest as module
from supernova_ai.advisor.backtest import backtest
from supernova_ai.advisor.bars import Bar, History
from supernova_ai.advisor.ensemble import Action, ActionThresholds, Decision, assess
from supernova_ai.advisor.simulation import simulate
from tests.advisor.sample_advice import SAMPLE

DAY = timedelta(days=1)
FIRST = AdviceRules().min_bars - 1
"""The number of the first bar with a decision."""

Script = Callable[[Sequence[Action]], None]


def series(prices: Sequence[tuple[float, float]]) -> History:
    """Make daily bars from opens and closes, after flat ones at 100 up to the first decision."""
    start = datetime(2025, 1, 1, tzinfo=UTC)
    whole = [(100.0, 100.0)] * (FIRST + 1) + list(prices)
    return History(
        tuple(
            Bar(start + number * DAY, opened, max(opened, closed), min(opened, closed), closed)
            for number, (opened, closed) in enumerate(whole)
        ),
        DAY,
    )


NO_THRESHOLDS = ActionThresholds(0.0, 0.0, 0.0, 0.0)


def history(bars: list[Bar]) -> History:
    return History(tuple(bars), DAY)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Decide the bars with these actions, and hold after them."""

    def decide(actions: Sequence[Action]) -> None:
        left = iter(actions)
        monkeypatch.setattr(
            module,
            "decide",
            lambda *_, **__: Decision(next(left, "hold"), 0.65, 0.0, 0.0, "ranging", (), NO_THRESHOLDS),
        )

    return decide


def test_actions_are_carried_out_at_the_next_open(script: Script) -> None:
    """Buy takes all of the capital, reduce sells half and once only, sell sells the rest; each costs 1 %."""
    script(["buy", "hold", "reduce", "reduce", "sell", "avoid"])
    prices = [(100, 105), (110, 110), (120, 120), (100, 90), (80, 85), (90, 95)]
    found = backtest(series(prices), symbol="X", costs=100, draws=20)
    times = [bar.time for bar in found.bars]
    units = 0.99 / 100
    reduced, sold = units / 2 * 120, units / 2 * 80
    assert [(trade.time, trade.action, trade.price, trade.before, trade.after) for trade in found.trades] == [
        (times[1], "buy", 100, 0, 1),
        (times[3], "reduce", 120, 1, 0.5),
        (times[5], "sell", 80, 0.5, 0),
    ]
    assert [trade.amount for trade in found.trades] == pytest.approx([1, reduced, sold])
    assert [trade.cost for trade in found.trades] == pytest.approx([0.01, reduced / 100, sold / 100])
    cash = reduced * 0.99
    assert [bar.capital for bar in found.bars] == pytest.approx(
        [
            1,
            units * 105,
            units * 110,
            cash + units / 2 * 120,
            cash + units / 2 * 90,
            cash + sold * 0.99,
            cash + sold * 0.99,
        ]
    )
    assert [bar.exposure for bar in found.bars] == [0, 1, 1, 0.5, 0.5, 0, 0]
    assert found.strategy.trades == 3


def test_measures_are_those_of_the_textbook(script: Script) -> None:
    """Return, volatility, Sharpe ratio, drawdown, exposure and turnover of a small series, by hand."""
    script(["buy", "hold", "hold", "sell"])
    found = backtest(series([(100, 110), (110, 99), (99, 120), (125, 130)]), symbol="X", costs=0, draws=20)
    capital = [1, 1.1, 0.99, 1.2, 1.25]
    changes = [1.1 - 1, 0.99 / 1.1 - 1, 1.2 / 0.99 - 1, 1.25 / 1.2 - 1]
    measured = found.strategy
    assert [bar.capital for bar in found.bars] == pytest.approx(capital)
    assert measured.total_return == pytest.approx(0.25)
    assert measured.volatility == pytest.approx(stdev(changes) * sqrt(365.25))
    assert measured.sharpe == pytest.approx(fmean(changes) / stdev(changes) * sqrt(365.25))
    assert measured.max_drawdown == pytest.approx(0.1)
    assert measured.exposure == pytest.approx(0.75)
    assert measured.turnover == pytest.approx((1 + 1.25) / fmean(capital[1:]) / (4 / 365.25))


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), costs=st.integers(0, 500))
def test_buy_and_hold_is_the_ratio_of_prices_less_one_cost(seed: int, costs: int) -> None:
    """It buys at the first open after the first decision, and holds to the last close."""
    bars = walk(seed, 60)
    found = backtest(history(bars), symbol="X", costs=costs, draws=20)
    expected = bars[-1].close / bars[FIRST + 1].open * (1 - costs / 10_000)
    assert 1 + found.buy_and_hold.total_return == pytest.approx(expected)
    assert found.bars[-1].buy_and_hold == pytest.approx(expected)
    assert found.buy_and_hold.trades == 1


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6), length=st.integers(FIRST + 4, 118), drift=st.sampled_from([-0.004, 0, 0.004])
)
def test_later_bars_change_nothing_before_them(seed: int, length: int, drift: float) -> None:
    """With other bars from some time on, every decision and the capital up to then are the same."""
    bars = walk(seed, 120, drift=drift)
    others = [replace(bar, open=bar.high, close=bar.low) for bar in walk(-seed, 120)[length:]]
    one = backtest(history(bars), symbol="X", draws=20)
    other = backtest(history(bars[:length] + others), symbol="X", draws=20)
    known = length - FIRST
    assert one.bars[:known] == other.bars[:known]
    end = bars[length].time
    assert [t for t in one.trades if t.time < end] == [t for t in other.trades if t.time < end]


def test_decisions_are_those_of_advise(seed: int) -> None:
    """Each bar has the action and the confidence that ``assess`` gives on the bars up to it."""
    bars = walk(("backtest", seed), 260, drift=0.001)
    found = backtest(history(bars), symbol="X", asset_class="crypto", risk_score=80, draws=20)
    for number in random.Random(seed).sample(range(FIRST, 260), 25):
        alone = assess(history(bars[: number + 1]), symbol="X", asset_class="crypto", risk_score=80)
        bar = found.bars[number - FIRST]
        assert (bar.time, bar.action, bar.confidence) == (bars[number].time, alone.action, alone.confidence)


def test_the_seed_decides_the_shifts_and_nothing_else() -> None:
    """The same seed gives the same result; another one changes only what is compared at random."""
    one, same, other = (backtest(SAMPLE, symbol="X", draws=50, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert replace(one, seed=2, shifted=other.shifted) == other


def test_the_right_times_beat_random_ones(script: Script) -> None:
    """A plan that holds only while the price rises beats nearly all shifts; one that always holds ties."""
    prices = [(100.0, 100.0)] * 30 + [(100.0 + step, 101.0 + step) for step in range(30)]
    prices += [(130.0 - step, 129.0 - step) for step in range(30)]
    waiting: list[Action] = ["hold"] * 29
    script(["hold", *waiting, "buy", *waiting, "sell"])
    timed = backtest(series(prices), symbol="X").shifted
    assert min(timed.return_percentile, timed.sharpe_percentile) > 0.95
    script(["buy"])
    always = backtest(series(prices), symbol="X")
    assert (always.shifted.return_percentile, always.shifted.sharpe_percentile) == (0.5, 0.5)
    assert always.strategy == always.buy_and_hold
    assert asdict(always.shifted.median) == pytest.approx(asdict(always.strategy))


def test_shifts_are_simulated_with_the_same_costs(script: Script) -> None:
    """The 5th and the 95th percentile lie within what all possible shifts bring."""
    prices = [(100.0 + number % 7, 100.0 + number % 5) for number in range(40)]
    script(["buy", "hold", "hold", "reduce", "hold", "sell"] * 3)
    found = backtest(series(prices), symbol="X", costs=50, draws=200)
    plan = [bar.exposure for bar in found.bars[1:]]
    bars = series(prices).bars[FIRST + 1 :]
    ends = [simulate(bars, plan[at:] + plan[:at], 0.005).capital[-1] - 1 for at in range(1, len(plan))]
    low, high = found.shifted.low.total_return, found.shifted.high.total_return
    assert min(ends) <= low <= found.shifted.median.total_return <= high <= max(ends)
    assert found.shifted.draws == 200


def test_hits_compare_each_direction_with_a_later_price(script: Script) -> None:
    """A buy before a rise is right, a sell is wrong; hold has no direction, and the end no later price."""
    script(["buy", "sell", "hold", "reduce", "avoid", "buy"])
    prices = [(100.0 + number, 100.5 + number) for number in range(8)]
    found = backtest(series(prices), symbol="X", ahead=4, draws=20)
    (bucket,) = (one for one in found.hits if one.decisions)
    assert (bucket.low, bucket.high, bucket.decisions, bucket.hits) == (0.6, 0.7, 3, 1)
    assert bucket.hit_rate == pytest.approx(1 / 3)
    assert bucket.expected == pytest.approx((1 + 0 + 0) / 3)  # the price always rises
    assert found.hits[0].hit_rate is None


def numbers(value: Any) -> list[float]:
    """Return every number in a result."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize(
    "found_on",
    [
        series([(100, 100)] * 60),
        series([(100, 100), (100, 100)]),
        SAMPLE,
        history([replace(bar, volume=None) for bar in SAMPLE.bars]),
    ],
    ids=["flat", "shortest", "sample", "without volume"],
)
def test_results_are_json_without_nan(found_on: History) -> None:
    """Every number is finite, also of a price that never moves and of the shortest series."""
    plain = backtest(found_on, symbol="X", draws=20).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert len(numbers(plain)) > 40


def test_a_flat_price_is_never_traded() -> None:
    """Nothing is bought, nothing is won, and buying and holding loses its one cost."""
    found = backtest(series([(100, 100)] * 60), symbol="X", costs=10)
    assert (found.trades, found.strategy.total_return, found.strategy.sharpe) == ((), 0, 0)
    assert found.buy_and_hold.total_return == pytest.approx(-0.001)
    assert found.shifted.return_percentile == 0.5


def test_a_result_is_frozen() -> None:
    """No part of a result can be changed."""
    found = backtest(SAMPLE, symbol="X", draws=20)
    for record in (found, found.bars[0], found.strategy, found.shifted, found.hits[0]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, dataclasses.fields(record)[0].name, None)
    assert isinstance(found, Backtest)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bars": SAMPLE.bars[:31]}, "31 finished bars are too few for a backtest: give at least 32"),
        ({"bars": SAMPLE.bars[:20]}, "20 finished bars are too few"),
        ({"costs": -1}, "costs is -1: it must be a number from 0 to 1,000"),
        ({"costs": float("nan")}, "costs is nan"),
        ({"costs": "10"}, "costs is '10'"),
        ({"draws": 19}, "draws is 19: it must be a whole number from 20 to 10,000"),
        ({"ahead": 1.5}, "ahead is 1.5: it must be a whole number"),
        ({"symbol": ""}, "symbol is ''"),
        ({"risk_score": 101}, "risk_score is 101"),
        ({"rules": {}}, "rules are {}: it must be AdviceRules, the section advice of a configuration"),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    """The error names the argument and what would be right."""
    arguments: dict[str, Any] = {"bars": SAMPLE.bars, "symbol": "X"} | wrong
    with pytest.raises(InvalidRequest, match=message):
        backtest(arguments.pop("bars"), **arguments)
