"""The rationale: a model's text if it passes every check, else the deterministic one, with the reason."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.explain import explain, risk_notes
from supernova_ai.advisor.facts import facts_table
from supernova_ai.advisor.greeks import is_greek
from supernova_ai.advisor.grounding import LONGEST, GroundingReport, check
from supernova_ai.advisor.grounding.clauses import clause, unwrapped
from supernova_ai.advisor.grounding.stance import action_claims
from supernova_ai.advisor.slots import check_slots, fill_slots
from supernova_ai.analysis.quality import Quality, rate_quality
from supernova_ai.characters import CONTROLS, INVISIBLE
from supernova_ai.config import AdviceRules
from supernova_ai.errors import SupernovaError
from supernova_ai.types import Reply

RationaleSource = Literal["model", "repaired", "deterministic"]
"""Source of the text: a model, a model after one correction, or this package."""

AskModel = Callable[[Mapping[str, Any], Decimal | None], Awaitable[Reply]]
"""Sends the advice prompt with these variables; the second argument is the maximum cost in USD."""

_MIN_QUALITY = 0.6
"""Below it a text is cut off, say, or a refusal under the right headings."""

_SUMMARY = "Summary"
"""The section that says what to do."""

_MAX_FAULTS = 3  # in ``why``

_PROMISE = re.compile(
    r"\bguarantee[ds]?\b|\b(?:cannot|can['’]t) (?:lose|fail)\b|\brisk-free\b(?! rate)"
    r"|\bwithout (?:any )?risk\b|\b(?:no|zero) risk\b(?!-)|\b(?:certain|sure|bound) to\b"
    r"|\b(?:definitely|surely|undoubtedly)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"(?:\b(?:not|none|neither|nor|never|nothing|nobody|cannot|without|no)\b|n['’]t\b)"
    r"(?:(?!\b(?:and|only|(?:un)?doubt\w*|den(?:y|ied)|questions?|stops?|prevents?|miss|regret)\b).)*$",
    re.IGNORECASE | re.DOTALL,
)
"""The words before a promise, in its clause, that deny it: "neither signal guarantees a rise"."""

_FORBIDDEN = {
    r"\w://|\bwww\.|</?[a-z]|\]\(|!\[": "links and markup are not allowed",
    f"[{CONTROLS}{INVISIBLE}]": "control characters are not allowed",
}


@dataclass(frozen=True, slots=True)
class CheckedText:
    """A checked text of a model: the part to show, its claims, and its faults; without faults it is shown."""

    text: str
    report: GroundingReport
    quality: Quality
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rationale:
    """The text to show. ``why`` is the reason that no model's text is shown, empty if one is.

    ``written`` is the model's text as received. ``replies`` are all answers, shown or not; ``failed`` are the
    ids of requests without an answer.
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
        """The ids of all requests, in order."""
        return (*(reply.request_id for reply in self.replies), *self.failed)


async def write_rationale(
    assessment: Assessment,
    ask: AskModel,
    *,
    rules: AdviceRules,
    sections: Sequence[str],
    news: str | None = None,
    max_cost: Decimal | None = None,
) -> Rationale:
    """Return a model's rationale if it passes every check, at most after one correction; else our own.

    An error of the model's requests is not raised: it is the ``why`` of the rationale.

    Args:
        rules: the mode of figures, and the levels of the RSI.
        sections: the headings that the text must have.
        news: what the client read; the model gets it as data.
        max_cost: USD, for both requests together.
    """
    values = _prompt_values(assessment, rules, news)
    replies: list[Reply] = []
    why = ""
    for source in ("model", "repaired"):
        left = None if max_cost is None else max_cost - sum((reply.cost for reply in replies), Decimal(0))
        if left is not None and left <= 0:
            why = f"{why}; max_cost leaves nothing for a correction"
            return deterministic_rationale(assessment, rules, why, replies)
        try:
            reply = await ask(values, left)
        except (SupernovaError, ImportError) as error:
            first = f"{why}; its correction failed: " if replies else ""
            request = getattr(error, "request_id", None)
            why = first + _describe_error(error)
            return deterministic_rationale(assessment, rules, why, replies, (request,) if request else ())
        replies.append(reply)
        if reply.refusal and not reply.content:  # a correction would be refused too, at the same cost
            return deterministic_rationale(assessment, rules, f"the model refused: {reply.refusal}", replies)
        draft = check_text(reply.content, assessment, rules, sections, reply.finish_reason)
        if not draft.faults:
            return Rationale(
                draft.text, source, "", draft.report, draft.quality, reply.content, tuple(replies)
            )
        why = f"the model's text has faults: {_list_faults(draft.faults)}"
        values["draft"] = reply.content if reply.content.strip() else None
        values["violations"] = list(draft.faults)
    return deterministic_rationale(assessment, rules, f"{why}, after one correction", replies)


def _prompt_values(assessment: Assessment, rules: AdviceRules, news: str | None) -> dict[str, Any]:
    greeks = [fact for fact in assessment.facts if is_greek(fact)]
    return {
        "symbol": assessment.symbol,
        "action": assessment.action,
        "confidence": assessment.confidence,
        "risk_language": risk_notes(assessment)[0],
        "facts": facts_table(fact for fact in assessment.facts if not is_greek(fact)),
        "greeks": facts_table(greeks) if greeks else None,
        "mode": rules.mode,
        "news": news,
    }


def deterministic_rationale(
    assessment: Assessment,
    rules: AdviceRules,
    why: str,
    replies: Sequence[Reply] = (),
    failed: tuple[str, ...] = (),
) -> Rationale:
    """Return the rationale that needs no model."""
    text = explain(assessment)
    report = check(text, assessment.facts, **grounding_context(assessment, rules))
    return Rationale(
        text, "deterministic", why, report, rate_quality(text, report=report), None, tuple(replies), failed
    )


def check_text(
    written: str,
    assessment: Assessment,
    rules: AdviceRules,
    sections: Sequence[str],
    finish_reason: str | None = None,
) -> CheckedText:
    """Check the sections, claims and quality of a model's text.

    A text longer than ``LONGEST`` is checked up to there, and has a fault.
    """
    length, written = len(written), written[:LONGEST]
    parts = split_sections(written, sections)
    missing = [name for name in sections if not parts.get(name)]
    # Text before the first heading is left out: it is a preamble such as "Sure, here is …".
    complete = sections and not missing
    text = "\n\n".join(f"## {name}\n{parts[name]}" for name in sections) if complete else written.strip()
    in_slots = rules.mode == "slots"
    report = (check_slots if in_slots else check)(
        text, assessment.facts, **grounding_context(assessment, rules)
    )
    if in_slots and report.grounded:
        text = fill_slots(text, assessment.facts)
    quality = rate_quality(text, report=report, finish_reason=finish_reason)
    faults = [f"the section {name!r} is missing or empty" for name in missing]
    if length > LONGEST:
        faults.append(f"the text has {length:,} characters, and at most {LONGEST:,} are read: shorten it")
    if parts.get(_SUMMARY) and not _states_action(parts[_SUMMARY], assessment):
        faults.append(f"the section {_SUMMARY!r} does not tell the client to {assessment.action}")
    faults += (line.removeprefix("- ") for line in report.describe().splitlines())
    faults += _forbidden(unwrapped(text))
    if not faults and quality.score < _MIN_QUALITY:
        weak = ", ".join(name for name, part in quality.parts.items() if part < 1)
        faults.append(f"its quality is {quality.score:.2f} (weak: {weak})")
    return CheckedText(text, report, quality, tuple(faults))


def split_sections(text: str, sections: Sequence[str]) -> dict[str, str]:
    """Return the text below each heading, by the heading's name; headings may be in any usual markup.

    >>> split_sections("**Summary:** Buy.\\n## 2. RISK\\nHigh.", ["Summary", "Risk"])
    {'Summary': 'Buy.', 'Risk': 'High.'}
    """
    if not sections:
        return {}
    names = "|".join(map(re.escape, sections))
    heading = rf"^[ \t]*(?:#+[ \t]*)?(?:\d[.)][ \t]*)?[*_]*({names})[*_]*[ \t]*(?::[*_]*|$)"
    _, *pieces = re.split(heading, text, flags=re.IGNORECASE | re.MULTILINE)
    by_name = {name.lower(): name for name in sections}
    parts: dict[str, str] = {}
    for title, body in zip(pieces[::2], pieces[1::2], strict=True):
        name = by_name[title.lower()]
        parts[name] = f"{parts.get(name, '')}\n\n{body.strip()}".strip()
    return parts


def _states_action(summary: str, assessment: Assessment) -> bool:
    summary = re.sub(r"\{\{\s*symbol\s*\}\}", assessment.symbol, unwrapped(summary))
    claims = action_claims(summary, assessment.action, assessment.symbol)
    return any(claim.verdict == "grounded" for claim in claims)


def grounding_context(assessment: Assessment, rules: AdviceRules) -> dict[str, Any]:
    """Return the options of ``grounding.check``; directions are by the words that texts have for them."""
    values: dict[str, Any] = {signal.name: signal.value for signal in assessment.signals}
    values |= {fact.id: fact.value for fact in assessment.facts if fact.id == "sentiment_hint"}
    words = {"trend": "ma_cross", "momentum": "momentum"}
    words |= dict.fromkeys(("news", "sentiment", "hint"), "sentiment_hint")
    return {
        "symbol": assessment.symbol,
        "action": assessment.action,
        "directions": {word: values[name] for word, name in words.items() if name in values},
        "rsi": rules.rsi[assessment.asset_class],
    }


def _forbidden(text: str) -> Iterator[str]:
    for match in _PROMISE.finditer(text):
        if not _DENIAL.search(text, clause(text, match.start()).start, match.start()):
            yield f'"{match[0]}": promises are not allowed'
    for pattern, reason in _FORBIDDEN.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield f'"{match[0]}": {reason}'


def _list_faults(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
    return "; ".join(faults[:_MAX_FAULTS]) + more


def _describe_error(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"LiteLLM cannot be imported: {error}"
    return f"{type(error).__name__}: {error}"
