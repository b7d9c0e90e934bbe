"""How complex a question is, estimated from its text in about 0.1 ms, without a model or the network.

The same text has the same estimate. Four properties give points; docs/quality.md has the same table:

    length    over 20 words 1, over 60 words 2, over 250 words 3, over 1,000 words 5
    asking    two or three questions or numbered steps 1, four or more 2
    figures   four or more 1, ten or more 2, a table 1 more
    words     work (compare, hedge, tax …) 3 for the first and 1 for each other, at most 5;
              judgement (why, should, risk …) 2, or 3 if there are several; several documents 2

Four points or more are complex. Fewer than 2 are simple if the text asks for a fact or a small service
(what is, when, show, convert, thanks …). Everything else is moderate, so that an unfamiliar question, or one
in another language, does not go to the weakest model. No estimate is critical: only the caller knows what a
cheaper model must not answer.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from supernova_ai.types import Complexity, Tier

TIER_OF: dict[Complexity, Tier] = {
    "simple": "economy",
    "moderate": "standard",
    "complex": "premium",
    "critical": "premium",
}
"""The tier for each complexity; ``auto`` is estimated first."""

MAX_CHARACTERS = 20_000
"""Characters that are read; a longer text is complex by its length."""

_WORDS = re.compile(r"\S+")
_STEPS = re.compile(r"^[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t]", re.MULTILINE)
_FIGURES = re.compile(r"(?<![\w.,])[-+]?[$€£]?\d[\d.,]*(?:%|[kKmMbB]n?\b)?")
_TABLE = re.compile(r"^[^|\t\n]*[|\t][^|\t\n]*[|\t]", re.MULTILINE)
_DOCUMENTS = re.compile(
    r"\b(?:(?:two|three|four|both|these|all|several|attached) (?:[\w-]+ )?"
    r"(?:reports?|filings?|documents?|statements?|prospectus(?:es)?|contracts?|transcripts?))\b",
    re.IGNORECASE,
)
_WORK = re.compile(
    r"\b(10-[kq]\b|annuit|arbitrag|attribut|back-?test|butterfl|calculat|calibrat|collar|compar|construct|"
    r"convexit|correlat|covarianc|covered call|deriv|design|discounted cash|divorc|draw-?down|duration|"
    r"estate|factor (?:model|exposure)|fair value|forecast|greeks|harvest|hedg|if the curve|immuni[sz]|"
    r"inherit|left me|leverag|liabilit|liquidity gap|margin call|maximi[sz]|minimi[sz]|model(?=\s|l)|"
    r"monte carlo|mortgage|optimal|optimi[sz]|overlay|pay-?off|pension|plan\b|prove|rebalanc|reconcil|"
    r"restructur|retire|roll-?over|scenario|sensitivit|sharpe|simulat|straddle|stress|structur|swap|tax|"
    r"trade-?off|trust\b|valuation|value at risk|var\b|versus|volatilit|vs\b|wash sale|what each|withdraw|"
    r"work out)\w*",
    re.IGNORECASE,
)
_LOOKUP = re.compile(
    r"\W*(?:please |can you |could you )?(?:convert|define|definition|find|give me the|good (?:morning|"
    r"day|evening)|goodbye|has|have|hello|hey|hi\b|how (?:many|much|old)|is|list|look up|okay|show|"
    r"tell me the|thank|translate|what(?:'s|’s)?\b|when|where|which|who|yes|no\b)",
    re.IGNORECASE,
)
_JUDGEMENT = re.compile(
    r"\b(advis|affect|allocat|analy[sz]|assess|better|buy or|cheap|concern|consider|diversif|evaluat|"
    r"expensive|explain|good idea|happens|how (?:do|does|did|can|could|would|will|should)|if (?:i|we|my|"
    r"our|the)\b|impact|implication|interpret|make sense|mean for|outlook|over-?valued|pros and cons|"
    r"recommend|review|risk|safe|should|strateg|suggest|suit|summar|under-?valued|why|worr|worth|would)\w*",
    re.IGNORECASE,
)


class Estimate(NamedTuple):
    """The complexity of a text, its points, and the reasons for them."""

    complexity: Complexity
    points: int
    why: str


def estimate(text: str) -> Estimate:
    """Estimate a question as simple, moderate or complex, with the reasons in a few words.

    The words are English; in other languages only length, questions, figures and tables count.
    """
    text, whole = text[:MAX_CHARACTERS], text
    words = len(_WORDS.findall(text))
    questions, steps = text.count("?"), len(_STEPS.findall(text))
    figures, table = len(_FIGURES.findall(text)), len(_TABLE.findall(text)) > 1
    work, judgement = _found(_WORK, text), _found(_JUDGEMENT, text)
    documents = bool(_DOCUMENTS.search(text))
    points = (
        _points(words, {20: 1, 60: 2, 250: 3, 1000: 5})
        + (5 if whole != text else 0)
        + _points(max(questions, steps), {1: 1, 3: 2})
        + _points(figures, {3: 1, 9: 2})
        + table
        + (min(len(work) + 2, 5) if work else 0)
        + (min(len(judgement) + 1, 3) if judgement else 0)
        + 2 * documents
    )
    reasons = [
        f"{words} words" if words < MAX_CHARACTERS // 10 else "a very long text",
        _count(questions, "question"),
        _count(steps, "step"),
        _count(figures, "figure"),
        "a table" if table else "",
        "several documents" if documents else "",
        ", ".join([*work.values(), *judgement.values()][:3]),
    ]
    plain = points < 2 and _LOOKUP.match(text)
    complexity: Complexity = "complex" if points >= 4 else "simple" if plain else "moderate"
    return Estimate(complexity, points, ", ".join(filter(None, reasons)))


def _found(words: re.Pattern[str], text: str) -> dict[str, str]:
    """Return the first occurrence of each word that is found, by its stem."""
    found: dict[str, str] = {}
    for match in words.finditer(text):
        found.setdefault(match[1].lower(), match[0].lower())
    return found


def _points(count: int, points: dict[int, int]) -> int:
    """Return the points of the highest threshold that the count exceeds."""
    return max((worth for threshold, worth in points.items() if count > threshold), default=0)


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'s' if number > 1 else ''}" if number else ""
