"""Names in a language with cases, such as German: the article of a name says whether it can be a subject.

English has the subject first. In German it may stand behind: "über dem Durchschnitt liegt der Kurs". So a
name is a subject if its article says so, and a sentence whose articles or order are doubtful is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from supernova_ai.advisor.grounding.sentence import Unusable
from supernova_ai.advisor.grounding.vocabulary import Token
from supernova_ai.advisor.language import Language

_BREAKS = (",", ";", ":", "–")
_START = Token("", ",")


def find_cases(tokens: Sequence[Token], texts: Language) -> Iterator[Token]:
    """Yield the tokens, each name with its case.

    Raises:
        Unusable: an article does not fit, or a comparison or a whole statement stands in the wrong place.
    """
    if tokens and "finite" in tokens[0].marks and tokens[0].kind == "verb":
        raise Unusable(f'"{tokens[0].text}" stands first, as in a question: begin with something else')
    for at, token in enumerate(tokens):
        *_, second, first = (_START, _START, *tokens[:at])
        article, before = (first.text, second) if first.kind == "article" else ("", first)
        if token.is_statement and before.kind not in _BREAKS and "opens" not in before.marks:
            raise Unusable(f"{token.text} is a whole statement: begin with it, or put a comma before it")
        if token.kind == "relation" and _opens_relative_clause(tokens, at):
            raise Unusable(f'"{token.text}" begins a clause: put the subject before it')
        if token.fact is None:
            yield token
            continue
        subject, *others = texts.forms(token.fact) or ("",)
        wanted = others[:1] if before.kind == "relation" else (subject, *others)
        if article and others and token.kind == "slot" and article not in wanted:
            raise Unusable(f'"{article} {token.text}" has a wrong article: write "{wanted[0]}"')
        yield replace(token, case="subject" if article == subject != "" else "object")


def _opens_relative_clause(tokens: Sequence[Token], at: int) -> bool:
    """Whether a comparison is that of "…, über dem {close} liegt": the close may be what lies above."""
    before = next((token for token in reversed(tokens[:at]) if token.kind != "degree"), tokens[at])
    place = next((place for place in range(at, len(tokens)) if tokens[place].slot), at)
    return before.kind == "," and any(token.kind == "verb" for token in tokens[place + 1 : place + 2])
