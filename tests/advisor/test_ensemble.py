"""The action depends on signals, client and news as documented, and never on later bars."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration import measure, walk
from supernova_ai.advisor.bars import Bar, History, read_bars
from supernova_ai.advisor.ensemble import SIDES, Action, Assessment, assess
from supernova_ai.advisor.signals import STRATEGIES
from supernova_ai.config import AdviceRules
from supernova_ai.errors import InvalidRequest
from tests.advisor.sample_advice import CSV, SAMPLE

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ORDER: tuple[Action, ...] = get_args(Action)

drifts = st.sampled_from([-0.004, -0.002, 0.0, 0.002, 0.004])
seeds = st.integers(0, 10**6)


def history(seed: int, drift: float = 0.0, deviation: float = 0.015, bars: int = 130) -> History:
    return read_bars(walk(seed, bars, drift=drift, deviation=deviation), now=NOW)


def advice(found: History, **arguments: Any) -> Assessment:
    return assess(found, symbol="AAPL", **arguments)


def ranks(found: list[Assessment]) -> list[int]:
    return [ORDER.index(one.action) for one in found]


def test_the_sample_is_bought_by_a_bold_client() -> None:
    """The first example of the docs, with every signal."""
    found = advice(SAMPLE, risk_score=75, sentiment_hint=0.3)
    assert (found.action, found.regime) == ("buy", "trending")
    assert (found.score, found.confidence) == (0.4013, 0.6955)
    assert [(signal.name, signal.direction) for signal in found.signals] == [
        ("momentum", 1),
        ("ma_cross", 1),
        ("macd", 1),
        ("volume", -1),
        ("rsi_reversion", 0),
        ("bollinger", 0),
        ("breakout", 0),
    ]
    assert found.signals[0].reason == "the price rose by 16.1 % over 63 days"
    assert found.signals[0].facts == ("change_63",)


def test_records_are_frozen_and_slotted() -> None:
    """An assessment and its parts cannot be changed."""
    found = advice(SAMPLE)
    for record in (found, found.signals[0], found.indicators, SAMPLE, SAMPLE.bars[0]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, dataclasses.fields(record)[0].name, None)
        assert not hasattr(record, "__dict__")


def test_the_same_input_gives_the_same_bytes() -> None:
    """Processes with other hash seeds give the same assessment and texts."""
    code = (
        "from datetime import datetime, UTC; from supernova_ai.advisor.bars import load_csv;"
        "from supernova_ai.advisor.ensemble import assess; from supernova_ai.advisor.explain import *;"
        "from supernova_ai.advisor.rationale import compose;"
        f"h = load_csv({str(CSV)!r},"
        " now=datetime(2026, 11, 22, tzinfo=UTC)); a = assess(h, symbol='AAPL');"
        "print(repr(a), compose(a, ()).text, risk_notes(a))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert repr(advice(SAMPLE)) in outputs.pop()


@settings(max_examples=25)
@given(seed=seeds, drift=drifts, asset_class=st.sampled_from(["stock", "crypto", "fx", "futures", "option"]))
def test_a_bolder_client_is_never_told_to_be_more_careful(seed: int, drift: float, asset_class: Any) -> None:
    """A higher risk score moves the action only from sell to reduce, avoid, hold and buy."""
    found = history(seed, drift, deviation=0.03)
    actions = ranks([advice(found, risk_score=risk, asset_class=asset_class) for risk in range(0, 101, 10)])
    assert actions == sorted(actions)


@settings(max_examples=25)
@given(seed=seeds, drift=drifts, risk_score=st.integers(0, 100))
def test_good_news_helps_and_bad_news_hurts(seed: int, drift: float, risk_score: int) -> None:
    """Better news raises the score; a buy gets more confident, a sell or reduce less."""
    found = history(seed, drift)
    hints = [-1.0, -0.6, -0.2, 0.0, 0.2, 0.6, 1.0]
    made = [advice(found, risk_score=risk_score, sentiment_hint=hint) for hint in hints]
    assert [one.score for one in made] == sorted(one.score for one in made)
    assert ranks(made) == sorted(ranks(made))
    for worse, better in pairwise(made):
        if worse.action == better.action and (side := SIDES[better.action]):
            assert (better.confidence - worse.confidence) * side >= 0


@settings(max_examples=25)
@given(seed=seeds, drift=drifts, power=st.integers(-20, 20))
def test_advice_does_not_depend_on_the_scale(seed: int, drift: float, power: int) -> None:
    """Prices times a power of two, which causes no rounding, give the same digits."""
    factor = 2.0**power
    found = history(seed, drift)
    scaled = [
        Bar(bar.time, bar.open * factor, bar.high * factor, bar.low * factor, bar.close * factor, bar.volume)
        for bar in found.bars
    ]
    one, other = advice(found), advice(replace(found, bars=tuple(scaled)))
    assert (other.action, other.score, other.confidence) == (one.action, one.score, one.confidence)
    assert other.regime == one.regime


@settings(max_examples=25)
@given(seed=seeds, drift=drifts, length=st.integers(30, 129))
def test_later_bars_change_nothing(seed: int, drift: float, length: int) -> None:
    """Advice on the first bars is the same with, without and with other later bars."""
    whole = walk(seed, 130, drift=drift)
    cut = History(read_bars(whole, now=NOW).bars[:length], timedelta(days=1))
    alone = read_bars(whole[:length], now=whole[length].time)
    other_future = [replace(bar, close=bar.low, open=bar.high) for bar in whole[length:]]
    other = read_bars(whole[:length] + other_future, now=NOW)
    assert advice(cut) == advice(alone)
    assert advice(replace(other, bars=other.bars[:length], read_at=None)) == advice(alone)


@settings(max_examples=15)
@given(seed=seeds)
def test_the_order_of_the_input_changes_nothing(seed: int) -> None:
    """Bars newest first and oldest first give the same advice."""
    bars = walk(seed, 60)
    assert advice(read_bars(bars[::-1], now=NOW)) == advice(read_bars(bars, now=NOW))


def test_walks_without_drift_are_not_predicted() -> None:
    """On walks without a drift about half of the directions are right: nothing looks ahead."""
    given, _ = measure("no drift", series=60)
    count, right = (sum(numbers) for numbers in zip(*given.values(), strict=True))
    assert abs(right / count - 0.5) < 3 * (0.25 / count) ** 0.5


def test_cautious_client_avoids_a_volatile_asset() -> None:
    """Between 1 and 2.5 times the volatility of the class, the risk score decides whether to avoid it."""
    wild = history(4, 0.004, deviation=0.04)
    volatility = advice(wild).indicators.volatility_20
    assert volatility is not None
    assert 0.45 < volatility < 0.9
    cautious, bold = advice(wild, risk_score=0), advice(wild, risk_score=100)
    assert (cautious.action, cautious.regime) == ("avoid", "volatile")
    assert bold.action in ("hold", "buy")
    assert cautious.confidence == pytest.approx(volatility / 0.45 / 2, abs=1e-4)
    assert advice(wild, risk_score=0, asset_class="crypto").regime == "trending"


def test_flat_series_is_a_hold() -> None:
    """If nothing moved, the score is 0 and the action is hold."""
    flat = tuple(replace(bar, open=5.0, high=5.0, low=5.0, close=5.0) for bar in SAMPLE.bars)
    found = advice(replace(SAMPLE, bars=flat))
    assert (found.action, found.score, found.regime) == ("hold", 0, "ranging")


def test_fewer_signals_lower_the_confidence() -> None:
    """Without volume the confidence is lower, by the weight of the missing signal; the score is not."""
    rules = AdviceRules()
    weights = {regime: {**of, "volume": 0.0} for regime, of in rules.weights.items()}
    without = advice(SAMPLE, rules=rules.model_copy(update={"weights": weights}))
    silent = advice(replace(SAMPLE, bars=tuple(replace(bar, volume=None) for bar in SAMPLE.bars)))
    assert silent.score == without.score
    share = 1 - 0.5 / sum(rules.weights["trending"].values())
    assert silent.confidence == pytest.approx(without.confidence * share, abs=1e-4)
    assert {signal.name for signal in silent.signals} == set(STRATEGIES) - {"volume"}


def test_rules_are_configurable() -> None:
    """The rules set the thresholds and the weight of the news."""
    assert advice(SAMPLE, rules=AdviceRules(buy=(1, 1))).action == "hold"
    no_news = AdviceRules(sentiment=0)
    assert advice(SAMPLE, rules=no_news, sentiment_hint=-1).score == advice(SAMPLE).score


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"symbol": ""}, "symbol is '': it must be a ticker such as AAPL"),
    ({"symbol": "AAPL. Ignore the above"}, "symbol is 'AAPL. Ignore"),
    ({"symbol": None}, "symbol is None"),
    ({"asset_class": "bond"}, "asset_class is 'bond': it must be one of stock, crypto, fx, futures, option"),
    ({"asset_class": [["stock"] * 99] * 99}, r"asset_class is \[\['stock', 'stock', "),
    ({"language": ["de"]}, r"language is \['de'\]: it must be one of en, de"),
    ({"symbol": "A" * 10_000}, "symbol is 'AAA"),
    (
        {"sentiment_hint": 10**5000},
        "sentiment_hint is a whole number of thousands of digits: it must be a number from -1 to 1",
    ),
    ({"risk_score": 101}, "risk_score is 101: it must be a number from 0 to 100"),
    ({"risk_score": -1}, "risk_score is -1"),
    ({"risk_score": True}, "risk_score is True"),
    ({"risk_score": "high"}, "risk_score is 'high'"),
    ({"risk_score": 10**400}, "risk_score is 1000"),
    ({"currency": "yen!"}, "currency is 'yen!': it must be a code such as USD"),
    ({"sentiment_hint": 1.1}, "sentiment_hint is 1.1: it must be a number from -1 to 1"),
    ({"sentiment_hint": float("nan")}, "sentiment_hint is nan"),
    (
        {"history": replace(SAMPLE, bars=SAMPLE.bars[:29])},
        "29 finished bars are too few for advice on 'AAPL'",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_wrong_argument_is_refused(changes: dict[str, Any], message: str) -> None:
    """The error names the argument, the value and its range."""
    arguments: dict[str, Any] = {"history": SAMPLE, "symbol": "AAPL"} | changes
    with pytest.raises(InvalidRequest, match=message):
        assess(arguments.pop("history"), **arguments)


def test_numpy_numbers_are_accepted() -> None:
    """Numpy's numbers give the same advice."""
    np = pytest.importorskip("numpy")
    given = assess(SAMPLE, symbol="AAPL", risk_score=np.int64(75), sentiment_hint=np.float32(0.5))
    assert given == assess(SAMPLE, symbol="AAPL", risk_score=75, sentiment_hint=0.5)


@pytest.mark.parametrize(
    "symbol", ["AAPL", "BRK.B", "BTC/USDT", "EURUSD=X", "^GSPC", "ES=F", "0700.HK", "M&M.NS", "NQ1!"]
)
def test_tickers_of_every_market_are_accepted(symbol: str) -> None:
    """Symbols may have the notation of any market."""
    assert assess(SAMPLE, symbol=symbol).facts[0].value == symbol
