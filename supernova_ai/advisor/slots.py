"""Slots: a text refers to its facts, as ``{{rsi_14}}``, and the values are filled in.

Two braces, because models know them from templates, and single braces occur in JSON and code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from supernova_ai.advisor import grounding
from supernova_ai.advisor.facts import Fact, format_fact
from supernova_ai.advisor.grounding import Claim, GroundingReport, Verdict
from supernova_ai.errors import InvalidRequest

_SLOT = re.compile(r"(?P<sign>[-+−])?(?P<money>\$)?\{\{\s*(?P<id>\w+)\s*\}\}(?P<percent>\s*%)?")
_LITERALS = ("figure", "percent", "points", "ratio", "date")


def fill_slots(text: str, facts: Iterable[Fact]) -> str:
    """Return the text with the value of its fact in each slot.

    A sign or unit next to a slot is left out if the value has it already.

    Raises:
        InvalidRequest: a slot names an unknown fact; the message lists the known ones.
    """
    facts = tuple(facts)
    filled, slots = _fill(text, facts)
    if unknown := sorted({slot.text for slot in slots if slot.verdict != "grounded"}):
        known = ", ".join(fact.id for fact in facts) or "none"
        raise InvalidRequest(
            f"the text refers to {', '.join(unknown)}, which is not a fact; the facts are: {known}"
        )
    return filled


def check_slots(text: str, facts: Iterable[Fact], **context: Any) -> GroundingReport:
    """Check the filled text as ``grounding.check`` does; a figure or date outside a slot is a violation too.

    The positions of the claims are those in the filled text.

    Args:
        **context: the options of ``grounding.check``.
    """
    facts = tuple(facts)
    filled, slots = _fill(text, facts)
    report = grounding.check(filled, facts, **context)
    unknown = [slot for slot in slots if slot.verdict != "grounded"]
    claims = [_refuse_literal(claim, slots) for claim in report.claims if not _overlaps(claim, unknown)]
    unclaimed = [slot for slot in slots if not _overlaps(slot, claims)]
    return GroundingReport(tuple(sorted((*claims, *unclaimed), key=lambda claim: (claim.start, claim.end))))


def _fill(text: str, facts: Sequence[Fact]) -> tuple[str, list[Claim]]:
    """Return the filled text, and a claim for each slot, at its position there."""
    by_id = {fact.id: fact for fact in facts}
    pieces: list[str] = []
    slots: list[Claim] = []
    length = end = 0  # of the filled text, and of what was read
    for match in _SLOT.finditer(text):
        fact = by_id.get(match["id"])
        before = text[end : match.start()]
        piece = match[0] if fact is None else _slot_text(match, format_fact(fact), fact)
        start = length + len(before)
        length, end = start + len(piece), match.end()
        pieces += (before, piece)
        verdict: Verdict = "grounded" if fact else "unsupported"
        source = fact.source if fact else "no fact has this id"
        slots.append(Claim(piece, start, length, "slot", verdict, source))
    return "".join((*pieces, text[end:])), slots


def _slot_text(match: re.Match[str], value: str, fact: Fact) -> str:
    """Return the value with the sign and unit next to its slot, unless the value has them."""
    money = (match["money"] or "") if fact.unit != "price" else ""
    percent = (match["percent"] or "") if fact.unit != "percent" else ""
    sign = match["sign"] or ""
    return f"{'' if value.startswith('-') and sign in '-−' else sign}{money}{value}{percent}"


def _overlaps(claim: Claim, slots: Iterable[Claim]) -> bool:
    return any(claim.start < slot.end and slot.start < claim.end for slot in slots)


def _refuse_literal(claim: Claim, slots: Sequence[Claim]) -> Claim:
    if claim.kind not in _LITERALS or _overlaps(claim, slots):
        return claim
    return replace(
        claim, verdict="unsupported", source="written out: refer to the fact as {{its_id}} instead"
    )
