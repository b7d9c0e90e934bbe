"""How good an answer is, 0 to 1, by properties that can be checked without asking anyone.

The score is the product of its parts, so that each fault lowers it whatever else is right. What each part is
stands in docs/quality.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Protocol

# Of English, and of what advice is made of.
_COMMON = frozenset(
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
_FORMED = re.compile(r"\w{3}(?:ed|ing|ly|tions?|ments?|ies|ness)$")
"""How English forms its rarer words."""

READ = 20_000
"""Characters that are read. Of a longer text the beginning is assessed, and whether its end is complete."""

_ENOUGH = 0.4
_SHORT = 6
_REFUSAL = re.compile(
    r"\W*(?:(?:i['’]?m|i am|we are|we['’]re)\s+(?:\w+\s+)?(?:sorry|afraid|unable)|sorry\b|"
    r"(?:my|our) apolog|i apologi[sz]e|"
    r"unfortunately,? (?:i|we)\b|as an? (?:ai|artificial|large|language)\b|"
    r"i\s+(?:can(?:not|['’]t| not)|could(?:n['’]t| not)|won['’]t|am not able)\b|"
    r"(?:an )?(?:error|exception)(?: occurred|:)|"
    r"(?:the )?(?:service|model|request) (?:is|was|has) (?:unavailable|failed))",
    re.IGNORECASE,
)
_STOCK = re.compile(
    r"as an? (?:ai|language model)\b|i hope this helps|let me know if|feel free to|great question|"
    r"it['’]?s important to note|it is important to note|in today['’]s fast-paced|delve into|needless to say|"
    r"at the end of the day|certainly!|of course!|lorem ipsum|\[insert|"
    r"as of my last (?:update|training|knowledge)",
    re.IGNORECASE,
)
_ENDED = re.compile(r"[.!?…:|\])}\"'”’*`]\s*$")
_FINISHED = ("stop", "end_turn", "stop_sequence", "eos", None)


class QualityReport(Protocol):
    """What the check of a text's claims found."""

    @property
    def share(self) -> float:
        """The share of claims that hold."""


@dataclass(frozen=True, slots=True)
class Quality:
    """A score from 0 to 1, and the parts it is the product of."""

    score: float
    parts: Mapping[str, float]


def assess(
    text: str,
    *,
    sections: Sequence[str] = (),
    report: QualityReport | None = None,
    finish_reason: str | None = None,
) -> Quality:
    """Return how good the text is, and why.

    >>> assess("The price rose 3 % on strong demand, and the risk is small.").score
    1.0

    Args:
        sections: words that each must stand as a heading, or before a colon, in any letter case.
        report: what the check of its claims found, where there were facts to check against.
        finish_reason: the provider's own, as in a ``Reply``.
    """
    complete = _complete(text[-READ:], finish_reason)
    text = text[:READ]
    words = re.findall(r"[a-z]+(?:['’][a-z]+)?", text.lower())
    parts = {
        "says": _says(words),
        "answers": 0.1 if _REFUSAL.match(text) else 1.0,
        "complete": complete,
        "varied": _varied(text, words),
        "plain": max(0.4, 1 - 0.15 * len(_STOCK.findall(text))),
        "sections": _present(text, sections),
        "grounded": report.share if report else 1.0,
    }
    return Quality(round(prod(parts.values()), 4), MappingProxyType(parts))


def _says(words: Sequence[str]) -> float:
    if not words:
        return 0.0
    known = sum(bool({word, word.removesuffix("s")} & _COMMON or _FORMED.search(word)) for word in words)
    share = known / len(words)
    # Squared: Latin and noise have a few of the words by chance.
    return min(1.0, share / _ENOUGH) ** 2 * min(1.0, len(words) / _SHORT)


def _complete(text: str, finish_reason: str | None) -> float:
    return (1.0 if finish_reason in _FINISHED else 0.5) * (1.0 if _ENDED.search(text) else 0.7)


def _varied(text: str, words: Sequence[str]) -> float:
    sentences = [part.strip().lower() for part in re.split(r"[.!?\n]+", text) if len(part.split()) > 2]
    runs = [tuple(words[n : n + 4]) for n in range(len(words) - 3)]
    return _distinct(sentences) * _distinct(runs)


def _distinct(items: Iterable[object]) -> float:
    listed = list(items)
    return len(set(listed)) / len(listed) if listed else 1.0


def _present(text: str, sections: Sequence[str]) -> float:
    found = [
        re.search(
            rf"^[ \t#*\d.)-]*{re.escape(name)}\b[^\n.]{{0,20}}?(?::|\**\s*$)",
            text,
            re.IGNORECASE | re.MULTILINE,
        )
        for name in sections
    ]
    return sum(match is not None for match in found) / len(sections) if sections else 1.0
