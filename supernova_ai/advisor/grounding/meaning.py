"""Which facts the figures of a text are said of, by what is named around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.clauses import NEAR, compared, sentence
from supernova_ai.advisor.grounding.derive import nature, numeric
from supernova_ai.advisor.grounding.figures import Figure
from supernova_ai.advisor.grounding.mentions import Mention, periods_in, periods_of

_IS = re.compile(
    r"(?:[\s:=(]|\b(?:is|was|are|were|stands?|stood|sits|reads|reading|came|comes|in|has|been|currently|now|at|of|an?|"
    r"about|around|roughly|value|level|near|approximately|the|last|past|over|to|"
    r"(?:rose|fell|climbed|dropped|moved|up|down) to|\d+[ -](?:bars|days|sessions|closes))\b)*",
    re.IGNORECASE,
)
_AND = re.compile(r"\s*(?:,|and|or|&|/|, and)\s*(?:the |its )?", re.IGNORECASE)
_OVER = re.compile(
    r"(?:(?!\band\b)[^,;.()\d]){0,25}\b(?:over|in|during|for|across)\s+(?:the\s+)?(?:(?:last|past|previous|latest)\s+)?",
    re.I,
)
THAN = re.compile(
    r"\b(?:above|below|over|under|beneath|than|from|behind|ahead of)\s+(?:(?:its|the|an?|their)\s+)?$", re.I
)
_BETWEEN = re.compile(
    r"\b(?:gap|difference|distance|spread|margin|cushion|midpoint|sum|mean of|average of)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text with what was read in it, and the facts to hold against it."""

    text: str
    facts: Sequence[Fact]
    mentions: Sequence[Mention]
    figures: Sequence[Figure]

    def meant(self, figure: Figure) -> tuple[Fact, ...]:
        """Return the facts whose name stands right before the figure, or whose period right after it."""
        if listed := self._listed(figure):
            return listed
        part = sentence(self.text, figure.start)
        if "respectively" in self.text[part.start : part.end]:
            return ()
        before = self._before(figure)
        if before and _IS.fullmatch(self.text, before[-1].end, figure.start):
            joined = len(before) > 1 and _AND.fullmatch(self.text, before[-2].end, before[-1].start)
            name = before[-1].start
            operand = self.compares(name) or _BETWEEN.search(self.text, part.start, name)
            if not (joined or operand or compared(self.text, figure.end)):
                return self._narrowed(figure, before[-1])
        if figure.measure == "percent" and (over := _OVER.match(self.text, figure.end)):
            periods = periods_in(self.text[figure.end : over.end() + 24].partition(",")[0])
            return self._changes(periods)
        return ()

    def _listed(self, figure: Figure) -> tuple[Fact, ...]:
        """Return the fact in the figure's place: "the 20- and 50-day averages are $132.28 and $127.99"."""
        before = self._before(figure)
        if (
            not before
            or not before[-1].plural
            or not re.search(r"\d", self.text[before[-1].start : before[-1].end])
        ):
            return ()
        end, facts = before[-1].end, before[-1].facts
        here = [each for each in self.figures if each.start >= end][: len(facts)]
        if figure not in here or len(here) < len(facts) or not _IS.fullmatch(self.text, end, here[0].start):
            return ()
        if not all(_AND.fullmatch(self.text, one.end, other.start) for one, other in pairwise(here)):
            return ()
        return (facts[here.index(figure)],)

    def _narrowed(self, figure: Figure, mention: Mention) -> tuple[Fact, ...]:
        """Return the facts named, of the period that is spoken of between name and figure."""
        between = self.text[mention.end : figure.start]
        periods = periods_in(between)
        if figure.measure == "percent" and (figure.signed or periods) and mention.facts[:1] == self.price():
            return self._changes(periods)
        return tuple(fact for fact in mention.facts if periods & periods_of(fact)) or mention.facts

    def _changes(self, periods: set[tuple[Decimal, str]]) -> tuple[Fact, ...]:
        return tuple(
            fact
            for fact in numeric(self.facts)
            if fact.unit == "percent" and nature(fact) == "change" and periods & periods_of(fact)
        )

    def price(self) -> tuple[Fact, ...]:
        """Return the price itself, which every sentence may be about."""
        return tuple(fact for fact in self.facts if fact.id == "close")

    def subject(self, figure: Figure, start: int = 0) -> tuple[Fact, ...]:
        """Return the facts named last before the figure in its sentence, and not before ``start``."""
        before = [mention for mention in self._before(figure) if mention.start >= start]
        return before[-1].facts if before else ()

    def is_distance(self, figure: Figure) -> bool:
        """Return whether it is said how far something is above or below a fact that is named next."""
        return any(
            compared(self.text, figure.end)
            and re.fullmatch(r"[\w\s-]*", self.text[figure.end : mention.start])
            and THAN.search(self.text, figure.end, mention.start)
            for mention in self.mentions
            if mention.facts and figure.end <= mention.start <= figure.end + 40
        )

    def is_mentioned(self, figure: Figure, fact: Fact) -> bool:
        """Return whether the fact is named in the figure's sentence or the one before."""
        here = sentence(self.text, figure.start)
        start = sentence(self.text, max(0, here.start - 2)).start
        return any(fact in mention.facts for mention in self.mentions if start <= mention.start < here.end)

    def compares(self, at: int) -> bool:
        """Return whether what begins here is compared with: it comes after "above" or "from"."""
        return THAN.search(self.text, max(sentence(self.text, at).start, at - NEAR), at) is not None

    def _before(self, figure: Figure) -> list[Mention]:
        """Return the names that stand before the figure in its sentence."""
        start = sentence(self.text, figure.start).start
        return [
            mention for mention in self.mentions if start <= mention.start and mention.end <= figure.start
        ]
