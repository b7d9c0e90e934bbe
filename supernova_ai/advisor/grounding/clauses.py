"""The clauses of a sentence, and the facts that each is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.vocabulary import Token

_MARKS = (";", ":", "–")
_FILLERS = ("article", "plain", "base", "verb", "degree", "name", "pronoun", "also")


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause that begins at ``start`` in its sentence; ``ids`` are the facts that it is about."""

    tokens: Sequence[Token]
    start: int
    ids: tuple[str, ...]

    def facts(self, start: int = 0, end: int | None = None) -> list[Fact]:
        """Return the numeric facts that are named in a part of the clause."""
        named = (token.fact for token in self.tokens[start:end])
        return [fact for fact in named if fact and fact.number is not None]

    def places(self, *kinds: str) -> list[int]:
        """Return the positions of words of some classes."""
        return [at for at, token in enumerate(self.tokens) if token.kind in kinds]

    def pairs(self, at: int) -> list[tuple[Fact, Fact]]:
        """Return the subjects and objects of a comparison; "above {a}, but below {b}" have one subject."""
        places = self.places("relation", "ratio")
        end = next((place for place in places if place > at), None)
        named = next((place for place in range(at - 1, -1, -1) if self.tokens[place].slot), 0)
        joined = any(token.kind in ("joiner", "boundary") for token in self.tokens[named:at])
        subjects = self.facts(0, places[0] if joined else at)
        return [(subject, other) for subject in subjects for other in self.facts(at, end)]

    def compared(self) -> set[str]:
        """Return the ids of the facts that it compares."""
        pairs = [pair for at in self.places("relation", "ratio") for pair in self.pairs(at)]
        stated = [token.slot.facts for token in self.tokens if token.slot and len(token.slot.facts) > 1]
        return {fact.id for facts in (*pairs, *stated) for fact in facts}

    def cases(self, start: int = 0) -> Collection[str]:
        """Return the cases of the names from a position on, in a language with cases."""
        return {token.case for token in self.tokens[start:]} - {""}

    def unsigned(self) -> Iterator[int]:
        """Yield the positions in the sentence of changes that follow a word such as rose."""
        moves = self.places("move")
        for at, token in enumerate(self.tokens):
            moved = moves and (at > moves[0] or "amount" in self.tokens[at - 1].marks)
            if moved and token.kind == "slot" and token.fact and token.fact.change_of:
                yield self.start + at


def split_clauses(tokens: Sequence[Token]) -> list[Clause]:
    """Return the clauses: between marks, connectives, and "and" or a comma before a new subject."""
    clauses: list[Clause] = []
    start = 0
    for end in range(len(tokens) + 1):
        if end < len(tokens) and not _ends(tokens, start, end):
            continue
        if own := tokens[start:end]:
            clauses.append(Clause(own, start, ids_of(own) + _other_ids(tokens, start, end, clauses)))
        start = end + 1
    return clauses


def _other_ids(tokens: Sequence[Token], start: int, end: int, clauses: Sequence[Clause]) -> tuple[str, ...]:
    """Return the ids of the facts in other clauses that a clause is about."""
    own, mark = tokens[start:end], tokens[start - 1]
    slotless = not any(token.kind == "slot" for token in own)
    if slotless and (not clauses or any(token.kind == ":" for token in tokens[end : end + 1])):
        return ids_of(tokens[end:])  # "the trend is up: {…}"
    apart = mark.kind in (*_MARKS, "boundary") and "relative" not in mark.marks
    if is_about_several(own) or (slotless and apart):
        return ids_of(tokens[:start])  # "{…}, and {…}; this is bullish"
    return clauses[-1].ids if slotless else ()  # "{…}, and {…}, which is bullish"


def is_about_several(tokens: Sequence[Token]) -> bool:
    """Whether a clause is about several others: "both are bullish", but not "both the {rsi_14} and …"."""
    slotless = not any(token.kind == "slot" for token in tokens)
    for at, token in enumerate(tokens):
        if token.kind in ("verb", "base", "stance"):  # "which are bullish", but not "the {rsi_14} and … are"
            refers = slotless or (at > 0 and "relative" in tokens[at - 1].marks)
        else:
            refers = not any(each.slot or each.kind == "article" for each in tokens[at + 1 : at + 2])
        if refers and "several" in token.marks:
            return True
    return False


def ids_of(tokens: Iterable[Token]) -> tuple[str, ...]:
    """Return the ids of all facts that the tokens name, each once."""
    return tuple(dict.fromkeys(fact.id for token in tokens if token.slot for fact in token.slot.facts))


def _ends(tokens: Sequence[Token], start: int, at: int) -> bool:
    """Whether a clause ends here: at a mark, or after its verb, at a connective before a new subject."""
    kind, rest = tokens[at].kind, _skip(tokens[at + 1 :], *_FILLERS)
    if kind == "boundary":  # not "…, but below {b}"
        return not rest or rest[0].kind not in ("relation", "ratio")
    if kind != "," and "opens" not in tokens[at].marks:
        return kind in _MARKS
    if (at and tokens[at - 1].is_statement) or _turns(tokens, at):
        return True
    verb = _skip(rest[1:], "degree")[:1]
    new = any(token.kind in ("relation", "ratio") or "finite" in token.marks for token in verb)
    new = new and rest[0].case != "object"
    before = tokens[start : len(tokens) - len(rest)]  # "{a} and {b} are above {c}" is one clause
    new = new and ("own" in tokens[at].marks or any("finite" in token.marks for token in before))
    return bool(rest) and rest[0].slot is not None and (rest[0].is_statement or new)


def _turns(tokens: Sequence[Token], at: int) -> bool:
    """Whether a verb follows a comma, in a language with cases: "weil der {a} hoch ist, liegt der {b} …"."""
    verb = any("finite" in token.marks or token.kind == "modal" for token in tokens[at + 1 : at + 2])
    return tokens[at].kind == "," and verb and any(token.case for token in tokens)


def _skip(tokens: Sequence[Token], *kinds: str) -> Sequence[Token]:
    first = next((at for at, token in enumerate(tokens) if token.kind not in kinds), len(tokens))
    return tokens[first:]
