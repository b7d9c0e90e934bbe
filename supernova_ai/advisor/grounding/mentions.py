"""Whether a clause says something of each fact that it names, and does not leave it to another clause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from supernova_ai.advisor.facts import Fact, comparable
from supernova_ai.advisor.grounding import evidence
from supernova_ai.advisor.grounding.clauses import Clause
from supernova_ai.advisor.grounding.sentence import Unusable
from supernova_ai.advisor.grounding.vocabulary import Token
from supernova_ai.advisor.slots import FactTable

CLAIMS = ("relation", "ratio", "move", "degree", "judgement", "stance", "possible")
"""The classes of words that say something of a fact."""

_LINKS = ("joiner", "way", ",", "relation", "ratio", "move")
_BEFORE = ("article", "plain", "name", "verb")  # between "is" and a fact
_SAME = {"atr_14", "atr_percent"}  # one distance, in money and in percent


def check_neighbours(clause: Clause, close: Fact) -> None:
    """Two facts need a comparison, "and" or a comma between them: "the RSI is the MACD" is not true."""
    tokens = clause.tokens
    named = [(at, token.fact) for at, token in enumerate(tokens) if token.fact and token.fact.id != "symbol"]
    for (first, before), (second, after) in pairwise([(-1, close), *named]):  # "it is" reads as the price
        between, next_ = tokens[first + 1 : second], tokens[second + 1 : second + 2]
        links = [token.kind for token in between if token.kind in _LINKS]
        if before == after or {before.id, after.id} == _SAME:
            continue
        if is_equated(clause, second):
            joined = any(names_all(token, clause) for token in between)
            joined |= first < 0 and not comparable(before, after)
            joined |= before == close and any(token.kind == "name" for token in next_)  # "… below its peak"
        elif first < 0 or after.number is None:  # "…, in a calm market"
            joined = True
        elif tokens[second].kind == "fact":  # "the {rsi_14} shows that the price …"
            joined = links != [","]
        else:  # "moves the price by {atr_14}"
            moves = before == close and (after.change_of is not None or after.id in _SAME)
            joined = moves or links not in ([], [","] if tokens[first].kind == "fact" else [])
        if not joined:
            raise Unusable(f"{tokens[second].text} stands beside another fact, or none: compare them")


def check_claimed(clause: Clause, beside: Sequence[Clause], table: FactTable) -> None:
    """A clause that names a fact has a claim of its own: "and the {adx_14} is too" has none.

    A clause without a slot may have it: "as the {rsi_14} shows, it is overbought".
    """
    judgements = [
        other.tokens[at] for other in beside if not other.places("slot") for at in other.places("judgement")
    ]
    said = {id_ for token in judgements for id_ in evidence.judged(token.marks[0], table, clause.ids)}
    said |= {token.marks[0] for token in clause.tokens if judgements and is_asset(token)}
    named = [token for token in clause.tokens if token.fact and token.fact.id not in ("symbol", *said)]
    if named and not _says_something(clause) and not _is_fragment(clause):
        raise Unusable(f"{named[0].text} stands in a part of the sentence that says nothing of it")


def _says_something(clause: Clause) -> bool:
    """Whether it has a claim, and not only by the way: "the {macd}, which is positive", ", a good sign"."""
    main = {at: clause.tokens[at] for at in _main(clause.tokens)}
    claims = [at for at in main if _is_claim(clause, at)]
    comma = next((at for at, token in main.items() if token.kind == ","), len(clause.tokens))
    verb = any(
        "finite" in token.marks or token.kind in ("relation", "move", "stance") for token in main.values()
    )
    return bool(claims) and (verb or claims[0] < comma)


def _is_fragment(clause: Clause) -> bool:
    """Whether it begins the sentence and only shows facts, as in "{rsi_14}, in its usual range"."""
    shown = list(takewhile(lambda token: token.kind != ",", clause.tokens))
    facts = all(token.kind in ("article", "slot", "name") or "list" in token.marks for token in shown)
    begins = clause.start == 0 and clause.tokens[0].kind != "joiner"
    return begins and facts and not any(token.fact for token in clause.tokens[len(shown) :])


def is_equated(clause: Clause, at: int) -> bool:
    """Whether a word such as "is" or "at" stands before a fact."""
    before = list(takewhile(lambda token: token.kind in _BEFORE, reversed(clause.tokens[:at])))
    return any("equates" in token.marks for token in before)


def is_asset(token: Token) -> bool:
    """Whether a word stands for the asset: "the price is overbought" if the RSI is."""
    return token.kind == "fact" and token.marks[0] in ("close", "regime")


def _is_claim(clause: Clause, at: int) -> bool:
    token, before = clause.tokens[at], clause.tokens[:at]
    subject = any(each.slot or each.kind == "pronoun" or names_all(each, clause) for each in before)
    equated = token.kind == "slot" and subject and is_equated(clause, at)
    return token.kind in CLAIMS or token.is_statement or "says" in token.marks or equated


def _main(tokens: Sequence[Token]) -> Iterator[int]:
    """Yield the positions outside of "which …" after a fact."""
    inside = after_fact = False
    for at, token in enumerate(tokens):
        inside = token.kind != "," and (inside or (after_fact and "relative" in token.marks))
        after_fact = token.fact is not None or (after_fact and token.kind == ",")
        if not inside:
            yield at


def names_all(token: Token, clause: Clause) -> bool:
    """Whether a word is a name of every fact of the clause."""
    return token.kind == "name" and {fact.id for fact in clause.facts()} <= set(token.marks)
