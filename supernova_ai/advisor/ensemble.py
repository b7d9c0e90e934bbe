"""From signals to an action: the regime sets the weights, the client's risk score sets the thresholds.

The same bars, risk score and hint always give the same assessment; it does not depend on time or chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from re import fullmatch
from typing import Literal, NamedTuple, get_args

from supernova_ai.advisor.asset_facts import asset_facts
from supernova_ai.advisor.bars import History
from supernova_ai.advisor.checks import one_of, wrong
from supernova_ai.advisor.currency import currency_of
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.advisor.indicators import Indicators, compute
from supernova_ai.advisor.language import Language
from supernova_ai.advisor.language import language as texts_of
from supernova_ai.advisor.signals import LOOK_BACKS, STRATEGIES, Direction, Horizon, Signal
from supernova_ai.advisor.slots import FactTable
from supernova_ai.characters import quoted
from supernova_ai.config.advice import AdviceRules, AssetClass, LanguageCode, Regime, Strategy
from supernova_ai.errors import InvalidRequest

Action = Literal["sell", "reduce", "avoid", "hold", "buy"]
"""What to do, in an order: a bolder client or better news moves it towards buy only."""

Holding = Literal["unknown", "held", "none"]
"""Whether the client holds the asset."""

SIDES: dict[Action, Direction] = {"sell": -1, "reduce": -1, "avoid": 0, "hold": 0, "buy": 1}
"""The direction of each action."""

SYMBOL = r"[A-Za-z0-9^][A-Za-z0-9.^=/:_&!-]{0,31}"
"""The pattern of a ticker."""

_DIGITS = 4  # of score and confidence: floating-point errors are far smaller


@dataclass(frozen=True, slots=True)
class Assessment:
    """The deterministic part of advice.

    ``score`` is −1 (all down) to 1 (all up), ``confidence`` 0 to 1 (docs/signals.md says what it means).
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
    language: LanguageCode = "en"
    holding: Holding = "unknown"


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
    language: LanguageCode | None = None,
    horizon: Horizon = "medium",
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
        language: of the texts; None: that of the rules.
        horizon: how long the client means to hold the asset: what the signals of a trend look back on.

    Raises:
        InvalidRequest: an argument is out of its range, or the bars are too few.
    """
    rules = rules or AdviceRules()
    check_request(history, symbol, asset_class, risk_score, sentiment_hint, rules, horizon)
    currency = currency_of(symbol, currency, asset_class)
    risk_score, sentiment_hint = float(risk_score), float(sentiment_hint)  # they may be numpy's
    indicators = compute(history.bars)
    decision = decide(
        indicators,
        asset_class=asset_class,
        risk_score=risk_score,
        sentiment_hint=sentiment_hint,
        rules=rules,
        horizon=horizon,
    )
    language = language or rules.language
    texts = texts_of(language)
    facts = (
        *asset_facts(symbol, asset_class, history, indicators, rules, currency, texts),
        *_decision_facts(decision, sentiment_hint, risk_score, texts),
    )
    table = FactTable(facts, texts)
    return Assessment(
        symbol=symbol,
        asset_class=asset_class,
        currency=currency,
        risk_score=risk_score,
        action=decision.action,
        confidence=decision.confidence,
        score=decision.score,
        regime=decision.regime,
        signals=tuple(replace(signal, reason=table.fill(signal.slots)) for signal in decision.signals),
        indicators=indicators,
        facts=facts,
        language=language,
    )


def _decision_facts(
    decision: Decision, sentiment_hint: float, risk_score: float, texts: Language
) -> Iterator[Fact]:
    directions = [signal.direction for signal in decision.signals]
    thresholds = decision.thresholds
    rows: tuple[tuple[str, float | str, Unit, str | None], ...] = (
        ("regime", decision.regime, "number", None),
        ("signals_up", directions.count(1), "count", "signals"),
        ("signals_down", directions.count(-1), "count", "signals"),
        ("signal_score", decision.signal_score, "ratio", "score"),
        ("sentiment_hint", sentiment_hint, "ratio", None),
        ("score", decision.score, "ratio", "score"),
        ("risk_score", risk_score, "count", None),
        ("action", decision.action, "number", None),
        ("confidence", decision.confidence, "ratio", None),
        ("buy_level", thresholds.buy, "ratio", "score"),
        ("reduce_level", thresholds.reduce, "ratio", "score"),
        ("sell_level", thresholds.sell, "ratio", "score"),
        ("volatility_limit", thresholds.volatility * 100, "percent", "volatility"),
    )
    for id_, value, unit, scale in rows:
        yield texts.fact(id_, value, unit, scale=scale)


class Decision(NamedTuple):
    """The action and how it was found: ``signal_score`` is the score without the news."""

    action: Action
    confidence: float
    score: float
    signal_score: float
    regime: Regime
    signals: tuple[Signal, ...]
    thresholds: ActionThresholds


def decide(
    indicators: Indicators,
    *,
    asset_class: AssetClass,
    risk_score: float,
    sentiment_hint: float,
    rules: AdviceRules,
    horizon: Horizon = "medium",
) -> Decision:
    """Decide from the indicators after a bar; the arguments are those of ``assess``, already checked.

    The signals have no reasons yet: these need the facts.
    """
    volatility = indicators.volatility_20 or 0.0
    regime = _regime(indicators, asset_class, rules)
    weights = rules.weights[regime]
    look_back = LOOK_BACKS[horizon]
    evaluated = (evaluate(indicators, rules, asset_class, look_back) for evaluate in STRATEGIES.values())
    signals = [signal for signal in evaluated if signal]
    # A stable sort: equal signals stay in the order of STRATEGIES.
    signals.sort(key=lambda signal: -weights[signal.name] * signal.strength)
    thresholds = _thresholds(asset_class, risk_score, rules)
    total = sum(weights[signal.name] for signal in signals)
    signal_score = sum(weights[signal.name] * signal.value for signal in signals) / total if total else 0.0
    score = max(-1.0, min(1.0, signal_score + rules.sentiment * sentiment_hint))
    action = _action(score, volatility, thresholds)
    if action == "avoid":
        confidence = min(1.0, volatility / thresholds.volatility / 2)
    else:
        agreement = _agreement(signals, SIDES[action], weights)
        confidence = _clarity(action, score, thresholds, agreement) * total / sum(weights.values())
    return Decision(
        action,
        round(confidence, _DIGITS),
        round(score, _DIGITS),
        round(signal_score, _DIGITS),
        regime,
        tuple(signals),
        thresholds,
    )


def check_request(
    history: History,
    symbol: str,
    asset_class: str,
    risk_score: float,
    hint: float,
    rules: AdviceRules,
    horizon: str,
) -> None:
    """Refuse too few bars, and arguments of ``assess`` that are out of their range.

    Raises:
        InvalidRequest: the message names what is wrong, and what would be right.
    """
    if len(history.bars) < rules.min_bars:
        raise InvalidRequest(
            f"{len(history.bars)} finished bars are too few for advice on {quoted(symbol)}: give at least "
            f"{rules.min_bars} (advice.min_bars), and 201 for every indicator"
        )
    if not isinstance(symbol, str) or not fullmatch(SYMBOL, symbol):
        raise wrong("symbol is", symbol, "a ticker such as AAPL, BRK.B or BTC/USDT")
    one_of("asset_class is", asset_class, get_args(AssetClass))
    for name, value, low, high in (("risk_score", risk_score, 0, 100), ("sentiment_hint", hint, -1, 1)):
        if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:
            raise wrong(f"{name} is", value, f"a number from {low} to {high}")
    one_of("horizon is", horizon, get_args(Horizon))


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
