"""Judge one figure of a text by the facts: where it comes from, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from supernova_ai.advisor.facts import Fact, format_fact
from supernova_ai.advisor.grounding.clauses import (
    NEAR,
    Span,
    clause,
    leans_down,
    sentence,
    stands,
    stated_sign,
)
from supernova_ai.advisor.grounding.derive import Value, agrees, derived, direct, nature, numeric, values
from supernova_ai.advisor.grounding.figures import Figure, Measure
from supernova_ai.advisor.grounding.meaning import Reading
from supernova_ai.advisor.grounding.mentions import periods_in, periods_of
from supernova_ai.advisor.grounding.report import Claim, Kind, Verdict

_KINDS: dict[Measure, Kind] = {"percent": "percent", "points": "points", "times": "ratio"}
_HEDGE = re.compile(
    r"(?:\b(?:about|around|roughly|approximately|approx\.?|nearly|almost|some|close to|near|over|more than|"
    r"less than|under|(?:just|a little) (?:over|under|above|below))\s+(?:an?\s+)?|[~≈]\s?)$",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"(?:\b(?:(?P<up>above|over|more than|at least|exceed\w*|greater than|higher than)|"
    r"(?P<down>below|under|less than|at most|lower than))\s+(?:the\s+)?"
    r"(?:[\w-]+ (?:level|threshold|mark|line) of )?|"
    r"(?P<more>[>≥])\s?|(?P<fewer>[<≤])\s?)$",
    re.IGNORECASE,
)

_IF = re.compile(
    r"\b(?:if|when|once|until|unless|would|could|may|might|should|counts?|means?|signals?)\b", re.I
)

_MAY = re.compile(r"\b(?:may|might|can|could|would|ordinary|typical|usual)\b", re.I)
"""What makes a rise or fall one that is possible, and may be the size of an ordinary one."""

_MANY = 20
"""Figures in a sentence beyond which it is a list, from which nothing is derived."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What a reading's figures are worth, by its facts."""

    read: Reading
    rsi: tuple[float, float]

    def claim(self, figure: Figure) -> Claim:
        """Return the figure as a judged claim."""
        verdict, source = self._verdict(figure)
        kind = _KINDS.get(figure.measure, "figure")
        return Claim(
            self.read.text[figure.start : figure.end], figure.start, figure.end, kind, verdict, source
        )

    def _verdict(self, figure: Figure) -> tuple[Verdict, str]:
        percent = figure.measure in ("percent", "points")
        sign = stated_sign(self.read.text, figure.start, figure.end, percent=percent)
        if percent and figure.signed and sign * figure.value < 0:
            return "contradicted", "the sign and the words next to it disagree"
        found = [] if self.read.is_distance(figure) else self._direct(figure, sign)
        meant = self.read.meant(figure)
        of_meant: list[Value] = []
        if (bound := self._bound(figure, meant or self._of_clause(figure))) and bound[0] == "contradicted":
            return bound
        if meant:
            of_meant = [value for value in found if set(value.facts) & set(meant)]
            if not of_meant and (found or any(direct(figure, meant))):
                if bound := self._bound(figure, meant):
                    return bound
                return "contradicted", "; ".join(f"{fact.label} is {format_fact(fact)}" for fact in meant)
        if found and not of_meant and (period := self._of_other_period(figure, found)):
            return "contradicted", period
        if named := [value for value in found if value in of_meant or self._is_named(figure, value.facts[0])]:
            return "grounded", named[0].words
        level = self._level(figure)
        supposed = level if self._supposes(figure) else None
        bound = supposed or self._bound(figure, self.read.subject(figure))
        if other := bound or self._derived(figure, sign) or level:
            return other
        if found:
            return (
                "unsupported",
                f"only {found[0].facts[0].label} has this value; the text does not name it",
            )
        return self._wrong(figure)

    def _of_clause(self, figure: Figure) -> tuple[Fact, ...]:
        """Return what the figure's clause is about, unless it speaks of what would be."""
        part = clause(self.read.text, figure.start)
        return () if self._supposes(figure) else self.read.subject(figure, part.start)

    def _supposes(self, figure: Figure) -> bool:
        return self._says(_IF, figure, clause(self.read.text, figure.start))

    def _says(self, words: re.Pattern[str], figure: Figure, part: Span) -> bool:
        """Return whether this part says one of the words near the figure."""
        start, end = max(part.start, figure.start - NEAR), min(part.end, figure.end + NEAR)
        return words.search(self.read.text, start, end) is not None

    def _level(self, figure: Figure) -> tuple[Verdict, str] | None:
        """Find it grounded if it is where the rules have it overbought or oversold, and the text says so."""
        part = sentence(self.read.text, figure.start)
        text = self.read.text[part.start : part.end].lower()
        known = any(fact.id.startswith("rsi") for m in self.read.mentions for fact in m.facts)
        for word, level in zip(("oversold", "overbought"), self.rsi, strict=True):
            if known and word in text and figure.measure == "plain" and figure.value == level:
                return "grounded", f"the {word} level of the rules"
        return None

    def _direct(self, figure: Figure, sign: int) -> list[Value]:
        hedged = self._hedged(figure)
        may = self._says(_MAY, figure, sentence(self.read.text, figure.start))
        down = sign == 0 and not figure.signed and leans_down(self.read.text, figure.start)
        found = []
        for value in direct(figure, self.read.facts):
            kind = nature(value.facts[0])
            still = (kind == "size" and may) or (kind == "level" and stands(self.read.text, figure.end))
            stated = 0 if still else sign
            if _same(figure, value.number, kind, stated, down, hedged):
                found.append(value)
        return found

    def _is_named(self, figure: Figure, fact: Fact) -> bool:
        """Return whether the fact is named in this sentence or the last, or speaks for itself as prices do.

        An index, a ratio or a rate is not told from an invented one by its number alone.
        """
        telling = fact.unit == "price" or (fact.unit == "percent" and nature(fact) in ("change", "depth"))
        return telling or abs(values(fact)[0]) >= 1000 or self.read.is_mentioned(figure, fact)

    def _hedged(self, figure: Figure) -> bool:
        return _HEDGE.search(self.read.text, max(0, figure.start - 30), figure.start) is not None

    def _of_other_period(self, figure: Figure, found: Sequence[Value]) -> str | None:
        """Return what is wrong where the sentence speaks of one period and the change is that of another."""
        part = sentence(self.read.text, figure.start)
        others = [other.end for other in self.read.figures if part.start <= other.start < figure.start]
        start = max(clause(self.read.text, figure.start).start, *others) if others else part.start
        periods = periods_in(self.read.text[start : figure.start])
        known = [
            fact for fact in numeric(self.read.facts) if fact.unit == "percent" and nature(fact) == "change"
        ]
        meant = [fact for fact in known if periods & periods_of(fact)]
        facts = {
            value.facts[0]
            for value in found
            if value.facts[0] in known or self.read.is_mentioned(figure, value.facts[0])
        }
        if figure.measure != "percent" or not meant or not facts <= set(known) or facts & set(meant):
            return None
        return "; ".join(f"{fact.label} is {format_fact(fact)}" for fact in meant)

    def _bound(self, figure: Figure, subject: Sequence[Fact]) -> tuple[Verdict, str] | None:
        """Judge "above 70" by the fact it is said of; of a price or a percentage only if it is near."""
        match = _BOUND.search(self.read.text, max(0, figure.start - 50), figure.start)
        if match is None:
            return None
        for value in direct(figure, subject):
            fact, number = value.facts[0], value.number
            if nature(fact) == "change" and fact.unit == "percent":
                number = abs(number)
            beyond = number - figure.value if match["up"] or match["more"] else figure.value - number
            if beyond < 0:
                return "contradicted", f"{fact.label} is {format_fact(fact)}"
            if fact.unit == "count" or beyond <= max(abs(number) / 20, figure.step):
                return "grounded", f"{fact.id} is {format_fact(fact)}"
        return None

    def _is_near(self, figure: Figure, number: Decimal) -> bool:
        """Return whether it says "less than 2 %" of what is less by under one unit of its last place."""
        match = _BOUND.search(self.read.text, max(0, figure.start - 50), figure.start)
        if match is None:
            return False
        beyond = number - abs(figure.value) if match["up"] or match["more"] else abs(figure.value) - number
        return 0 <= beyond < figure.step

    def _derived(self, figure: Figure, sign: int) -> tuple[Verdict, str] | None:
        part = sentence(self.read.text, figure.start)
        text = self.read.text[part.start : part.end]
        named = [fact for m in self.read.mentions if part.start <= m.start < part.end for fact in m.facts]
        stated = [other for other in self.read.figures if part.start <= other.start < part.end]
        if len(stated) > _MANY:
            return None
        for other in stated:
            if other is not figure:
                named += [value.facts[0] for value in self._direct(other, 0)]
        named = list(dict.fromkeys(named))
        than = self._than(part.start, part.end)
        opposite: Value | None = None
        for value in derived(figure, named, self.read.price(), text, exact=not than):
            if len(value.facts) == 2 and than and value.facts[0] in than and value.facts[1] not in than:
                continue
            same = _same(figure, value.number, "change", sign, sign == 0, self._hedged(figure))
            if same or self._is_near(figure, abs(value.number)):
                return "grounded", value.words
            if sign and _same(figure, value.number, "change", -sign, False, False):
                opposite = value
        return ("contradicted", f"{opposite.words} has the other sign") if opposite else None

    def _than(self, start: int, end: int) -> set[Fact]:
        """Return the facts that the sentence compares with: what comes after "above" or "from"."""
        named = [m for m in self.read.mentions if start <= m.start < end and self.read.compares(m.start)]
        stated = [f for f in self.read.figures if start <= f.start < end and self.read.compares(f.start)]
        return {fact for mention in named for fact in mention.facts} | {
            value.facts[0] for figure in stated for value in self._direct(figure, 0)
        }

    def _wrong(self, figure: Figure) -> tuple[Verdict, str]:
        for fact in numeric(self.read.facts):
            for number in values(fact):
                if figure.digits > 1 and agrees(figure, number, hedged=False):
                    return (
                        "contradicted",
                        f"{fact.label} is {format_fact(fact)}: the sign or the unit differs",
                    )
                if figure.digits > 1 and agrees(figure, -number, hedged=False):
                    return "contradicted", f"{fact.label} is {format_fact(fact)}: the sign differs"
        return "unsupported", "no fact and no difference, ratio, change, sum or mean of facts has this value"


def _same(figure: Figure, number: Decimal, nature: str, sign: int, down: bool, hedged: bool) -> bool:
    if nature == "depth":
        return sign <= 0 and agrees(replace(figure, value=abs(figure.value)), abs(number), hedged)
    if sign and nature in ("level", "size"):
        return False  # a volatility of 18 % is no gain of 18 %
    if figure.signed:
        return agrees(figure, number, hedged)
    if sign:
        return agrees(replace(figure, value=sign * figure.value), number, hedged)
    return agrees(figure, number, hedged) or (down and agrees(figure, -number, hedged))
