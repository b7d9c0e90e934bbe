"""The rationale: a model's words if they hold, else the deterministic ones, and why it is these."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from supernova_ai.advisor import slots
from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.explain import explain, risk_notes
from supernova_ai.advisor.facts import table
from supernova_ai.advisor.greeks import is_greek
from supernova_ai.advisor.grounding import LONGEST, GroundingReport, check
from supernova_ai.advisor.grounding.clauses import clause, unwrapped
from supernova_ai.advisor.grounding.stance import action_claims
from supernova_ai.analysis.quality import Quality, assess
from supernova_ai.characters import CONTROLS, INVISIBLE
from supernova_ai.config import AdviceRules
from supernova_ai.errors import SupernovaError
from supernova_ai.types import Reply

RationaleSource = Literal["model", "repaired", "deterministic"]
"""Whose words they are: a model's, a model's after one correction, or nobody's."""

Ask = Callable[[Mapping[str, Any], Decimal | None], Awaitable[Reply]]
"""Sends the advice prompt with these variables, for at most so many USD."""

_GOOD = 0.6
"""The quality below which a text is none: cut off, say, or a refusal under the right headings."""

_SUMMARY = "Summary"
"""The section that says what to do."""

_SHOWN = 3  # faults that ``why`` names

_PROMISE = re.compile(
    r"\bguarantee[ds]?\b|\b(?:cannot|can['’]t) (?:lose|fail)\b|\brisk-free\b(?! rate)"
    r"|\bwithout (?:any )?risk\b|\b(?:no|zero) risk\b(?!-)|\b(?:certain|sure|bound) to\b"
    r"|\b(?:definitely|surely|undoubtedly)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\b(?:not|none|neither|nor|never|nothing|nobody|cannot|without|no)\b|n['’]t\b)"
    r"(?:(?!\b(?:and|only|(?:un)?doubt\w*|den(?:y|ied)|questions?|stops?|prevents?|miss|regret)\b).)*$",
    re.IGNORECASE | re.DOTALL,
)
"""What stands in its clause before a word that is no promise: "neither signal guarantees a rise"."""

_FORBIDDEN = {
    r"\w://|\bwww\.|</?[a-z]|\]\(|!\[": "a link or markup has no place in it",
    f"[{CONTROLS}{INVISIBLE}]": "a control character has no place in it",
}


@dataclass(frozen=True, slots=True)
class CheckedText:
    """A model's text, read: what is shown of it, its claims, and its faults; none where it will do."""

    text: str
    report: GroundingReport
    quality: Quality
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rationale:
    """The text to show. ``why`` says what kept a model's words from it; ``written`` are those, as they came.

    ``replies`` are the answers that came, shown or not; ``failed`` the ids of requests that got none.
    """

    text: str
    source: RationaleSource
    why: str
    report: GroundingReport
    quality: Quality
    written: str | None = None
    replies: tuple[Reply, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def requests(self) -> tuple[str, ...]:
        """The ids of all that was asked, in order."""
        return (*(reply.request_id for reply in self.replies), *self.failed)


async def write(
    found: Assessment,
    ask: Ask,
    *,
    rules: AdviceRules,
    sections: Sequence[str],
    news: str | None = None,
    max_cost: Decimal | None = None,
) -> Rationale:
    """Return a model's rationale if it holds, at once or after one correction; else the deterministic one.

    Nothing that keeps a model from answering is raised: it is ``why``.

    Args:
        rules: whether a model writes figures or refers to facts, and what is overbought.
        sections: the headings that a model's text must have.
        news: what the client read; a model is given it as data.
        max_cost: USD, for both requests together.
    """
    greeks = [fact for fact in found.facts if is_greek(fact)]
    values: dict[str, Any] = {
        "symbol": found.symbol,
        "action": found.action,
        "confidence": found.confidence,
        "risk_language": risk_notes(found)[0],
        "facts": table(fact for fact in found.facts if not is_greek(fact)),
        "greeks": table(greeks) if greeks else None,
        "mode": rules.mode,
        "news": news,
    }
    replies: list[Reply] = []
    why = ""
    for source in ("model", "repaired"):
        left = None if max_cost is None else max_cost - sum((reply.cost for reply in replies), Decimal(0))
        if left is not None and left <= 0:
            return deterministic(found, rules, f"{why}; max_cost leaves nothing to correct it", replies)
        try:
            reply = await ask(values, left)
        except (SupernovaError, ImportError) as error:
            before = f"{why}; its correction failed: " if replies else ""
            request = getattr(error, "request_id", None)
            return deterministic(
                found, rules, f"{before}{_told(error)}", replies, (request,) if request else ()
            )
        replies.append(reply)
        if reply.refusal and not reply.content:  # to ask for a correction would cost the same refusal again
            return deterministic(found, rules, f"the model refused: {reply.refusal}", replies)
        draft = examine(reply.content, found, rules, sections, reply.finish_reason)
        if not draft.faults:
            return Rationale(
                draft.text, source, "", draft.report, draft.quality, reply.content, tuple(replies)
            )
        why = f"the model's text does not hold: {_listed(draft.faults)}"
        values |= {
            "draft": reply.content if reply.content.strip() else None,
            "violations": list(draft.faults),
        }
    return deterministic(found, rules, f"{why}, after one correction", replies)


def deterministic(
    found: Assessment,
    rules: AdviceRules,
    why: str,
    replies: Sequence[Reply] = (),
    failed: tuple[str, ...] = (),
) -> Rationale:
    """Return the rationale without a model, and why it is this one."""
    text = explain(found)
    report = check(text, found.facts, **beside(found, rules))
    return Rationale(
        text, "deterministic", why, report, assess(text, report=report), None, tuple(replies), failed
    )


def examine(
    written: str,
    found: Assessment,
    rules: AdviceRules,
    sections: Sequence[str],
    finish_reason: str | None = None,
) -> CheckedText:
    """Read a model's text: its sections, its claims, and whether it can be shown.

    Of a text that is longer than ``LONGEST`` only the beginning is read, and it cannot be shown.
    """
    length, written = len(written), written[:LONGEST]
    parts = split(written, sections)
    missing = [name for name in sections if not parts.get(name)]
    # Nothing before the first heading is shown: there stands "Sure, here is …".
    whole = sections and not missing
    text = "\n\n".join(f"## {name}\n{parts[name]}" for name in sections) if whole else written.strip()
    in_slots = rules.mode == "slots"
    report = (slots.check if in_slots else check)(text, found.facts, **beside(found, rules))
    if in_slots and report.grounded:
        text = slots.fill(text, found.facts)
    quality = assess(text, report=report, finish_reason=finish_reason)
    faults = [f"the section {name!r} is missing or empty" for name in missing]
    if length > LONGEST:
        faults.append(f"it has {length:,} characters: at most {LONGEST:,} are read, so shorten it")
    if parts.get(_SUMMARY) and not _tells(parts[_SUMMARY], found):
        faults.append(f"the section {_SUMMARY!r} does not tell the client to {found.action}")
    faults += report.describe().splitlines()
    faults += _forbidden(unwrapped(text))
    if not faults and quality.score < _GOOD:
        weak = ", ".join(name for name, part in quality.parts.items() if part < 1)
        faults.append(f"its quality is {quality.score:.2f} (weak: {weak})")
    return CheckedText(text, report, quality, tuple(fault.removeprefix("- ") for fault in faults))


def split(text: str, sections: Sequence[str]) -> dict[str, str]:
    """Return the text below each heading, by the heading's name; a heading may be marked in any usual way.

    >>> split("**Summary:** Buy.\\n## 2. RISK\\nHigh.", ["Summary", "Risk"])
    {'Summary': 'Buy.', 'Risk': 'High.'}
    """
    if not sections:
        return {}
    names = "|".join(map(re.escape, sections))
    heading = rf"^[ \t]*(?:#+[ \t]*)?(?:\d[.)][ \t]*)?[*_]*({names})[*_]*[ \t]*(?::[*_]*|$)"
    _, *pieces = re.split(heading, text, flags=re.IGNORECASE | re.MULTILINE)
    by_name = {name.lower(): name for name in sections}
    parts: dict[str, str] = {}
    for found, body in zip(pieces[::2], pieces[1::2], strict=True):
        name = by_name[found.lower()]
        parts[name] = f"{parts.get(name, '')}\n\n{body.strip()}".strip()
    return parts


def _tells(summary: str, found: Assessment) -> bool:
    summary = re.sub(r"\{\{\s*symbol\s*\}\}", found.symbol, unwrapped(summary))
    return any(claim.verdict == "grounded" for claim in action_claims(summary, found.action, found.symbol))


def beside(found: Assessment, rules: AdviceRules) -> dict[str, Any]:
    """Return what a check knows beside the facts; directions by the words that a text has for them."""
    values: dict[str, Any] = {signal.name: signal.value for signal in found.signals}
    values |= {fact.id: fact.value for fact in found.facts if fact.id == "sentiment_hint"}
    words = {"trend": "ma_cross", "momentum": "momentum"}
    words |= dict.fromkeys(("news", "sentiment", "hint"), "sentiment_hint")
    return {
        "symbol": found.symbol,
        "action": found.action,
        "directions": {word: values[name] for word, name in words.items() if name in values},
        "rsi": rules.rsi[found.asset_class],
    }


def _forbidden(text: str) -> Iterator[str]:
    for match in _PROMISE.finditer(text):
        if not _DENIED.search(text, clause(text, match.start()).start, match.start()):
            yield f'"{match[0]}": it promises what nobody can'
    for pattern, reason in _FORBIDDEN.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield f'"{match[0]}": {reason}'


def _listed(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return "; ".join(faults[:_SHOWN]) + more


def _told(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"LiteLLM cannot be imported: {error}"
    return f"{type(error).__name__}: {error}"
