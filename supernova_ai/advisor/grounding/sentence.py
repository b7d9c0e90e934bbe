"""A model's sentence as words, slots and marks; a sentence with anything else is unusable."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from supernova_ai.advisor.grounding.vocabulary import Token, Vocabulary
from supernova_ai.advisor.slots import FactTable, UnknownSlot

MOST_CHARACTERS = 400  # in a sentence
_PIECE = re.compile(r"\{[^{}]{0,160}\}|[^\W\d_]+(?:['-][^\W\d_]+)*|\S")
_MARKS = {",": ",", ";": ";", ":": ":", "–": "–", "—": "–"}


class Unusable(ValueError):
    """A sentence cannot be shown; the message says why."""


def read_sentence(text: str, table: FactTable, words: Vocabulary) -> list[Token]:
    """Return the tokens of a sentence; raise ``Unusable`` if it has more than words, slots and marks."""
    text = text.strip().removesuffix(".").replace("’", "'")
    if len(text) > MOST_CHARACTERS:
        raise Unusable(f"the sentence has {len(text):,} characters, and at most {MOST_CHARACTERS} are read")
    first, *rest = _PIECE.findall(text) or [""]
    small = first[:1].lower() + first[1:]
    pieces = [small if any(phrase[0] == small for phrase in words.words) else first, *rest]
    tokens = list(_tokens(filter(None, pieces), words))
    return [_with_slot(token, table) for token in _without_pronouns(tokens, words)]


def _tokens(pieces: Iterable[str], words: Vocabulary) -> Iterator[Token]:
    for are_words, run in groupby(pieces, lambda piece: piece[0].isalpha()):
        texts = list(run)
        yield from words.read(texts) if are_words else map(_slot_or_mark, texts)


def _slot_or_mark(piece: str) -> Token:
    if piece in _MARKS:
        return Token(_MARKS[piece], _MARKS[piece])
    if piece.startswith("{") and piece.endswith("}"):
        return Token(piece, "slot")
    raise Unusable(f'"{piece}" is not allowed: write words, slots and the marks , ; : and –, and no figures')


def _without_pronouns(tokens: Sequence[Token], words: Vocabulary) -> Iterator[Token]:
    """Yield the price in place of a pronoun that is compared or moves: "it is above {sma_50}"."""
    for at, token in enumerate(tokens):
        kinds = (each.kind for each in tokens[at:] if each.kind in ("slot", "fact", "relation", "move"))
        is_price = token.kind == "pronoun" and next(kinds, "") in ("relation", "move")
        yield from words.read(token.marks) if is_price else (token,)


def _with_slot(token: Token, table: FactTable) -> Token:
    if not token.kind:
        raise Unusable(f'"{token.text[:40]}" is not in the vocabulary: use a plainer word, or a slot')
    if token.kind not in ("slot", "fact"):
        return token
    try:
        return replace(token, slot=table.slot(f"{{{token.marks[0]}}}" if token.marks else token.text))
    except UnknownSlot as error:
        raise Unusable(str(error)) from None


def render(tokens: Sequence[Token], table: FactTable, unsigned: Collection[int]) -> str:
    """Return the sentence with its slots filled in; changes at the positions ``unsigned`` have no sign."""
    text = ""
    for at, token in enumerate(tokens):
        next_ = tokens[at + 1] if at + 1 < len(tokens) else token
        if token.kind == "article" and (next_.is_statement or at + 1 in unsigned):
            continue
        shown = token.slot if token.kind == "slot" else None
        piece = table.text(shown, unsigned=at in unsigned) if shown else token.text
        if shown and token.fact and at and tokens[at - 1].kind == "article":
            piece = table.language.after(tokens[at - 1].text, token.fact, piece)
        text += piece if not text or token.kind in (",", ";", ":") else f" {piece}"
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."
