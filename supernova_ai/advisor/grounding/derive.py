"""Whether a figure follows from facts: equal, rounded, scaled, or by one step of arithmetic.

Arithmetic is restrained, since among many facts some pair gives almost any figure: its operands must be named
in the same sentence, by label or by value (the price itself always counts as named), and a word must say what
was done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import combinations, permutations

from supernova_ai.advisor.facts import Fact, rounded_value
from supernova_ai.advisor.grounding.figures import Figure, Measure

_CHANGE = re.compile(r"\b(?:change|gain|momentum|macd|histogram|difference|return|performance|move)\b")
_DEPTH = re.compile(r"\b(?:drawdown|loss|decline|drop|fall)\b")
_SIZE = re.compile(r"\b(?:atr|true range)\b")
_LEVEL = re.compile(r"\b(?:volatility|width|share|yield|rate|weight)\b")

_COMPARED = re.compile(
    r"\b(?:above|below|over|under|beneath|higher|lower|from|than|premium|discount|differ\w*|gap|apart|distance|"
    r"spread|away|between|margin|short of|chang\w+|up|down|rose|fell|gain\w*|los[st]\w*|drop\w*|declin\w+|"
    r"ris\w+|fall\w*|narrow\w*|widen\w*|exceed\w*|trail\w*|lead\w*|ahead|behind|cushion|more|less)\b",
    re.IGNORECASE,
)
_MULTIPLIED = re.compile(
    r"\b(?:times|ratio|twice|x|half|third|quarter|fold|double\w*|triple\w*|to)\b|[x×:]", re.I
)
_SUMMED = re.compile(r"\b(?:sum|total|together|combined|plus|add(?:s|ed|ing)? up)\b", re.IGNORECASE)
_AVERAGED = re.compile(
    r"\b(?:average of|averages? (?:to|out)|averaging|on average|mean of|mean is|midpoint|midway)\b", re.I
)

_DIRECT: dict[Measure, dict[str, Decimal]] = {
    "price": {"price": Decimal(1)},
    "percent": {"percent": Decimal(1), "ratio": Decimal(100)},
    "points": {},
    "times": {"ratio": Decimal(1)},
    "plain": {"price": Decimal(1), "ratio": Decimal(1), "count": Decimal(1), "percent": Decimal("0.01")},
    "foreign": {},
}
"""By what factor a fact of each unit is multiplied to be written in each measure."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number that follows from facts, in some measure, and the words for how."""

    number: Decimal
    words: str
    facts: tuple[Fact, ...]


def tolerance(figure: Figure, hedged: bool) -> Decimal:
    """Return how far the figure may be from the true value: half its last place, more where it says about."""
    size = abs(figure.value)
    if figure.spelt and figure.measure == "times":
        return size / (10 if hedged else 20)
    near = figure.step / 2
    if hedged and size:
        trailing = figure.step
        while size % (trailing * 10) == 0:
            trailing *= 10
        near = max(near, min(trailing / 2, size / 20))
    return near


def agrees(figure: Figure, value: Decimal, hedged: bool) -> bool:
    """Return whether the figure is this value, as written or rounded."""
    return abs(figure.value - value) <= tolerance(figure, hedged)


def direct(figure: Figure, facts: Iterable[Fact]) -> Iterator[Value]:
    """Yield what the facts themselves are in the figure's measure, raw and as shown."""
    factors = _DIRECT[figure.measure]
    for fact in numeric(facts):
        factor = factors.get(fact.unit)
        if factor is None or (factor != 1 and figure.digits < 2):
            continue  # 0.1 is near every percentage from 5 to 15
        for number in values(fact):
            yield Value(number * factor, f"{fact.id}, {fact.source}", (fact,))


def derived(
    figure: Figure, named: Sequence[Fact], price: Sequence[Fact], sentence: str, *, exact: bool
) -> Iterator[Value]:
    """Yield what one step of arithmetic on the named facts gives, where words of the sentence call for it.

    ``price`` counts as named where two facts are compared, but is no part of a sum or a mean.
    ``exact`` asks for two significant digits of a percentage, where the text does not say change from what.
    """
    if _COMPARED.search(sentence) or _MULTIPLIED.search(sentence):
        for first, second in permutations(dict.fromkeys(numeric((*price, *named))), 2):
            if first.unit == second.unit:
                yield from _of_pair(figure, first, second, sentence, exact)
    if _SUMMED.search(sentence) or _AVERAGED.search(sentence):
        same = [fact for fact in numeric(named) if _DIRECT[figure.measure].get(fact.unit) == 1][:5]
        for size in range(len(same), 1, -1):
            for facts in combinations(same, size):
                if len({fact.unit for fact in facts}) == 1:
                    yield from _of_list(facts, sentence)


def _of_pair(figure: Figure, first: Fact, second: Fact, sentence: str, exact: bool) -> Iterator[Value]:
    pair = (first, second)
    for a, b in zip(values(first), values(second), strict=True):
        if _COMPARED.search(sentence):
            if figure.measure in ("price", "plain", "points") and _subtracts(figure.measure, first):
                yield Value(a - b, f"{first.id} − {second.id}", pair)
            if (
                figure.measure == "percent"
                and b
                and first.unit != "percent"
                and (figure.digits > 1 or not exact)
            ):
                yield Value((a - b) / abs(b) * 100, f"({first.id} − {second.id}) ÷ {second.id}", pair)
        if figure.measure == "times" and b and _MULTIPLIED.search(sentence):
            yield Value(a / b, f"{first.id} ÷ {second.id}", pair)


def _subtracts(measure: Measure, fact: Fact) -> bool:
    return fact.unit == "percent" if measure == "points" else _DIRECT[measure].get(fact.unit) == 1


def _of_list(facts: tuple[Fact, ...], sentence: str) -> Iterator[Value]:
    ids = ", ".join(fact.id for fact in facts)
    for numbers in zip(*(values(fact) for fact in facts), strict=True):
        if _SUMMED.search(sentence):
            yield Value(sum(numbers, Decimal()), f"the sum of {ids}", facts)
        if _AVERAGED.search(sentence):
            yield Value(sum(numbers, Decimal()) / len(numbers), f"the mean of {ids}", facts)


def numeric(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Yield the facts whose value is a number."""
    return (fact for fact in facts if fact.unit not in ("date", "text"))


def values(fact: Fact) -> tuple[Decimal, Decimal]:
    """Return the value as it is, and as it is shown: a text may be rounded from either."""
    return Decimal(str(fact.value)), rounded_value(fact)


@lru_cache(maxsize=1024)
def nature(fact: Fact) -> str:
    """Return what the sign of a fact means.

    A change's must be stated, a depth has none, a level is as it is, and a size is of a move either way.

    >>> nature(Fact("drawdown", "Drawdown", -12.3, "percent", "the highest close"))
    'depth'
    """
    words = f"{fact.id.replace('_', ' ')} {fact.label}".lower()
    if _DEPTH.search(words):
        return "depth"
    if _SIZE.search(words):
        return "size"
    if _LEVEL.search(words):
        return "level"
    return "change" if fact.unit == "percent" or _CHANGE.search(words) else "level"
