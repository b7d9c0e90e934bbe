"""What facts say: their side, and whether a word such as "strong" or "slightly" holds; see bounds.toml."""

from __future__ import annotations

import operator
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from supernova_ai.advisor.facts import Fact, compare, rounded_value
from supernova_ai.advisor.slots import FactTable

_INDICES = ("rsi", "adx", "plus_di", "minus_di")
_POINTS = {"slight": 3.0, "large": 5.0}  # between two values of an index
_MACD_RANGES = {"slight": 0.1, "large": 0.25}  # average true ranges between the MACD and its signal line
_SHARES = {"slight": 0.1, "large": 0.2}  # of the second value
_CHANGES = {"slight": (1.0, 2.0), "large": (3.0, 10.0)}  # usual moves of a bar, but at most so many percent
_RATIO_TOLERANCE = 0.15

_CONDITION = re.compile(r"(?:([a-z]\w*) )?(<=|>=|<|>|is) (?:(-?[\d.]+) \* )?(-?[\w.]+)")
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def sides(table: FactTable, ids: Collection[str]) -> set[int]:
    """Return the directions that the facts together speak for: 1 up, −1 down. Empty: they are neutral."""
    found = {compare(table[first], table[other]) for first, other in _sided_pairs(ids)}
    found |= {side for kind, side in (("up", 1), ("down", -1)) if any(_tested(kind, table, ids))}
    return found - {0}


def _sided_pairs(ids: Collection[str]) -> Iterator[tuple[str, str]]:
    pairs = [(first, other) for first, others in load_bounds()["up-if-above"].items() for other in others]
    yield from (pair for pair in pairs if set(pair) <= set(ids))


def change_signs(facts: Collection[Fact]) -> set[int]:
    """Return the directions of the price's changes among the facts; a drawdown is a fall."""
    moved = [rounded_value(fact) for fact in facts if fact.change_of == "price" and fact.number is not None]
    fallen = {-1 for fact in facts if fact.id in ("drawdown", "max_drawdown") and fact.number}
    return {(value > 0) - (value < 0) for value in moved} | fallen


def relation_holds(kind: str, table: FactTable, fact: Fact, other: Fact) -> bool:
    """Whether two comparable facts, as they are shown, are related so."""
    if kind in ("near", "far"):
        return gap_is("slight" if kind == "near" else "large", table, fact, other)
    beyond = {"bollinger_upper": 1, "bollinger_lower": -1}.get(other.id)
    return compare(fact, other) == {"above": 1, "below": -1, "equal": 0, "outside": beyond}[kind]


def gap_is(kind: str, table: FactTable, fact: Fact, other: Fact) -> bool:
    """Whether the distance of two comparable facts is "slight" or "large"."""
    first, second, range_ = fact.number or 0.0, other.number or 0.0, table.number("atr_14")
    if fact.unit == "price" and range_:
        bound = range_ * (_MACD_RANGES[kind] if fact.id.startswith("macd") else 1)
    else:
        bound = _POINTS[kind] if fact.id.startswith(_INDICES) else _SHARES[kind] * abs(second)
    return abs(first - second) <= bound if kind == "slight" else abs(first - second) >= bound


def change_is(kind: str, table: FactTable, fact: Fact) -> bool:
    """Whether a change is "slight" or "large", compared with the usual move of one bar."""
    moves, most = _CHANGES[kind]
    bound = min(moves * (table.number("atr_percent") or most), most)
    size = abs(fact.number or 0.0)
    return size <= bound if kind == "slight" else size >= bound


def ratio_is(expected: str, fact: Fact, other: Fact, *, gap: bool) -> bool:
    """Whether a fact is so many times another, as shown; ">2" is more than twice, "~2" nearly twice.

    With ``gap``, their distance is.
    """
    first, second = float(rounded_value(fact)), float(rounded_value(other))
    if first <= 0 or second <= 0:
        return False
    ratio, bound = abs(first / second - 1) if gap else first / second, float(expected.lstrip("<>~"))
    if expected[0] in _SIGNS:
        return bool(_SIGNS[expected[0]](ratio, bound))
    near = abs(ratio - bound) <= _RATIO_TOLERANCE * bound
    return near and (ratio < bound or expected[0] != "~")


def judgement_holds(kind: str, table: FactTable, ids: Collection[str]) -> bool:
    """Whether a judgement such as "overbought" holds for all of these facts that it has a bound for."""
    if kind in ("up", "down"):
        return sides(table, ids) == {1 if kind == "up" else -1}
    if kind == "stretched":
        return any(judgement_holds(each, table, ids) for each in ("risen-far", "fallen-far"))
    found = list(_tested(kind, table, ids))
    return bool(found) and all(found)


def judged(kind: str, table: FactTable, ids: Collection[str]) -> set[str]:
    """Return those of the facts that a judgement which holds for all of them is about."""
    pairs = _sided_pairs(ids) if kind in ("up", "down") else ()
    return {id_ for pair in pairs for id_ in pair} | {
        id_ for id_ in ids if judgement_holds(kind, table, [id_])
    }


def _tested(kind: str, table: FactTable, ids: Collection[str]) -> Iterator[bool]:
    """Yield for each fact that a judgement has a bound for whether it is within it."""
    bounds = load_bounds().get(kind, {}).items()
    for id_, bound in [(id_, bound) for pattern, bound in bounds for id_ in ids if fnmatchcase(id_, pattern)]:
        conditions = _CONDITION.findall(bound)
        yield all(_compares(table, table.get(own or id_), *rest) for own, *rest in conditions)


def _compares(table: FactTable, fact: Fact | None, sign: str, factor: str, level: str) -> bool:
    if fact is not None and sign == "is":
        return change_is(level, table, fact) if level in _CHANGES else fact.value == level
    if fact is None or (level[0].isalpha() and level not in table):
        return False
    bound = float(rounded_value(table[level]) if level in table else level)
    return bool(_SIGNS[sign](float(rounded_value(fact)), float(factor or 1) * bound))


@cache
def load_bounds() -> Mapping[str, Mapping[str, Any]]:
    """Return the bounds of each judgement, by fact."""
    path = files("supernova_ai.advisor") / "vocabulary" / "bounds.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))
