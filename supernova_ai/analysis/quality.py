"""The quality of an answer, from 0 to 1, computed from the text alone.

The score is the product of its parts, so each fault lowers it. docs/quality.md explains the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

_COMMON_WORDS = frozenset(
    """
    a about above after again against all also although an and any are as at be because been before being
    below between both but by can could did do does down each either even every few first for from further
    good had has have he her here high higher his how however i if in into is it its just last least less
    like likely little long low lower made make many may me might more most much must near need new no nor
    not nothing now of off often on once one only or other our out over own part past people per rather
    same say see she should since so some still such than that the their them then there these they this
    those though through time to too two under until up upon us use very was we well were what when where
    whether which while who why will with within without would yes yet you your
    action advice analysis analyst asset average avoid bank bar bearish bond budget bullish buy cash
    change client close company confidence cost credit currency current data date day debt decline demand
    dollar drop earnings economy equity estimate event exposure facts fall fell figure financial forecast
    fund futures gain growth held hold index inflation interest investor issue level loss margin market
    momentum month moving negative neutral news option outlook overbought oversold percent performance
    position positive price profit quarter quarterly rate ratio recommend reduce report return revenue
    rise risk rose rsi sales score sector security sell sentiment share shares signal small stable stock
    strategy strong summary support tax text tone trade trading trend value volatility volume weak week
    year yield
    """.split()  # noqa: SIM905 - as a list it would be pages long
)
"""Words common in English, and in advice."""

_ENGLISH_ENDING = re.compile(r"\w{3}(?:ed|ing|ly|tions?|ments?|ies|ness)$")
"""Endings with which English forms its rarer words."""

MOST_CHARACTERS = 20_000
"""How much of a text is read: its beginning; the part "complete" reads its end."""

_FULL_SHARE = 0.4
"""The share of known words that counts as all English."""
_FULL_LENGTH = 6
"""The number of words from which a text is not too short."""
_REFUSAL = re.compile(
    r"\W*(?:(?:i['’]?m|i am|we are|we['’]re)\s+(?:\w+\s+)?(?:sorry|afraid|unable)|sorry\b|"
    r"(?:my|our) apolog|i apologi[sz]e|"
    r"unfortunately,? (?:i|we)\b|as an? (?:ai|artificial|large|language)\b|"
    r"i\s+(?:can(?:not|['’]t| not)|could(?:n['’]t| not)|won['’]t|am not able)\b|"
    r"(?:an )?(?:error|exception)(?: occurred|:)|"
    r"(?:the )?(?:service|model|request) (?:is|was|has) (?:unavailable|failed))",
    re.IGNORECASE,
)
_STOCK_PHRASES = re.compile(
    r"as an? (?:ai|language model)\b|i hope this helps|let me know if|feel free to|great question|"
    r"it['’]?s important to note|it is important to note|in today['’]s fast-paced|delve into|needless to say|"
    r"at the end of the day|certainly!|of course!|lorem ipsum|\[insert|"
    r"as of my last (?:update|training|knowledge)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…:|\])}\"'”’*`]\s*$")
_COMPLETE_REASONS = ("stop", "end_turn", "stop_sequence", "eos", None)


@dataclass(frozen=True, slots=True)
class Quality:
    """A score from 0 to 1, and the parts whose product it is."""

    score: float
    parts: Mapping[str, float]


def rate_quality(
    text: str,
    *,
    sections: Sequence[str] = (),
    finish_reason: str | None = None,
) -> Quality:
    """Return the quality of the text.

    >>> rate_quality("The price rose 3 % on strong demand, and the risk is small.").score
    1.0

    Args:
        sections: words that each must be a heading, or be followed by a colon, in any letter case.
        finish_reason: the provider's, as in a ``Reply``.
    """
    complete = _completeness(text[-MOST_CHARACTERS:], finish_reason)
    text = text[:MOST_CHARACTERS]
    words = re.findall(r"[a-z]+(?:['’][a-z]+)?", text.lower())
    parts = {
        "says": _known_words(words),
        "answers": 0.1 if _REFUSAL.match(text) else 1.0,
        "complete": complete,
        "varied": _variety(text, words),
        "plain": max(0.4, 1 - 0.15 * len(_STOCK_PHRASES.findall(text))),
        "sections": _share_of_sections(text, sections),
    }
    return Quality(round(prod(parts.values()), 4), MappingProxyType(parts))


def _known_words(words: Sequence[str]) -> float:
    if not words:
        return 0.0
    known = sum(
        bool({word, word.removesuffix("s")} & _COMMON_WORDS or _ENGLISH_ENDING.search(word)) for word in words
    )
    # Squared, because Latin and random letters contain a few of the words by chance.
    return min(1.0, known / len(words) / _FULL_SHARE) ** 2 * min(1.0, len(words) / _FULL_LENGTH)


def _completeness(text: str, finish_reason: str | None) -> float:
    return (1.0 if finish_reason in _COMPLETE_REASONS else 0.5) * (1.0 if _SENTENCE_END.search(text) else 0.7)


def _variety(text: str, words: Sequence[str]) -> float:
    sentences = [part.strip().lower() for part in re.split(r"[.!?\n]+", text) if len(part.split()) > 2]
    runs = [tuple(words[n : n + 4]) for n in range(len(words) - 3)]
    return _share_of_distinct(sentences) * _share_of_distinct(runs)


def _share_of_distinct(items: Iterable[object]) -> float:
    listed = list(items)
    return len(set(listed)) / len(listed) if listed else 1.0


def _share_of_sections(text: str, sections: Sequence[str]) -> float:
    found = [
        re.search(
            rf"^[ \t#*\d.)-]*{re.escape(name)}\b[^\n.]{{0,20}}?(?::|\**\s*$)",
            text,
            re.IGNORECASE | re.MULTILINE,
        )
        for name in sections
    ]
    return sum(match is not None for match in found) / len(sections) if sections else 1.0
