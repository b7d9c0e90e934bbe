"""The deterministic rationale and the risk notes: every figure in them is a fact of the assessment."""

from __future__ import annotations

from collections.abc import Iterator

from supernova_ai.advisor.ensemble import SIDES, Action, Assessment
from supernova_ai.advisor.facts import format_fact
from supernova_ai.advisor.signals import STRATEGIES
from supernova_ai.config.advice import AssetClass

_MAX_REASONS = 2  # for each side
_DEEP_DRAWDOWN = 0.1

_CLASS_NOTES: dict[AssetClass, str] = {
    "stock": "A single stock can lose its value overnight, on news that no chart shows beforehand.",
    "crypto": "Crypto trades around the clock and can fall far at any hour.",
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
    "avoid": ("stay out", "stay out until the price is calmer", "stay out, or risk only what may be lost"),
    "reduce": ("reduce the position strongly", "reduce the position", "reduce the position a little"),
    "sell": ("close the whole position", "close most of the position", "close the position, or hedge it"),
}


def explain(assessment: Assessment) -> str:
    """Return three to six sentences: the action, the signals for and against it, and the risk."""
    return " ".join(_sentences(assessment))


def risk_notes(assessment: Assessment) -> tuple[str, ...]:
    """Return notes on the risk and the bars; the first is about the client's position."""
    return tuple(_notes(assessment))


def _sentences(assessment: Assessment) -> Iterator[str]:
    values = _fact_texts(assessment)
    yield (
        f"{assessment.action.capitalize()} {assessment.symbol}, with a confidence of {values['confidence']}: "
        f"in a {assessment.regime} market the score is {values['score']}."
    )
    side = SIDES[assessment.action]
    if assessment.action == "avoid":
        yield f"Its volatility of {values['volatility_20']} a year is more than this client should accept."
    if side:
        yield _because(assessment, side, "For it", "No signal speaks for it; the news does.")
        yield _because(assessment, -side, "Against it", "No signal speaks against it.")
    else:
        yield _because(assessment, 1, "Good signs", "There are no good signs.")
        yield _because(assessment, -1, "Bad signs", "There are no bad signs.")
    yield from risk_notes(assessment)[:2]


def _because(assessment: Assessment, side: int, lead: str, otherwise: str) -> str:
    reasons = [signal.reason for signal in assessment.signals if signal.direction == side]
    return f"{lead}: {', and '.join(reasons[:_MAX_REASONS])}." if reasons else otherwise


def _notes(assessment: Assessment) -> Iterator[str]:
    values = _fact_texts(assessment)
    band = 0 if assessment.risk_score < 100 / 3 else 1 if assessment.risk_score < 200 / 3 else 2
    client = ("a cautious", "a balanced", "a bold")[band]
    position = _POSITIONS[assessment.action][band]
    yield f"For {client} client (risk score {values['risk_score']}): {position}."
    yield f"An ordinary bar moves by {values['atr_14']}, which is {values['atr_percent']} of the close."
    if assessment.regime == "volatile":
        yield f"A volatility of {values['volatility_20']} a year is high for its asset class."
    if assessment.indicators.drawdown > _DEEP_DRAWDOWN:
        yield f"The drawdown from the highest close is {values['drawdown']}."
    if values["sentiment_hint"] != "0.00":
        yield f"Without the news hint of {values['sentiment_hint']} the score is {values['signal_score']}."
    given = {signal.name for signal in assessment.signals}
    if missing := [name for name in STRATEGIES if name not in given]:
        yield f"No signal, because bars or volume are missing: {', '.join(missing)}."
    if "gaps" in values:
        longest = f"the longest from {values['gap_from']} to {values['gap_to']}"
        yield f"Gaps in the bars: {values['gaps']}, {longest}."
    if "unfinished_date" in values:
        yield f"The bar of {values['unfinished_date']} was not over and is left out."
    yield _CLASS_NOTES[assessment.asset_class]


def _fact_texts(assessment: Assessment) -> dict[str, str]:
    return {fact.id: format_fact(fact) for fact in assessment.facts}
