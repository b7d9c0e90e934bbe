"""From signals to an action: the regime sets the weights, the client's risk score sets the thresholds.

The same bars, risk score and hint always give the same assessment; it does not depend on time or chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from re import fullmatch
from typing import Literal, NamedTuple, get_args

from supernova_ai.advisor.asset_facts import asset_facts
from supernova_ai.advisor.bars import History
from supernova_ai.advisor.currency import currency_of
from supernova_ai.advisor.facts import Fact, format_fact
from supernova_ai.advisor.indicators import Indicators, compute
from supernova_ai.advisor.signals import STRATEGIES, Direction, Signal
from supernova_ai.config.advice import AdviceRules, AssetClass, Regime, Strategy
from supernova_ai.errors import InvalidRequest

Action = Literal["sell", "reduce", "avoid", "hold", "buy"]
"""What to do, in an order: a bolder client or better news moves it towards buy only."""

SIDES: dict[Action, Direction] = {"sell": -1, "reduce": -1, "avoid": 0, "hold": 0, "buy": 1}
"""The direction of each action."""

_SYMBOL = r"[A-Za-z0-9^][A-Za-z0-9.^=/:_&!-]{0,31}"
_DIGITS = 4  # of score and confidence: floating-point errors are far smaller


@dataclass(frozen=True, slots=True)
class Assessment:
    """The deterministic part of advice.

    ``score`` is −1 (all down) to 1 (all up), ``confidence`` 0 to 1 (docs/advice.md says what it means).
    ``signals`` are in order of their weight in the score; strategies without a signal are left out. ``facts``
    are all values that a rationale may state.
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
    """One client's thresholds: three scores, and the annualised volatility from which to avoid the asset."""

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
        history: the bars, as ``read_bars`` returns them.
        symbol: the ticker, such as AAPL or BTC/USDT.
        asset_class: selects the thresholds.
        risk_score: 0 for the most cautious client to 100 for the boldest.
        sentiment_hint: how good the news is, −1 to 1; moves the score up or down.
        currency: of the prices, such as EUR; None: the second of a pair such as USD/JPY, else USD.
        rules: the ``advice`` section of the configuration; None: the defaults.

    Raises:
        InvalidRequest: an argument is out of its range, or the bars are too few.
    """
    rules = rules or AdviceRules()
    _check(history, symbol, asset_class, risk_score, sentiment_hint, rules)
    currency = currency_of(symbol, currency, asset_class)
    risk_score, sentiment_hint = float(risk_score), float(sentiment_hint)  # they may be numpy's
    indicators = compute(history.bars)
    volatility = indicators.volatility_20 or 0.0
    regime = _regime(indicators, asset_class, rules)
    weights = rules.weights[regime]
    evaluated = (evaluate(indicators, rules, asset_class) for evaluate in STRATEGIES.values())
    signals = [signal for signal in evaluated if signal]
    # A stable sort: equal signals stay in the order of STRATEGIES.
    signals.sort(key=lambda signal: -weights[signal.name] * signal.strength)
    thresholds = _thresholds(asset_class, risk_score, rules)
    decision = _decide(signals, weights, rules.sentiment * sentiment_hint, volatility, thresholds)
    action, confidence, score, signal_score = decision
    facts = (
        *asset_facts(symbol, asset_class, history, indicators, currency),
        Fact("regime", "Market regime", regime, "text", "ADX (14) and the volatility"),
        Fact("signal_score", "Score of the signals", signal_score, "ratio", "the signals"),
        Fact("sentiment_hint", "News hint", sentiment_hint, "ratio", "the request"),
        Fact("score", "Score", score, "ratio", "the signals and the news hint"),
        Fact("risk_score", "Risk score", risk_score, "count", "the request"),
        Fact("action", "Action", action, "text", "the score, the risk score and the volatility"),
        Fact("confidence", "Confidence", confidence, "ratio", "the score and its agreement"),
    )
    texts = {fact.id: _reason_text(fact) for fact in facts}
    return Assessment(
        symbol=symbol,
        asset_class=asset_class,
        currency=currency,
        risk_score=risk_score,
        action=action,
        confidence=confidence,
        score=score,
        regime=regime,
        signals=tuple(replace(signal, reason=signal.reason.format(**texts)) for signal in signals),
        indicators=indicators,
        facts=facts,
    )


class _Decision(NamedTuple):
    """The action with its confidence and score, and the score without the news."""

    action: Action
    confidence: float
    score: float
    signal_score: float


def _decide(
    signals: Sequence[Signal],
    weights: Mapping[Strategy, float],
    news: float,
    volatility: float,
    thresholds: ActionThresholds,
) -> _Decision:
    total = sum(weights[signal.name] for signal in signals)
    signal_score = sum(weights[signal.name] * signal.value for signal in signals) / total if total else 0.0
    score = max(-1.0, min(1.0, signal_score + news))
    action = _action(score, volatility, thresholds)
    if action == "avoid":
        confidence = min(1.0, volatility / thresholds.volatility / 2)
    else:
        agreement = _agreement(signals, SIDES[action], weights)
        confidence = _clarity(action, score, thresholds, agreement) * total / sum(weights.values())
    return _Decision(action, round(confidence, _DIGITS), round(score, _DIGITS), round(signal_score, _DIGITS))


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


def _regime(indicators: Indicators, asset_class: AssetClass, rules: AdviceRules) -> Regime:
    if (indicators.volatility_20 or 0.0) >= rules.volatile[asset_class]:
        return "volatile"
    return "trending" if (indicators.adx_14 or 0.0) >= rules.trending else "ranging"


def _thresholds(asset_class: AssetClass, risk_score: float, rules: AdviceRules) -> ActionThresholds:
    def interpolate(pair: tuple[float, float]) -> float:
        cautious, bold = pair
        return cautious + (bold - cautious) * risk_score / 100

    volatility = rules.volatile[asset_class] * interpolate(rules.avoid)
    return ActionThresholds(
        interpolate(rules.buy), interpolate(rules.reduce), interpolate(rules.sell), volatility
    )


def _action(score: float, volatility: float, thresholds: ActionThresholds) -> Action:
    """Return the action; sell and reduce are checked first, so that a falling asset is never just avoided."""
    if score <= thresholds.sell:
        return "sell"
    if score <= thresholds.reduce:
        return "reduce"
    if volatility >= thresholds.volatility:
        return "avoid"
    return "buy" if score >= thresholds.buy else "hold"


def _agreement(signals: Sequence[Signal], side: Direction, weights: Mapping[Strategy, float]) -> float:
    """Return the share of the signals, by weight and strength, that point to this side, 0 to 1."""
    pulls = [(signal.direction, weights[signal.name] * signal.strength) for signal in signals]
    total = sum(pull for _, pull in pulls)
    return sum(pull for direction, pull in pulls if direction == side) / total if total else 0.0


def _clarity(action: Action, score: float, thresholds: ActionThresholds, agreement: float) -> float:
    """Return how clearly the score is for this action, 0 to 1."""
    if action == "hold":
        middle, half = (thresholds.buy + thresholds.reduce) / 2, (thresholds.buy - thresholds.reduce) / 2
        return max(0.0, 1 - abs(score - middle) / half)
    return (max(0.0, SIDES[action] * score) + agreement) / 2


def _reason_text(fact: Fact) -> str:
    """Return the value for a reason: a percentage has no sign, because the verb (rose, fell) says it."""
    return format_fact(fact).removeprefix("-") if fact.unit == "percent" else format_fact(fact)
