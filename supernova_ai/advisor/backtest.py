"""``backtest``: what the rules would have done on past bars, and whether their timing was worth anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from itertools import pairwise
from numbers import Real
from statistics import fmean, quantiles
from typing import Any

from supernova_ai.advisor.backtest_result import (
    Backtest,
    BacktestBar,
    BacktestTrade,
    ConfidenceBucket,
    ShiftedExposure,
)
from supernova_ai.advisor.bars import Bar, History, read_bars
from supernova_ai.advisor.checks import wrong
from supernova_ai.advisor.ensemble import SIDES, Action, Decision, check_request, decide
from supernova_ai.advisor.indicators import IndicatorSeries, bars_per_year
from supernova_ai.advisor.signals import Horizon
from supernova_ai.advisor.simulation import Performance, Simulation, simulate
from supernova_ai.config.advice import AdviceRules, AssetClass
from supernova_ai.errors import InvalidRequest

_EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 1.0)
"""The edges of the buckets of confidence; the last includes 1."""

_LIMITS = {"costs": (0, 1_000), "draws": (20, 10_000), "ahead": (1, 1_000)}


def backtest(
    bars: History | Iterable[Any],
    *,
    symbol: str,
    asset_class: AssetClass = "stock",
    risk_score: float = 50,
    horizon: Horizon = "medium",
    costs: float = 10.0,
    rules: AdviceRules | None = None,
    seed: int = 0,
    draws: int = 500,
    ahead: int = 20,
) -> Backtest:
    """Follow the advice of every past bar, and compare it with holding and with the same exposure at random.

    Each bar is decided from the bars up to it, and its action is carried out at the open of the next. Buy
    puts all of the capital into the asset, hold keeps what there is, reduce sells half of a full position,
    sell and avoid sell everything. There are no short positions and no loans. No model is asked.

    Args:
        bars: as for ``advise``; at least ``rules.min_bars`` and 2 more.
        symbol: the ticker, such as AAPL or BTC/USDT.
        asset_class: selects the thresholds.
        risk_score: 0 for the most cautious client to 100 for the boldest.
        horizon: short, medium or long: what the signals of a trend look back on.
        costs: of a trade, in basis points of its amount: 10 is 0.1 %.
        rules: the ``advice`` section of a configuration; None: the defaults.
        seed: of the random shifts.
        draws: how many random shifts.
        ahead: how many bars after a decision its direction is compared with the price.

    Raises:
        InvalidRequest: an argument or a bar is wrong, or the bars are too few.
    """
    rules = AdviceRules() if rules is None else rules
    if not isinstance(rules, AdviceRules):
        raise wrong("rules are", rules, "AdviceRules, the section advice of a configuration")
    history = bars if isinstance(bars, History) else read_bars(bars)
    check_request(history, symbol, asset_class, risk_score, 0.0, rules, horizon)
    _check(history.bars, rules.min_bars, {"costs": costs, "draws": draws, "ahead": ahead})
    first = rules.min_bars - 1
    series = IndicatorSeries(history.bars)
    decisions = [
        decide(
            series.after(number),
            asset_class=asset_class,
            risk_score=float(risk_score),
            sentiment_hint=0.0,
            rules=rules,
            horizon=horizon,
        )
        for number in range(first, len(history.bars))
    ]
    traded = history.bars[first + 1 :]
    plan = _plan(decision.action for decision in decisions[:-1])
    cost = float(costs) / 10_000
    per_year = bars_per_year(history.bars[first].time, traded[-1].time, len(traded))
    strategy = simulate(traded, plan, cost)
    holding = simulate(traded, [1.0] * len(traded), cost)
    measured = strategy.performance(per_year)
    return Backtest(
        symbol=symbol,
        asset_class=asset_class,
        risk_score=float(risk_score),
        horizon=horizon,
        costs=float(costs),
        seed=seed,
        ahead=ahead,
        strategy=measured,
        buy_and_hold=holding.performance(per_year),
        shifted=_shifted(
            measured, plan, lambda shifted: simulate(traded, shifted, cost), per_year, seed, draws
        ),
        hits=_hits(history.bars[first:], decisions, ahead),
        trades=tuple(
            BacktestTrade(traded[bar].time, decisions[bar].action, traded[bar].open, *rest)
            for bar, *rest in strategy.moves
        ),
        bars=tuple(
            BacktestBar(bar.time, bar.close, decision.action, decision.confidence, *rest)
            for bar, decision, *rest in zip(
                history.bars[first:],
                decisions,
                (0.0, *plan),
                (1.0, *strategy.capital),
                (1.0, *holding.capital),
                strict=True,
            )
        ),
    )


def _check(bars: Sequence[Bar], min_bars: int, numbers: dict[str, float]) -> None:
    for name, value in numbers.items():
        low, high = _LIMITS[name]
        whole = name == "costs" or isinstance(value, int)
        if not isinstance(value, Real) or isinstance(value, bool) or not whole or not low <= value <= high:
            kind = "number" if name == "costs" else "whole number"
            raise wrong(f"{name} is", value, f"a {kind} from {low:,} to {high:,}")
    if len(bars) < min_bars + 2:
        raise InvalidRequest(
            f"{len(bars)} finished bars are too few for a backtest: give at least {min_bars + 2}, for the "
            f"first decision needs {min_bars} (advice.min_bars)"
        )


def _plan(actions: Iterable[Action]) -> list[float]:
    """Return the exposure that each action leads to, from none at the beginning."""
    exposure, plan = 0.0, []
    for action in actions:
        if action == "buy":
            exposure = 1.0
        elif action == "reduce":
            exposure = min(exposure, 0.5)
        elif action in ("sell", "avoid"):
            exposure = 0.0
        plan.append(exposure)
    return plan


def _shifted(
    strategy: Performance,
    plan: Sequence[float],
    run: Callable[[Sequence[float]], Simulation],
    per_year: float,
    seed: int,
    draws: int,
) -> ShiftedExposure:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    shifts = (chance.randrange(1, len(plan)) for _ in range(draws))
    found = [run([*plan[shift:], *plan[:shift]]).performance(per_year) for shift in shifts]
    names = [field.name for field in fields(Performance)]
    columns = {name: [getattr(one, name) for one in found] for name in names}
    cuts = {name: quantiles(column, n=20, method="inclusive") for name, column in columns.items()}
    low, median, high = (Performance(**{name: cut[at] for name, cut in cuts.items()}) for at in (0, 9, 18))
    return ShiftedExposure(
        draws,
        low,
        median,
        high,
        return_percentile=_percentile(strategy.total_return, columns["total_return"]),
        sharpe_percentile=_percentile(strategy.sharpe, columns["sharpe"]),
    )


def _percentile(value: float, others: Sequence[float]) -> float:
    return fmean(1.0 if other < value else 0.5 if other == value else 0.0 for other in others)


def _hits(bars: Sequence[Bar], decisions: Sequence[Decision], ahead: int) -> tuple[ConfidenceBucket, ...]:
    """Compare each direction with the price from the next open to the close ``ahead`` bars later."""
    changes = [bars[at + ahead].close - bars[at + 1].open for at in range(len(bars) - ahead)]
    share = {side: fmean(change * side > 0 for change in changes) if changes else 0.0 for side in (1, -1)}
    given = [
        (decision.confidence, side, change * side > 0)
        for decision, change in zip(decisions, changes, strict=False)
        if (side := SIDES[decision.action])
    ]
    buckets = []
    for low, high in pairwise(_EDGES):
        inside = [
            (side, hit)
            for confidence, side, hit in given
            if low <= confidence < high or confidence == high == 1
        ]
        expected = fmean(share[side] for side, _ in inside) if inside else None
        buckets.append(ConfidenceBucket(low, high, len(inside), sum(hit for _, hit in inside), expected))
    return tuple(buckets)
