"""Text whose figures are references to facts, ``{{rsi_14}}``, so that none of them can be wrong.

The form is two braces, with spaces or without: it is the one that models know from templates, and a single
brace stands in JSON and code too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from supernova_ai.advisor import grounding
from supernova_ai.advisor.facts import Fact, show
from supernova_ai.advisor.grounding import Claim, GroundingReport, Verdict
from supernova_ai.errors import InvalidRequest

_SLOT = re.compile(r"(?P<sign>[-+−])?(?P<money>\$)?\{\{\s*(?P<id>\w+)\s*\}\}(?P<percent>\s*%)?")
_LITERALS = ("figure", "percent", "points", "ratio", "date")


def fill(text: str, facts: Iterable[Fact]) -> str:
    """Return the text with each reference replaced by its fact as shown.

    A unit that the text writes beside a reference, which the fact has already, is not written twice.

    Raises:
        InvalidRequest: a reference names no fact; the message lists those there are.
    """
    facts = tuple(facts)
    filled, slots = _fill(text, facts)
    if unknown := sorted({slot.text for slot in slots if slot.verdict != "grounded"}):
        known = ", ".join(fact.id for fact in facts) or "none"
        raise InvalidRequest(
            f"the text refers to {', '.join(unknown)}, which is no fact; the facts are: {known}"
        )
    return filled


def check(text: str, facts: Iterable[Fact], **beside: Any) -> GroundingReport:
    """Return the claims of the filled text; a figure or date outside a slot does not hold, even a true one.

    The arguments are those of ``grounding.check``, which judges what the filled text says: a slot after the
    name of another fact is contradicted too. Places are those in the filled text.
    """
    facts = tuple(facts)
    filled, slots = _fill(text, facts)
    report = grounding.check(filled, facts, **beside)
    unknown = [slot for slot in slots if slot.verdict != "grounded"]
    claims = [_outside(claim, slots) for claim in report.claims if not _in(claim, unknown)]
    covered = [slot for slot in slots if not _in(slot, claims)]
    return GroundingReport(tuple(sorted((*claims, *covered), key=lambda claim: (claim.start, claim.end))))


def _fill(text: str, facts: Sequence[Fact]) -> tuple[str, list[Claim]]:
    """Return the filled text, and a claim for each slot at its place there."""
    by_id = {fact.id: fact for fact in facts}
    pieces: list[str] = []
    slots: list[Claim] = []
    length = end = 0
    for match in _SLOT.finditer(text):
        fact = by_id.get(match["id"])
        before = text[end : match.start()]
        piece = match[0] if fact is None else _written(match, show(fact), fact)
        start = length + len(before)
        length, end = start + len(piece), match.end()
        pieces += (before, piece)
        verdict: Verdict = "grounded" if fact else "unsupported"
        source = fact.source if fact else "no fact has this id"
        slots.append(Claim(piece, start, length, "slot", verdict, source))
    return "".join((*pieces, text[end:])), slots


def _written(match: re.Match[str], shown: str, fact: Fact) -> str:
    """Return the fact as shown, with what stands beside its slot unless the fact says so itself."""
    money = (match["money"] or "") if fact.unit != "price" else ""
    percent = (match["percent"] or "") if fact.unit != "percent" else ""
    sign = match["sign"] or ""
    return f"{'' if shown.startswith('-') and sign in '-−' else sign}{money}{shown}{percent}"


def _in(claim: Claim, slots: Iterable[Claim]) -> bool:
    return any(claim.start < slot.end and slot.start < claim.end for slot in slots)


def _outside(claim: Claim, slots: Sequence[Claim]) -> Claim:
    if claim.kind not in _LITERALS or _in(claim, slots):
        return claim
    return replace(
        claim, verdict="unsupported", source="written out; refer to a fact, as {{its_id}}, instead"
    )
