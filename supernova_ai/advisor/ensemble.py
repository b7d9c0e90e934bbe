"""From signals to an action: the regime weighs the strategies, the client's risk score sets the thresholds.

The same bars, risk score and hint always give the same assessment: no clock, no chance, no order of a set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from re import fullmatch
from typing import Literal, NamedTuple, get_args

from supernova_ai.advisor.bars import History
from supernova_ai.advisor.currency import currency_of
from supernova_ai.advisor.facts import Fact, show
from supernova_ai.advisor.figures import figures
from supernova_ai.advisor.indicators import Indicators, compute
from supernova_ai.advisor.signals import STRATEGIES, Direction, Signal
from supernova_ai.config.advice import AdviceRules, AssetClass, Regime
from supernova_ai.errors import InvalidRequest

Action = Literal["sell", "reduce", "avoid", "hold", "buy"]
"""What to do, from the most to the least careful; a bolder client or better news never moves it back."""

SIDES: dict[Action, Direction] = {"sell": -1, "reduce": -1, "avoid": 0, "hold": 0, "buy": 1}
"""Which way each action points."""

_SYMBOL = r"[A-Za-z0-9^][A-Za-z0-9.^=/:_&!-]{0,31}"
_DIGITS = 4  # of score and confidence: rounding of floats shows far behind them


@dataclass(frozen=True, slots=True)
class Assessment:
    """The deterministic half of advice.

    ``score`` is −1 (all down) to 1 (all up), ``confidence`` 0 to 1 (docs/advice.md says what it means).
    ``signals`` are in order of their weight in the score; a strategy that is not among them was silent.
    ``facts`` are every figure that may be stated.
    """

    symbol: str
    asset_class: AssetClass
    currency: str
    risk_score: float
    action: Action
    confidence: float
    score: float
    regime: Regime
    signals: tuple[Signal, ...]
    indicators: Indicators
    facts: tuple[Fact, ...]


class ActionThresholds(NamedTuple):
    """Where the actions begin for one client: scores, and the annualised volatility from which to avoid."""

    buy: float
    reduce: float
    sell: float
    volatility: float


def assess(
    history: History,
    *,
    symbol: str,
    asset_class: AssetClass = "stock",
    risk_score: float = 50,
    sentiment_hint: float = 0.0,
    currency: str | None = None,
    rules: AdviceRules | None = None,
) -> Assessment:
    """Decide what to do, from the bars alone.

    Args:
        history: the bars, as ``read_bars`` returns them; nothing after the last of them is known.
        symbol: the ticker, such as AAPL or BTC/USDT.
        asset_class: whose thresholds apply.
        risk_score: 0 for the most cautious client to 100 for the boldest.
        sentiment_hint: how good the news is, −1 to 1; moves the score up or down by it.
        currency: what the prices are in, as EUR; None is the second of a pair such as USD/JPY, else USD.
        rules: the ``advice`` section of the configuration; None is the defaults.

    Raises:
        InvalidRequest: an argument is out of its range, or the bars are too few.
    """
    rules = rules or AdviceRules()
    _check(history, symbol, asset_class, risk_score, sentiment_hint, rules)
    currency = currency_of(symbol, currency, asset_class)
    risk_score, sentiment_hint = float(risk_score), float(sentiment_hint)  # numpy has numbers of its own
    seen = compute(history.bars)
    regime = _regime(seen, asset_class, rules)
    weights = rules.weights[regime]
    spoken = [evaluate(seen, rules, asset_class) for evaluate in STRATEGIES.values()]
    signals = [signal for signal in spoken if signal]
    # A stable sort: equals stay in the order of STRATEGIES.
    signals.sort(key=lambda signal: -weights[signal.name] * signal.strength)
    heard = sum(weights[signal.name] for signal in signals)
    of_signals = sum(weights[signal.name] * signal.value for signal in signals) / heard if heard else 0.0
    score = max(-1.0, min(1.0, of_signals + rules.sentiment * sentiment_hint))
    limits = _limits(asset_class, risk_score, rules)
    volatility = seen.volatility_20 or 0.0
    action = _action(score, volatility, limits)
    agreement = _agreement(signals, SIDES[action], [weights[signal.name] for signal in signals])
    confidence = min(1.0, volatility / limits.volatility / 2)
    if action != "avoid":
        confidence = _clearness(action, score, limits, agreement) * heard / sum(weights.values())
    facts = (
        *figures(symbol, asset_class, history, seen, currency),
        *_verdict(action, confidence, score, of_signals, regime, risk_score, sentiment_hint),
    )
    said = {fact.id: _said(fact) for fact in facts}
    return Assessment(
        symbol=symbol,
        asset_class=asset_class,
        currency=currency,
        risk_score=risk_score,
        action=action,
        confidence=round(confidence, _DIGITS),
        score=round(score, _DIGITS),
        regime=regime,
        signals=tuple(replace(signal, reason=signal.reason.format(**said)) for signal in signals),
        indicators=seen,
        facts=facts,
    )


def _check(
    history: History, symbol: str, asset_class: str, risk_score: float, hint: float, rules: AdviceRules
) -> None:
    if len(history.bars) < rules.min_bars:
        raise InvalidRequest(
            f"{len(history.bars)} finished bars are too few for advice on {symbol!r}: give at least "
            f"{rules.min_bars} (advice.min_bars), and 200 for every indicator"
        )
    if not isinstance(symbol, str) or not fullmatch(_SYMBOL, symbol):
        raise InvalidRequest(f"symbol is {symbol!r}: it must be a ticker such as AAPL, BRK.B or BTC/USDT")
    if asset_class not in get_args(AssetClass):
        known = ", ".join(get_args(AssetClass))
        raise InvalidRequest(f"asset_class is {asset_class!r}: it must be one of {known}")
    for name, value, low, high in (("risk_score", risk_score, 0, 100), ("sentiment_hint", hint, -1, 1)):
        if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidRequest(f"{name} is {value!r}: it must be a number from {low} to {high}")


def _regime(seen: Indicators, asset_class: AssetClass, rules: AdviceRules) -> Regime:
    if (seen.volatility_20 or 0.0) >= rules.volatile[asset_class]:
        return "volatile"
    return "trending" if (seen.adx_14 or 0.0) >= rules.trending else "ranging"


def _limits(asset_class: AssetClass, risk_score: float, rules: AdviceRules) -> ActionThresholds:
    def at(pair: tuple[float, float]) -> float:
        cautious, bold = pair
        return cautious + (bold - cautious) * risk_score / 100

    bearable = rules.volatile[asset_class] * at(rules.avoid)
    return ActionThresholds(at(rules.buy), at(rules.reduce), at(rules.sell), bearable)


def _action(score: float, volatility: float, limits: ActionThresholds) -> Action:
    """Return the action; who should be out of it must be out before anything else is asked."""
    if score <= limits.sell:
        return "sell"
    if score <= limits.reduce:
        return "reduce"
    if volatility >= limits.volatility:
        return "avoid"
    return "buy" if score >= limits.buy else "hold"


def _agreement(signals: Sequence[Signal], side: Direction, weights: Sequence[float]) -> float:
    """Return the share of what was said that points to this side, 0 to 1."""
    said = [(signal.direction, w * signal.strength) for signal, w in zip(signals, weights, strict=True)]
    total = sum(force for _, force in said)
    return sum(force for direction, force in said if direction == side) / total if total else 0.0


def _clearness(action: Action, score: float, limits: ActionThresholds, agreement: float) -> float:
    """Return how clear the score is about this action, 0 to 1."""
    if action == "hold":
        middle, half = (limits.buy + limits.reduce) / 2, (limits.buy - limits.reduce) / 2
        return max(0.0, 1 - abs(score - middle) / half)
    return (max(0.0, SIDES[action] * score) + agreement) / 2


def _said(fact: Fact) -> str:
    """Return the value as a reason says it: a percentage without its sign, which is in the verb."""
    return show(fact).removeprefix("-") if fact.unit == "percent" else show(fact)


def _verdict(
    action: Action,
    confidence: float,
    score: float,
    of_signals: float,
    regime: Regime,
    risk_score: float,
    hint: float,
) -> Iterator[Fact]:
    yield Fact("regime", "Market regime", regime, "text", "ADX (14) and the volatility")
    yield Fact("signal_score", "Score of the signals", round(of_signals, _DIGITS), "ratio", "the signals")
    yield Fact("sentiment_hint", "News hint", float(hint), "ratio", "the request")
    yield Fact("score", "Score", round(score, _DIGITS), "ratio", "the signals and the news hint")
    yield Fact("risk_score", "Risk score", float(risk_score), "count", "the request")
    yield Fact("action", "Action", action, "text", "the score, the risk score and the volatility")
    yield Fact("confidence", "Confidence", round(confidence, _DIGITS), "ratio", "the score and its agreement")
