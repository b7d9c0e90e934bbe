"""Wrong sentences in which one claim is shared by several facts, and does not hold for all of them.

A reader takes a claim from one clause into another: in "the RSI is high, and the ADX is too", the ADX is
high. Such a sentence is false if one of the two claims is. The numbers themselves decide; a claim that means
nothing for a fact, such as a high average, is false.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from benchmarks.sentences import CHANGES, Said
from supernova_ai.advisor.facts import rounded_value
from supernova_ai.advisor.slots import FactTable

SHARED: Mapping[str, tuple[str, ...]] = {
    "en": (
        "{A} is {claim}, and {C} is too.",
        "{A} is {claim}, and {C} is.",
        "{A} is {claim}, and {C} too.",
        "{A} is {claim}, {C} as well.",
        "{A} is {claim}; {C} too.",
        "{A} is {claim}; likewise {C}.",
        "{A} is {claim}; also {C}.",
        "{A} is {claim}; so is {C}.",
        "{A} is {claim}, and so is {C}.",
        "{A} is {claim}, as is {C}.",
        "{A} is {claim}, as {C} is.",
        "{A} is {claim}, as does {C}.",
        "{A} is {claim} – {C} as well.",
        "{A} is {claim}: {C} too.",
        "{A} is {claim}, with {C} too.",
        "{A} is {claim}, with {C} following.",
        "{A} is {claim}, with {C} similar.",
        "{A} is {claim}, together with {C}.",
        "{A} is {claim}, in line with {C}.",
        "{A} is {claim}, and {C} follows.",
        "{A} is {claim}, and {C} joins.",
        "{A} is {claim}, and {C} lies there.",
        "{A} is {claim}, and {C} shows it as well.",
        "{A} is {claim}, and {C} shows that.",
        "{A} is {claim}, and {C} does so too.",
        "{A} is {claim}, while {C} also is.",
        "{A} is {claim}, because {C} is as well.",
        "{A} is {claim}, although {C} is too.",
        "{A} is {claim}, which {C} is as well.",
        "{A} is {claim}; this is the case for {C}.",
        "{A} is {claim}; this applies for {C} too.",
        "{A} is {claim}; the same goes for {C}.",
        "{A} is {claim}; {C} is similar.",
        "{A} is {claim}; {C} shows the same picture.",
        "{A} is {claim}; it is {C} too.",
        "{A} is {claim}; both {A} and {C} are.",
        "{A} is {claim}; also {C}, a good sign.",
        "{A} is {claim}; furthermore {C}, which is positive.",
        "{A} is {claim}, in particular {C}.",
        "{C} is what {A} is: {claim}.",
        "{C} is similar: {A} is {claim}.",
        "As {C} is, {A} is {claim}.",
        "As with {C}, {A} is {claim}.",
        "Both {A} and {C} are {claim}.",
        "{A}, like {C}, is {claim}.",
        "{A} as well as {C} are {claim}.",
        "Either {A} or {C} is {claim}.",
        "Neither {A} nor {C} is anything but {claim}.",
    ),
    "de": (
        "{A} ist {claim}; {C} ebenfalls.",
        "{A} ist {claim}, {C} auch.",
        "{A} ist {claim}; auch {C}.",
        "{A} ist {claim}, ebenso {C}.",
        "{A} ist {claim}, und {C} ist ebenfalls.",
        "{A} ist {claim}, und {C} ist.",
        "{A} ist {claim}, und {C} liegt.",
        "{A} ist {claim}, wie auch {C}.",
        "{A} ist {claim}, während {C} ist.",
        "{A} ist {claim}, weil {C} ebenfalls ist.",
        "{A} ist {claim}, obwohl {C} auch ist.",
        "{A} ist {claim}; das gilt für {C}.",
        "{A} ist {claim}; {C} passt dazu.",
        "{A} ist {claim}, und {C} zeigt dies.",
        "{A} ist {claim} – {C} ebenfalls.",
        "{A} ist {claim}; außerdem {C}, ein gutes Zeichen.",
        "{A} ist {claim}, vor allem {C}.",
        "{A} ist {claim}, zusammen mit {C}.",
        "Da {A} {claim} ist und {C} ebenfalls, ist das Bild gemischt.",
        "Wie {C} ist {A} {claim}.",
        "{A} und {C} sind {claim}.",
        "Sowohl {A} als auch {C} sind {claim}.",
        "{A}, wie {C}, ist {claim}.",
    ),
}
SEVERAL: Mapping[str, tuple[str, ...]] = {
    "en": (
        "{A}, and {C}; both are {claim}.",
        "{A}, and {C}, both are {claim}.",
        "{A}, and {C}, which are {claim}.",
        "{A}, while {C}; these are {claim}.",
        "{A}; {C}; they are {claim}.",
        "{A} and {C}, so the signs are {claim}.",
    ),
    "de": (
        "{A}, und {C}; diese sind {claim}.",
        "{A}; {C}; die Indikatoren sind {claim}.",
        "{A}, während {C}; das sind {claim} Zeichen.",
    ),
}


def shared_claims(chance: random.Random, table: FactTable, number: int = 12) -> Iterator[Said]:
    """Yield wrong sentences in the language of the table, in which only one of two facts has the claim."""
    code = "de" if table.language.has_cases else "en"
    shown = {id_: float(rounded_value(table[id_])) for id_ in table if table.number(id_) is not None}
    claims = _claims(code, table, shown)
    signs = {f"{{{id_}.move}}": shown[id_] for id_ in CHANGES if id_ in shown}
    signs |= {"{macd_histogram.is}": shown["macd_histogram"]}
    for _ in range(number):
        claim = chance.choice([*claims])
        true, false = ([id_ for id_, own in claims[claim].items() if own is holds] for holds in (True, False))
        if true and false:
            first, second = (
                f"{_article(table, chosen, 0)} {{{chosen}}}" for chosen in map(chance.choice, (true, false))
            )
            text = chance.choice(SHARED[code]).format(A=first, C=second, claim=claim)
            yield Said(f"a shared claim ({code})", text[0].upper() + text[1:], False)
        first, second = chance.sample([*signs], 2)
        if min(signs[first], signs[second]) <= 0:
            text = chance.choice(SEVERAL[code]).format(A=first, C=second, claim="positive")
            yield Said(f"a claim of several ({code})", text, False)


def _claims(code: str, table: FactTable, shown: Mapping[str, float]) -> Mapping[str, Mapping[str, bool]]:
    """Return claims, each with the facts for which it is known whether it holds."""
    words = {"en": ("high", "overbought", "above zero"), "de": ("hoch", "überkauft", "über null")}[code]
    above, below, near = {"en": ("above", "below", "near"), "de": ("über", "unter", "nahe")}[code]
    prices = [id_ for id_ in shown if table[id_].unit == "price" and table[id_].scale is None]
    indices = {"volatility_20": shown["volatility_high"], "rsi_14": 60.0, "adx_14": shown["adx_trending"]}
    signed = ("macd", "macd_signal", "macd_histogram", "score", "obv", *CHANGES)
    high, overbought, over_zero = words
    no = dict.fromkeys((*prices, "macd", "macd_signal"), False)
    claims = {
        high: no | {id_: shown[id_] >= bound for id_, bound in indices.items()},
        overbought: dict.fromkeys(shown, False) | {"rsi_14": shown["rsi_14"] >= shown["rsi_overbought"]},
        over_zero: {id_: shown[id_] > 0 for id_ in signed if id_ in shown},
    }
    for other in prices:
        article = _article(table, other, 1)
        gaps = {id_: shown[id_] - shown[other] for id_ in prices if id_ != other}
        no = {id_: False for id_ in shown if id_ not in prices}
        claims[f"{above} {article} {{{other}}}"] = no | {id_: gap > 0 for id_, gap in gaps.items()}
        claims[f"{below} {article} {{{other}}}"] = no | {id_: gap < 0 for id_, gap in gaps.items()}
        ranges = {id_: abs(gap) / shown["atr_14"] for id_, gap in gaps.items()}
        claims[f"{near} {article} {{{other}}}"] = no | {
            id_: size < 1 for id_, size in ranges.items() if abs(size - 1) > 0.01
        }
    return claims


def _article(table: FactTable, id_: str, case: int) -> str:
    """Return the article of a fact as a subject (0), or after a comparison (1)."""
    if not table.language.has_cases:
        return "the"
    return (table.language.forms(table[id_]) or ("der", "dem"))[case]
