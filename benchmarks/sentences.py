"""Right and wrong sentences about a table of facts, whose truth is known without the check.

Each kind draws facts and words, and decides by the numbers themselves whether the sentence is true.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from supernova_ai.advisor.facts import comparable, rounded_value
from supernova_ai.advisor.slots import FactTable

PRICES = ("close", "sma_20", "sma_50", "sma_200", "ema_12", "ema_26", "bollinger_upper", "bollinger_lower")
CHANGES = ("change_1", "change_10", "change_20", "change_63")
NAMED = {
    "close": "price",
    "bollinger_upper": "upper band",
    "bollinger_lower": "lower band",
    "macd_signal": "signal line",
}
RATIOS = (
    ("about twice", Decimal("1.7"), Decimal("2.3")),
    ("nearly twice", Decimal("1.7"), Decimal(2)),
    ("almost double", Decimal("1.7"), Decimal(2)),
    ("more than twice", Decimal(2), Decimal("Infinity")),
    ("nearly half of", Decimal("0.425"), Decimal("0.5")),
    ("less than half of", Decimal("0.0001"), Decimal("0.5")),
)
"""Words for a ratio, with the least and the greatest that they say."""
FOREIGN: Mapping[str, tuple[str, ...]] = {
    "an invented event": (
        "After strong earnings, {close.vs.sma_50}.",
        "The central bank cut rates, and {change_20.move}.",
        "Analysts raised their targets as {close.is}.",
        "A new product helped: {change_63.move}.",
    ),
    "a promise": (
        "The {close} is certain to rise.",
        "A gain is guaranteed, as {close.is}.",
        "The price will double from the {close}.",
        "There is no risk at {close}.",
    ),
    "an action": (
        "It is a good time to buy at {close}.",
        "Clients should sell, as {atr_14.is}.",
        "Wait until the {close} is lower.",
        "Existing holders can take profits at {close}.",
    ),
    "a forecast": (
        "The price may move to {high_20}.",
        "Expect the {close} to come to the {bollinger_upper}.",
        "The {close} could climb to {high_20} soon.",
    ),
    "a figure of its own": (
        "The {close} is above 100.",
        "The {rsi_14} is above seventy.",
        "The {close} is about $5 above the {sma_50}.",
        "There is a 70 % chance that {close.is}.",
    ),
    "a wrong period": (
        "The {close} is above its yearly average.",
        "The price moved by {change_20} this week.",
        "The {close} was quiet today.",
    ),
    "another name": (
        "Like MSFT, the {close} is high.",
        "Apple closed at {close}.",
        "The {close} of Bitcoin is high.",
    ),
}
"""Sentences that must never be shown, whatever the facts."""


class Said(NamedTuple):
    """A sentence, its kind, and whether it is true."""

    kind: str
    text: str
    true: bool


def sentences(chance: random.Random, table: FactTable) -> Iterator[Said]:
    """Yield one sentence of each kind about the facts."""
    shown = {id_: rounded_value(table[id_]) for id_ in table if table.number(id_) is not None}
    prices = [id_ for id_ in PRICES if id_ in table]
    first, second, third = chance.sample(prices, 3)
    word, up = chance.choice(
        [("above", True), ("below", False), ("higher than", True), ("under", False), ("lower than", False)]
    )
    yield Said(
        "a comparison",
        f"The {{{first}}} is {word} the {{{second}}}.",
        (shown[first] > shown[second]) is up and shown[first] != shown[second],
    )
    other = chance.choice(["above", "below"])
    yield Said(
        "two comparisons",
        f"The {{{first}}} is {word} the {{{second}}} and {other} the {{{third}}}.",
        (shown[first] > shown[second] if up else shown[first] < shown[second])
        and (shown[first] > shown[third] if other == "above" else shown[first] < shown[third]),
    )
    close = shown["close"]
    yield Said(
        "the price as subject",
        f"The price is {word} the {{{second}}}.",
        second != "close" and (close > shown[second]) is up and close != shown[second],
    )
    own, two = chance.choice([id_ for id_ in NAMED if id_ in table]), chance.choice([*prices, "macd"])
    yield Said(
        "a word for a fact",
        f"The {NAMED[own]} is {word} the {{{two}}}.",
        comparable(table[own], table[two]) and (shown[own] > shown[two]) is up and shown[own] != shown[two],
    )
    yield Said("a word with a figure", f"The {NAMED[own]} is at {{{two}}}.", own == two)
    change = chance.choice([id_ for id_ in CHANGES if id_ in table])
    verb, rises = chance.choice(
        [("rose by", True), ("fell by", False), ("gained", True), ("lost", False), ("climbed", True)]
    )
    yield Said(
        "a direction", f"The price {verb} {{{change}}}.", shown[change] != 0 and (shown[change] > 0) is rises
    )
    level = chance.choice(["overbought", "oversold", "neutral"])
    rsi, low, high = (shown[id_] for id_ in ("rsi_14", "rsi_oversold", "rsi_overbought"))
    holds = {"overbought": rsi >= high, "oversold": rsi <= low, "neutral": low < rsi < high}
    yield Said("a level", f"The {{rsi_14}} is {level}.", holds[level])
    size, large = chance.choice([("high", True), ("low", False)])
    volatility, bound = shown["volatility_20"], shown["volatility_high"]
    yield Said(
        "a judgement",
        f"The {{volatility_20}} is {size}.",
        volatility >= bound if large else volatility <= bound / 2,
    )
    numbers = list(shown)
    one, two = chance.sample(numbers, 2)
    yield Said(
        "facts that do not compare",
        f"The {{{one}}} is {word} the {{{two}}}.",
        comparable(table[one], table[two]) and (shown[one] > shown[two]) is up and shown[one] != shown[two],
    )
    one, two = chance.choice([("plus_di_14", "minus_di_14"), ("max_drawdown", "drawdown")])
    word, low, high = chance.choice(RATIOS)
    ratio = shown[one] / shown[two] if shown[two] else Decimal(0)
    yield Said("a ratio", f"The {{{one}}} is {word} the {{{two}}}.", low <= ratio <= high and ratio != 2)
    yield Said("a negation", f"The {{{first}}} is not {word} the {{{second}}}.", False)
    for kind, texts in FOREIGN.items():
        yield Said(kind, chance.choice(texts), False)
    yield Said("a statement", f"{{{first}.vs.{second}}}.", True)
    yield Said("a move", f"{{{change}.move}}, and {{rsi_14.is}}.", True)
    yield Said("its own words", "{atr_14.is}, so the price can move noticeably in both directions.", True)
