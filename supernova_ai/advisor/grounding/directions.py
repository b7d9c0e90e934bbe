"""Read the directions that a text states without a figure: rising, overbought, above its average."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from supernova_ai.advisor.facts import Fact, format_fact
from supernova_ai.advisor.grounding.clauses import Span, clause
from supernova_ai.advisor.grounding.derive import nature, numeric, values
from supernova_ai.advisor.grounding.figures import Figure
from supernova_ai.advisor.grounding.mentions import Mention, periods_in, periods_of
from supernova_ai.advisor.grounding.report import Claim

USUAL_RSI = (30.0, 70.0)
"""Below the first an asset is called oversold, above the second overbought."""

_THAN = re.compile(
    r"\b(?:(?P<up>above|higher than|exceeds?|exceeding|ahead of)"
    r"|(?P<down>below|under|beneath|lower than|behind))"
    r"\s+(?:(?:both|all|of|its|the|their|an?|two|three|moving|key)\s+)*$",
    re.IGNORECASE,
)
_VOLUME = re.compile(
    r"(?<!balance )\bvolume\b(?:\s+(?!not\b)\w+){0,4}\s+"
    r"(?:(?P<up>above|higher than)|(?P<down>below|lower than))"
    r"\s+(?:(?:its|the|an?)\s+)?(?:\d+-\w+\s+)?(?:average|mean|usual|normal)\b",
    re.IGNORECASE,
)
"""The last volume has no mean among the facts to be compared with, but its ratio to it."""

_EXTREME = re.compile(
    r"\b(?:(?P<up>overbought)|(?P<down>oversold))\b(?! (?:threshold|level|line|mark))", re.IGNORECASE
)
_IS = r"(?:is|are|was|were|trending|remains?|turned|pointing)(?: still)?"
_MOTION = re.compile(
    r"\b(?:(?P<up>rose|rising|risen|climb(?:ed|ing|s)|gain(?:ed|ing)|rall(?:ied|ying)|surg(?:ed|ing)|"
    rf"advanc(?:ed|ing)|uptrend|bullish|upwards?|{_IS} (?:up|positive|higher(?! than)))"
    r"|(?P<down>fell|falling|fallen|declin(?:ed|ing)|dropp(?:ed|ing)|slid|sliding|tumbl(?:ed|ing)|"
    rf"plung(?:ed|ing)|downtrend|bearish|downwards?|{_IS} (?:down|negative|lower(?! than))))\b",
    re.IGNORECASE,
)
_TOLD_BY = {
    "uptrend": ("trend",),
    "downtrend": ("trend",),
    "bullish": ("trend", "momentum"),
    "bearish": ("trend", "momentum"),
}
"""The directions that these words are about: one small fall among gains is no downtrend."""

_NEGATED = re.compile(
    r"(?:\b(?:not|no(?! doubt| question)|no longer|never|neither|nor|without|hardly)|n['’]t)\b[^,;]{0,24}$",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:if|unless|could|would|may|might|should|once|until|before|whether|near|nearly|approach\w*|close to|"
    r"toward|towards|almost|potential|possible|risk of|any|a break|a move|a close|can)\b",
    re.IGNORECASE,
)


def direction_claims(
    text: str,
    facts: Sequence[Fact],
    mentions: Sequence[Mention],
    figures: Sequence[Figure],
    directions: Mapping[str, float],
    rsi: tuple[float, float],
) -> Iterator[Claim]:
    """Yield a claim for each stated direction; one that is conditional or only near is none.

    ``directions`` are by what the text calls them ("trend", "momentum"), positive for up.
    """
    for mention in mentions:
        part = clause(text, mention.start)
        match = _THAN.search(text, part.start, mention.start)
        if match and mention.facts and not _UNSURE.search(text, part.start, match.start()):
            yield from _comparison(text, match, mention, mentions, facts)
    ratios = [values(fact)[0] - 1 for fact in numeric(facts) if fact.id == "volume_ratio"]
    for match in _VOLUME.finditer(text) if ratios else ():
        part = clause(text, match.start())
        if not _UNSURE.search(text, part.start, match.start()):
            stated = 1 if match["up"] else -1
            yield _claim(text, match, part.start, _signs(ratios), stated, "the volume ratio")
    for match in _EXTREME.finditer(text):
        part = clause(text, match.start())
        indices = [values(fact)[0] for fact in numeric(facts) if fact.id.startswith("rsi")]
        so = [value > rsi[1] if match["up"] else value < rsi[0] for value in indices]
        if not _UNSURE.search(text, part.start, match.start()):
            yield _claim(text, match, part.start, [1 if extreme else -1 for extreme in so], 1, "the RSI")
    for match in _MOTION.finditer(text):
        part = clause(text, match.start())
        if _UNSURE.search(text, part.start, match.start()) or _has_figure(match, part, figures):
            continue
        signs, source = _evidence(text, match, facts, mentions, directions)
        yield _claim(text, match, part.start, signs, 1 if match["up"] else -1, source)


def _claim(
    text: str, match: re.Match[str], start: int, signs: Sequence[int], stated: int, source: str
) -> Claim:
    """Judge a direction by what is known of it: one sign that agrees is enough, since facts may differ."""
    if _NEGATED.search(text[start : match.start()]):
        holds = not signs or any(sign != stated for sign in signs)
    else:
        holds = stated in signs
    start, end = match.span()
    if holds:
        return Claim(match[0], start, end, "direction", "grounded", source)
    if signs:
        return Claim(match[0], start, end, "direction", "contradicted", f"contradicted by {source}")
    return Claim(match[0], start, end, "direction", "unsupported", "no fact states this direction")


def _comparison(
    text: str, match: re.Match[str], than: Mention, mentions: Sequence[Mention], facts: Sequence[Fact]
) -> Iterator[Claim]:
    part = clause(text, match.start())
    earlier = [
        mention for mention in mentions if part.start <= mention.start and mention.end <= match.start()
    ]
    seconds = than.facts if than.plural else than.facts[:1]
    named = [fact for mention in reversed(earlier) for fact in mention.facts]
    for second in seconds:
        price = [fact for fact in facts if fact.id == "close" and second.unit == "price"]
        first = next((fact for fact in named + price if fact.unit == second.unit), None)
        if first is None or first is second:
            continue
        source = f"{first.label} is {format_fact(first)} and {second.label} is {format_fact(second)}"
        signs = _signs([values(first)[0] - values(second)[0]])
        claim = _claim(text, match, part.start, signs, 1 if match["up"] else -1, source)
        yield replace(claim, text=text[match.start() : than.end], end=than.end)


def _evidence(
    text: str,
    match: re.Match[str],
    facts: Sequence[Fact],
    mentions: Sequence[Mention],
    directions: Mapping[str, float],
) -> tuple[list[int], str]:
    part = clause(text, match.start())
    changes = [fact for fact in numeric(facts) if nature(fact) == "change"]
    periods = periods_in(text[part.start : part.end])
    of_period = [fact for fact in changes if fact.unit == "percent" and periods & periods_of(fact)]
    for name, direction in directions.items():
        if _is_of(name, text, match, part):
            return _signs([direction]), f"the {name}"
    if of_period:
        return _signs(values(fact)[0] for fact in of_period), " and ".join(
            format_fact(fact) for fact in of_period
        )
    named = [fact for m in mentions if part.start <= m.start <= part.end for fact in m.facts]
    if moved := [fact for fact in named if nature(fact) == "change"]:
        return _signs(values(fact)[0] for fact in moved), " and ".join(fact.id for fact in moved)
    if named and all(fact.id != "close" for fact in named):
        return [], ""
    told = [directions[name] for name in _TOLD_BY.get(match[0].lower(), ()) if name in directions]
    if told:
        return _signs(told), "the signals on the trend"
    moved = [fact for fact in changes if fact.unit == "percent"]
    if moved:
        return _signs(values(fact)[0] for fact in moved), "every change in the facts"
    return _signs(directions.values()), "every signal"


def _is_of(name: str, text: str, match: re.Match[str], part: Span) -> bool:
    """Return whether the word is said of this: "the news is negative", "a bearish trend"."""
    words = re.escape(name)
    before, after = text[part.start : match.start()].replace("_", " "), text[match.end() : part.end]
    said = re.search(rf"\b{words}\b(?:\W+\w+){{0,6}}\W*$", before, re.IGNORECASE)
    return bool(said or re.match(rf"\W+{words}\b", after, re.IGNORECASE))


def _signs(values: Iterable[Decimal | float]) -> list[int]:
    return [(value > 0) - (value < 0) for value in values]


def _has_figure(match: re.Match[str], part: Span, figures: Sequence[Figure]) -> bool:
    """Return whether the word belongs to a percentage, whose sign is checked with it."""
    return any(
        0 <= figure.start - match.end() <= 30 or 0 <= match.start() - figure.end <= 12
        for figure in figures
        if figure.measure in ("percent", "points") and part.start <= figure.start < part.end
    )
