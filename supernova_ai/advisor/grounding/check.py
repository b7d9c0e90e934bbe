"""Check a text against facts, claim by claim."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from supernova_ai.advisor.currency import CODES
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.clauses import unwrapped
from supernova_ai.advisor.grounding.dates import date_claims
from supernova_ai.advisor.grounding.directions import USUAL_RSI, direction_claims
from supernova_ai.advisor.grounding.figures import figures
from supernova_ai.advisor.grounding.judge import Judge
from supernova_ai.advisor.grounding.labels import label_claims
from supernova_ai.advisor.grounding.meaning import Reading
from supernova_ai.advisor.grounding.mentions import Names
from supernova_ai.advisor.grounding.report import Claim, GroundingReport
from supernova_ai.advisor.grounding.stance import action_claims
from supernova_ai.advisor.grounding.tickers import ticker_claims

_NONE: Mapping[str, float] = MappingProxyType({})
_NOT_FIGURES = re.compile(
    r"(?<!_)(?<!_ )(?<! is )(?<! at )(?<! of )(?<!: )\[\d{1,2}\]"
    r"|\b\d+(?:st|nd|rd|th)\b(?! percentile)|\b(?:from|of|between) (?:0|[-−]1) (?:to|and) 1(?:00)?\b(?!\.\d)"
    r"|(?:\bout|(?<=\d)) of 1(?:00)?\b(?!\.\d)|(?<=\d)/100\b|\b(?:10-[KQ]|8-K|24/7|COVID-19)\b"
    r"|\b(?:(?:[Ff]acts?|[Ss]tep|[Nn]o\.) \(?#?\d{1,2}|[Pp]oint \(?#?\d)\b(?![.,]\d|\s?%)"
    r"|\b[Qq][1-4]\b",
)
"""Ordinals, references and scales: they state nothing."""

_LISTED = re.compile(r"^[ \t>*#-]*\(?(\d{1,2})[.)](?=\s)", re.MULTILINE)


LONGEST = 8_000
"""Characters of a text that are read: some pages, and ten times what the prompts ask for."""

MOST_FIGURES = 200
"""Figures that are checked; each is compared with every fact."""


def check(
    text: str,
    facts: Iterable[Fact],
    *,
    symbol: str | None = None,
    action: str | None = None,
    directions: Mapping[str, float] = _NONE,
    rsi: tuple[float, float] = USUAL_RSI,
) -> GroundingReport:
    """Return every claim of the text, each with the facts it follows from or what is wrong with it.

    What comes after ``LONGEST`` characters or ``MOST_FIGURES`` figures is not read: it is one violation.

    Args:
        symbol: the asset's ticker; every other is a violation.
        action: buy, sell, hold, reduce or avoid; a text that tells the client otherwise is a violation.
        directions: what the signals say, by the name the text would use ("trend"); positive is up.
        rsi: below the first it is oversold, above the second overbought.
    """
    text, rest = text[:LONGEST], text[LONGEST:]
    text, facts = unwrapped(text), tuple(facts)
    names = Names.of(facts)
    mentions = names.mentions(text)
    claims: list[Claim] = [*date_claims(text, facts), *ticker_claims(text, facts, symbol)]
    mentions = [
        m
        for m in mentions
        if not any(c.start < m.end and m.start < c.end for c in claims if c.kind == "date")
    ]
    claims += names.period_claims(text, mentions)
    masked = text
    for claim in claims:
        if claim.kind == "ticker" and claim.text in CODES:
            continue  # beside a figure it is what that is counted in
        masked = _masked(masked, claim.start, claim.end, " ")
    for mention in mentions:
        masked = _masked(masked, mention.start, mention.end, "_")
    for match in (*_list_numbers(masked), *_NOT_FIGURES.finditer(masked)):
        masked = _masked(masked, *match.span(), " ")
    claims += _odd(text)
    claims += label_claims(text, facts)
    found = figures(masked, next((fact.currency for fact in facts if fact.unit == "price"), "USD"))
    if rest:
        claims.append(_unread(text + rest, LONGEST, f"{LONGEST:,} characters"))
    if len(found) > MOST_FIGURES:
        claims.append(_unread(text, found[MOST_FIGURES].start, f"{MOST_FIGURES} figures"))
    found = found[:MOST_FIGURES]
    judge = Judge(Reading(text, facts, mentions, found), rsi)
    claims += map(judge.claim, found)
    claims += direction_claims(text, facts, mentions, found, directions, rsi)
    if action:
        claims += action_claims(text, action, symbol)
    return GroundingReport(tuple(sorted(claims, key=lambda claim: (claim.start, claim.end))))


def _unread(text: str, start: int, most: str) -> Claim:
    wrong = f"only {most} are checked, and the text continues here: shorten it"
    begun = text[start : start + 40]
    return Claim(begun, start, start + len(begun), "rest", "unsupported", wrong)


def _masked(text: str, start: int, end: int, mark: str) -> str:
    return text[:start] + mark * (end - start) + text[end:]


def _list_numbers(text: str) -> Iterator[re.Match[str]]:
    """Yield each number that begins a line and comes after one before: "25." alone ends a sentence."""
    seen = {0}
    for match in _LISTED.finditer(text):
        if int(match[1]) - 1 in seen:
            seen.add(int(match[1]))
            yield match


def _odd(text: str) -> Iterator[Claim]:
    """Yield a violation for each digit of another script: ½, ³, ①. They would be read as nothing."""
    for at, character in enumerate(text):
        if unicodedata.category(character) == "No":
            yield Claim(character, at, at + 1, "figure", "unsupported", "write figures in plain digits")
