"""The parts of a text that belong together, and the words in them that say up or down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_WRAPPED = re.compile(r"^(?![ \t]*[#|])(.*\S)\n(?=[ \t]*(?:[a-z$%]|[-−]?\d(?!\d?[.)]\s)))", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9$])|\n+")
_CLAUSE = re.compile(
    r"[;:,]\s+|\s[–—]\s|\s(?:while|but|although|though|whereas|because|despite|(?<!not )yet|however)\s",
    re.IGNORECASE,
)

DOWN = (
    r"fell|falls?|fallen|falling|down|drop(?:s|ped|ping)?|declin(?:e|es|ed|ing)|los(?:t|es?|ing|s|ses)|shed|slid|"
    r"slips?|slipped|decreas(?:e|es|ed|ing)|shr[aiu]nk|tumbl(?:e|es|ed|ing)|plung(?:e|es|ed|ing)|sank|sunk|lower|"
    r"off|retreat(?:s|ed|ing)?|dip(?:s|ped|ping)?|eas(?:es|ed)|drawdown|weakened|negative|minus|downward"
)
UP = (
    r"rose|rises?|risen|rising|up|gain(?:s|ed|ing)?|climb(?:s|ed|ing)?|increas(?:e|es|ed|ing)|grew|grown|grows|"
    r"advanc(?:e|es|ed|ing)|jump(?:s|ed|ing)?|surg(?:e|es|ed|ing)|rall(?:y|ies|ied|ying)|added|adds|higher|"
    r"strengthened|climbed|positive|plus|upward"
)
_ABOVE, _BELOW = r"above|over its|premium", r"below|under|beneath|discount|short of"
_FILLER = (
    r"(?:by|of|an?|about|around|roughly|nearly|almost|some|approximately|approx\.?|just|more than|less than|"
    r"over|only|another|close to|price|move|change|return|the|last|past|previous|in|during|for|"
    r"\d+[ -](?:bars?|days?|sessions?|closes)|~|:)"
)
_BEFORE = re.compile(
    rf"\b(?:(?P<down>{DOWN})|(?P<up>{UP}))(?:\s+{_FILLER})*[\s:(]*$"
    rf"|\b(?:(?P<below>negative|minus)|(?P<above>positive|plus)),? (?:at|is|was) (?:about |around )?$",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"[\s-]*(?:(?:price|net|overall|cumulative|total) )?"
    rf"(?:(?P<down>{DOWN})|(?P<below>{_BELOW})|(?P<up>{UP})|(?P<above>{_ABOVE}))\b(?! to\b)",
    re.IGNORECASE,
)
_AT = re.compile(
    rf"\b(?:(?P<down>{DOWN})|(?P<up>{UP}))\s+at(?:\s+(?:about|around|roughly))?\s*$", re.IGNORECASE
)

MOST = 1_000
"""Characters of the longest sentence. A longer one is cut, so that the time to read a text is linear."""

NEAR = 150
"""How far from a figure, in characters, the words are looked for that belong to it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text, from ``start`` to ``end``."""

    start: int
    end: int


def unwrapped(text: str) -> str:
    """Return the text, as long as it is, with a space where a line goes on in lower case or with a figure."""
    return _WRAPPED.sub(r"\1 ", text)


def sentence(text: str, at: int) -> Span:
    """Return the sentence that this place is in."""
    return next(span for span in _split(text, _SENTENCE, 0, len(text)) if at <= span.end)


def clause(text: str, at: int) -> Span:
    """Return the clause that this place is in."""
    whole = sentence(text, at)
    return next(span for span in _split(text, _CLAUSE, whole.start, whole.end) if at <= span.end)


def sentences(text: str) -> tuple[Span, ...]:
    """Return every sentence."""
    return _split(text, _SENTENCE, 0, len(text))


@lru_cache(maxsize=64)
def _split(text: str, between: re.Pattern[str], start: int, end: int) -> tuple[Span, ...]:
    spans: list[Span] = []
    for match in between.finditer(text, start, end):
        spans.append(Span(start, match.start()))
        start = match.end()
    spans.append(Span(start, end))
    return tuple(part for span in spans for part in _parts(text, span))


def _parts(text: str, span: Span) -> Iterator[Span]:
    """Yield the span, cut at spaces where it is longer than a sentence can be."""
    start = span.start
    while span.end - start > MOST:
        cut = text.rfind(" ", start + 1, start + MOST)
        cut = start + MOST if cut < 0 else cut
        yield Span(start, cut)
        start = cut
    yield Span(start, span.end)


def stated_sign(text: str, start: int, end: int, *, percent: bool) -> int:
    """Return −1 or 1 if words beside the figure say that it is a fall or a rise, else 0."""
    part = sentence(text, start)
    before = text[max(part.start, start - NEAR) : start]
    match = _BEFORE.search(before) or (_AT.search(before) if percent else None)
    if match is None:
        match = _AFTER.match(text, end, part.end)
    if match is None:
        return 0
    groups = match.groupdict()
    return -1 if groups.get("down") or groups.get("below") else 1


def stands(text: str, end: int) -> bool:
    """Return whether the figure that ends here is where something is: "$132.28, above $127.99"."""
    match = _AFTER.match(text, end)
    return match is not None and bool(match["below"] or match["above"])


def compared(text: str, end: int) -> bool:
    """Return whether the figure that ends here is a distance: "3 % above", "$2 lower"."""
    return _AFTER.match(text, end) is not None


def leans_down(text: str, start: int) -> bool:
    """Return whether the clause around this place speaks of a fall."""
    part = clause(text, start)
    near = text[max(part.start, start - NEAR) : min(part.end, start + NEAR)]
    return re.search(rf"\b(?:{DOWN}|below|under)\b", near, re.IGNORECASE) is not None
