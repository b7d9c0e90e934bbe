"""Check a sentence: what each of its words claims must follow from the facts of its clause.

The checks are conservative: a sentence that could be read in a wrong way is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from supernova_ai.advisor.facts import Fact, comparable, compare
from supernova_ai.advisor.grounding import evidence
from supernova_ai.advisor.grounding.cases import find_cases
from supernova_ai.advisor.grounding.clauses import Clause, ids_of, is_about_several, split_clauses
from supernova_ai.advisor.grounding.mentions import (
    CLAIMS,
    check_claimed,
    check_neighbours,
    is_asset,
    is_equated,
    names_all,
)
from supernova_ai.advisor.grounding.sentence import Unusable, read_sentence, render
from supernova_ai.advisor.grounding.vocabulary import Token, vocabulary
from supernova_ai.advisor.slots import FactTable

Part = Literal["for", "against", "risk"]
"""A section that a model writes."""

_LISTED = ("article", "name", ",")  # between the objects of a comparison, with words marked "list"
_BEFORE_CLAIM = ("article", "base", "modal", "plain", "pronoun", "verb", "also")  # after "also"


@dataclass(frozen=True, slots=True)
class Context:
    """What sentences are checked against."""

    table: FactTable
    asset_class: str
    sides: Mapping[Part, int]  # of the facts of a section: 1 up, −1 down, 0 any
    sided: bool = True  # whether the action has a direction, so that facts can speak for it
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Checked:
    """A sentence that holds, as it is shown, and the ids of its facts."""

    text: str
    facts: tuple[str, ...]


def check_sentence(text: str, part: Part, context: Context) -> Checked:
    """Return the sentence with its slots filled in, if every word and slot of it holds.

    Raises:
        Unusable: it must not be shown; the message says why.
    """
    table = context.table
    tokens = read_sentence(text, table, vocabulary(context.language))
    if table.language.has_cases:
        tokens = list(find_cases(tokens, table.language))
    ids, clauses = ids_of(tokens), split_clauses(tokens)
    if any(token.slot and token.slot.form == "note" for token in tokens):
        if len(tokens) > 1:
            raise Unusable("a note stands alone: write nothing else in its sentence")
    elif not ids:
        raise Unusable("it names no fact: every sentence needs a slot")
    for place, clause in enumerate(clauses):
        for at, token in enumerate(clause.tokens):
            if check := CHECKS.get(token.kind):
                check(_Claim(at, token, clause, part, context))
        check_neighbours(clause, table["close"])
        check_claimed(clause, clauses[max(0, place - 1) : place + 2], table)
    found, side = evidence.sides(table, ids), context.sides[part]
    if side and found and side not in found:
        raise Unusable("its facts speak for the other side: it belongs into the other section")
    return Checked(render(tokens, table, {at for clause in clauses for at in clause.unsigned()}), ids)


class _Claim(NamedTuple):
    """One word of a clause, at its position."""

    at: int
    token: Token
    clause: Clause
    part: Part
    context: Context

    @property
    def facts(self) -> list[Fact]:
        return [self.context.table[id_] for id_ in self.clause.ids]

    def has_modal(self, end: int | None = None) -> bool:
        return any(token.kind == "modal" for token in self.clause.tokens[:end])

    def require(self, holds: bool, reason: str) -> None:
        if not holds:
            raise Unusable(f'"{self.token.text}" {reason}')


def _comparison(claim: _Claim) -> None:
    """A word such as above or twice holds for each fact before it and each after it."""
    kind, table, pairs = claim.token.marks[0], claim.context.table, claim.clause.pairs(claim.at)
    next_ = claim.clause.tokens[claim.at + 1 : claim.at + 2]
    turned = any(
        "relative" in token.marks or token.kind == "pronoun" for token in next_
    )  # "above which {a} lies"
    claim.require(bool(pairs) and not turned, "needs a fact before it and one after it")
    claim.require("subject" not in claim.clause.cases(claim.at), "needs its subject before it")
    modal = claim.has_modal(None if claim.clause.cases() else claim.at)  # in German also at the end
    claim.require(not modal, "reads as a forecast: write what is")
    claim.require(_has_list(claim), "needs a plain list after it, such as {a}, {b} and {c}")
    gap = any(token.marks[:1] in (("above",), ("below",)) for token in claim.clause.tokens)
    for first, second in pairs:
        claim.require(comparable(first, second), f"does not compare {first.id} with {second.id}")
        if kind == "between":
            holds = sorted(compare(first, other) for own, other in pairs if own == first) == [-1, 1]
        elif claim.token.kind == "ratio":
            holds = evidence.ratio_is(kind, first, second, gap=gap)
        else:
            holds = evidence.relation_holds(kind, table, first, second)
        claim.require(holds, f"does not hold: {table.fill(f'{{{first.id}.vs.{second.id}}}')}")


def _has_list(claim: _Claim) -> bool:
    """Whether the objects of a comparison are a plain list: in "near {a}, with {b} too" one is a subject."""
    clause, tokens = claim.clause, claim.clause.tokens
    end = next((place for place in clause.places("relation", "ratio") if place > claim.at), len(tokens))
    objects = [at for at in range(claim.at, end) if clause.facts(at, at + 1)]
    between = [token for first, second in pairwise(objects) for token in tokens[first + 1 : second]]
    after = tokens[objects[-1] + 1 : objects[-1] + 2] if len(objects) > 1 and not clause.cases() else ()
    listed = all(token.kind in _LISTED or "list" in token.marks for token in between)
    return listed and all(token.kind in (",", "joiner", "boundary") for token in after)


def _move(claim: _Claim) -> None:
    """A word such as rose needs changes with its sign, and nothing else that could have moved."""
    moved = [fact for fact in claim.facts if evidence.change_signs([fact])]
    after_to = claim.at > 0 and claim.clause.tokens[claim.at - 1].kind == "way"
    claim.require(not after_to and not claim.has_modal(), "reads as a forecast: write what is")
    still = {fact.id for fact in claim.facts if fact not in moved} - {"close", "symbol"}
    holds = evidence.change_signs(moved) == {1 if claim.token.marks[0] == "up" else -1} and not still
    claim.require(holds, "does not follow from a change in its clause")


def _degree(claim: _Claim) -> None:
    """A word such as slightly is about the comparison after it, or else about all of its clause."""
    kind, table, clause = claim.token.marks[0], claim.context.table, claim.clause
    places = clause.places("relation", "ratio")
    own = [claim.at + 1] if claim.at + 1 in places else places
    ratio = [token.marks[0] for token in clause.tokens[claim.at + 1 : claim.at + 2] if token.kind == "ratio"]
    claim.require(not ratio or ratio[0][0] in "<>", "does not fit a ratio that is not exact")
    holds = [evidence.gap_is(kind, table, *pair) for at in own for pair in clause.pairs(at)]
    changes = [fact for fact in claim.facts if fact.change_of and not holds]
    holds += [evidence.change_is(kind, table, fact) for fact in changes]
    claim.require(bool(holds) and all(holds), "does not hold for the values")
    _require_all(claim, {fact.id for fact in changes})


def _judgement(claim: _Claim) -> None:
    """A word such as high is about the figure of a named fact; one such as bullish is about all facts."""
    kind, table, clause = claim.token.marks[0], claim.context.table, claim.clause
    figure = "figure" in claim.token.marks and not is_about_several(clause.tokens)
    ids = (ids_of(clause.tokens) if figure else ()) or clause.ids
    holds = evidence.judgement_holds(kind, table, ids)
    claim.require(holds, "does not follow from the facts of its clause")
    _require_all(claim, evidence.judged(kind, table, ids))


def _stance(claim: _Claim) -> None:
    """A word such as confirms is about the decision, so its facts are on the side of their section."""
    claim.require(claim.context.sided, "does not fit: this decision has no side")
    table, ids = claim.context.table, claim.clause.ids
    own_side = evidence.sides(table, ids) == {claim.context.sides[claim.part]}
    alone = not ids_of(claim.clause.tokens[claim.at :])
    fits = claim.token.marks[0] == claim.part and own_side and alone
    claim.require(fits, "does not fit: the facts of its clause do not say so here")
    _require_all(claim, evidence.judged("up", table, ids) | evidence.judged("down", table, ids))


def _require_all(claim: _Claim, judged: Collection[str]) -> None:
    """A judgement is of each fact beside it that is not compared: "the {rsi_14} and the {close} are high"."""
    clause, figure = claim.clause, "figure" in claim.token.marks
    if is_about_several(clause.tokens):
        ids = set(clause.ids)
    else:
        named = [token for token in clause.tokens if figure or not is_asset(token)]
        ids = set(ids_of(named)) - clause.compared()
    silent = sorted(ids - {"symbol", "period", *judged})
    claim.require(not silent, f"says nothing of {', '.join(silent)}: write a clause of its own")


def _also(claim: _Claim) -> None:
    """A word such as too points to another clause, so what its own clause says must follow it, in full."""
    rest = [token for token in claim.clause.tokens[claim.at + 1 :] if token.kind not in _BEFORE_CLAIM]
    follows = bool(rest) and (rest[0].kind in CLAIMS or rest[0].is_statement)
    claim.require(follows, "needs a full statement after it")


def _verb(claim: _Claim) -> None:
    """A verb such as is, with nothing after it, leaves to another clause what it says."""
    next_ = claim.clause.tokens[claim.at + 1 : claim.at + 2]
    bare = not next_ or next_[0].kind in (",", "joiner", "boundary")
    claim.require("open" not in claim.token.marks or not bare, "needs something after it")


def _possible(claim: _Claim) -> None:
    claim.require(claim.has_modal(), "states an event: write that it may happen")


def _name(claim: _Claim) -> None:
    """A name such as average must be one of the nearest slot's, or of what the clause is about."""
    slots = claim.clause.places("slot")
    nearest = min(slots, key=lambda place: (abs(place - claim.at), -place), default=None)
    ids = claim.clause.ids if nearest is None else ids_of([claim.clause.tokens[nearest]])
    claim.require(bool(set(ids) & set(claim.token.marks)), "does not name the fact beside it")


def _way(claim: _Claim) -> None:
    facts = [token.fact for token in claim.clause.tokens[claim.at + 1 : claim.at + 3] if token.fact]
    to_close = "target" in claim.token.marks and not claim.has_modal()
    named = any(names_all(token, claim.clause) for token in claim.clause.tokens)
    holds = named or not facts or (to_close and facts[0].id == "close")
    claim.require(holds, "does not fit: no fact says from where or to where a price moves")


def _base(claim: _Claim) -> None:
    """A verb without a subject is an order, and so is one after "to": "it is better to move"."""
    before = claim.clause.tokens[: claim.at]
    subject = any(token.slot or token.kind == "article" or "subject" in token.marks for token in before)
    claim.require(subject and before[-1].kind not in ("way", "joiner"), "reads as an order")


def _fact(claim: _Claim) -> None:
    classes, own = claim.token.marks[1:], claim.context.asset_class
    claim.require(not classes or own in classes, f"does not fit: the asset is of the class {own}")


def _slot(claim: _Claim) -> None:
    equated = claim.token.is_statement and is_equated(claim.clause, claim.at)
    claim.require(not equated, "is a sentence of its own: write 'is that' before it")


def _noun(claim: _Claim) -> None:
    """A noun without a figure is no subject: "the momentum is {macd}", "the {rsi_14} and the trend rose"."""
    clause = claim.clause
    facts = [at for at, token in enumerate(clause.tokens) if token.fact]
    claims = [*clause.places("relation", "ratio", "move"), *(at for at in facts if is_equated(clause, at))]
    before = [token for token in clause.tokens[: claim.at] if token.kind != "article"]
    joined = len(before) > 1 and before[-1].kind == "joiner" and before[-2].fact is not None
    joined = joined and not any(token.kind in CLAIMS for token in before)
    free = not claims or claim.at > max(claims + facts)
    claim.require(free and not joined, "has no figure: write the facts themselves")


CHECKS: Mapping[str, Callable[[_Claim], None]] = {
    "relation": _comparison,
    "ratio": _comparison,
    "move": _move,
    "degree": _degree,
    "judgement": _judgement,
    "stance": _stance,
    "possible": _possible,
    "name": _name,
    "way": _way,
    "base": _base,
    "fact": _fact,
    "slot": _slot,
    "noun": _noun,
    "also": _also,
    "verb": _verb,
}
"""The check of each class of words that claims something."""
