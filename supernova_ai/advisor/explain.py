"""An assessment in plain English, without a model: every figure in the text is one of its facts."""

from __future__ import annotations

from collections.abc import Iterator

from supernova_ai.advisor.ensemble import SIDES, Action, Assessment
from supernova_ai.advisor.facts import show
from supernova_ai.advisor.signals import STRATEGIES, Direction
from supernova_ai.config.advice import AssetClass

_MOST = 2  # signals on each side that are named
_DEEP = 0.1

_CLASS_NOTES: dict[AssetClass, str] = {
    "stock": "A single stock can lose its value overnight, on news that no chart shows beforehand.",
    "crypto": "Crypto trades around the clock and can fall far while nobody watches.",
    "fx": "Currencies are moved by central banks, which no chart announces, and are mostly traded on margin.",
    "futures": "Futures are leveraged: a loss can exceed what was paid in.",
    "option": "An option can expire worthless; these signals know its price alone, not its greeks or expiry.",
}

_POSITIONS: dict[Action, tuple[str, str, str]] = {
    "buy": ("a small position, built in steps", "an ordinary position, built in steps", "a full position"),
    "hold": (
        "keep what is held and add nothing",
        "keep what is held and wait",
        "keep what is held; add on a stronger signal",
    ),
    "avoid": ("stay out", "stay out until it calms", "stay out, or risk only what may be lost"),
    "reduce": ("cut the position well back", "take a part of the position off", "trim the position"),
    "sell": ("leave the whole position", "leave most of the position", "leave the position, or hedge it"),
}


def explain(assessment: Assessment) -> str:
    """Return the rationale, three to six sentences: action and why, what speaks against it, and the risk."""
    return " ".join(_sentences(assessment))


def risk_notes(assessment: Assessment) -> tuple[str, ...]:
    """Return what the client should know of the risk and of the bars; the first is about their position."""
    return tuple(_notes(assessment))


def _sentences(assessment: Assessment) -> Iterator[str]:
    said = _shown(assessment)
    yield (
        f"{assessment.action.capitalize()} {assessment.symbol}, with a confidence of {said['confidence']}: "
        f"in a {assessment.regime} market the score is {said['score']}."
    )
    side = SIDES[assessment.action]
    if assessment.action == "avoid":
        yield f"Its volatility of {said['volatility_20']} a year is more than this client should bear."
    if side:
        yield _because(assessment, side, "For it", "No signal speaks for it; the news does.")
        yield _because(assessment, _opposite(side), "Against it", "No signal speaks against it.")
    else:
        yield _because(assessment, 1, "Good signs", "There are no good signs.")
        yield _because(assessment, -1, "Bad signs", "There are no bad signs.")
    yield from risk_notes(assessment)[:2]


def _because(assessment: Assessment, side: Direction, lead: str, none: str) -> str:
    reasons = [signal.reason for signal in assessment.signals if signal.direction == side]
    return f"{lead}: {', and '.join(reasons[:_MOST])}." if reasons else none


def _opposite(side: Direction) -> Direction:
    return -1 if side == 1 else 1


def _notes(assessment: Assessment) -> Iterator[str]:
    said, seen = _shown(assessment), assessment.indicators
    band = 0 if assessment.risk_score < 100 / 3 else 1 if assessment.risk_score < 200 / 3 else 2
    client = ("a cautious", "a balanced", "a bold")[band]
    position = _POSITIONS[assessment.action][band]
    yield f"For {client} client (risk score {said['risk_score']}): {position}."
    yield f"An ordinary bar moves by {said['atr_14']}, which is {said['atr_percent']} of the close."
    if assessment.regime == "volatile":
        yield f"A volatility of {said['volatility_20']} a year is high for its asset class."
    if seen.drawdown > _DEEP:
        yield f"The drawdown from the highest close is {said['drawdown']}."
    if said["sentiment_hint"] != "0.00":
        yield f"Without the news hint of {said['sentiment_hint']} the score is {said['signal_score']}."
    heard = {signal.name for signal in assessment.signals}
    if silent := [name for name in STRATEGIES if name not in heard]:
        yield f"Not heard, for want of bars or volume: {', '.join(silent)}."
    if "gaps" in said:
        yield f"Gaps in the bars: {said['gaps']}, the longest from {said['gap_from']} to {said['gap_to']}."
    if "unfinished_date" in said:
        yield f"The bar of {said['unfinished_date']} was not over and is left out."
    yield _CLASS_NOTES[assessment.asset_class]


def _shown(assessment: Assessment) -> dict[str, str]:
    return {fact.id: show(fact) for fact in assessment.facts}
