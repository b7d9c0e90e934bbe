"""The rationale: a model's sentences where they hold, our own where they do not, and the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from supernova_ai.advisor.answer import read_answer
from supernova_ai.advisor.ensemble import SIDES, Assessment
from supernova_ai.advisor.explain import (
    RISK_FACTS,
    Sentence,
    SentenceSource,
    fact_table,
    layout,
    own_sentences,
    part_sides,
    position_note,
    sentence,
    summary,
    titles,
)
from supernova_ai.advisor.grounding import evidence
from supernova_ai.advisor.grounding.check import Checked, Context, Part, check_sentence
from supernova_ai.advisor.grounding.sentence import Unusable
from supernova_ai.advisor.signals import Signal
from supernova_ai.analysis.quality import Quality, rate_quality
from supernova_ai.errors import InvalidAnswer, SupernovaError
from supernova_ai.types import Reply

AskModel = Callable[[Mapping[str, Any], Decimal | None], Awaitable[Reply[Any]]]
"""Sends the advice prompt with these variables; the second argument is the maximum cost in USD."""

PARTS: tuple[Part, ...] = ("for", "against", "risk")

_MOST_SHOWN = 4  # sentences of a model in one section
_MAX_FAULTS = 3  # in ``why``
_QUOTED = 120  # characters of a sentence in a list of faults
_ID = re.compile(r"\{([a-z]\w{0,63})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Draft:
    """One sentence of a model's answer: as it is shown if it holds, else what is wrong with it."""

    part: Part
    written: str
    checked: Checked | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Rationale:
    """The text to show, sentence by sentence.

    ``why`` is the reason that some or all sentences are not a model's, empty if all are. ``written`` are the
    model's answers as received. ``replies`` are all answers; ``failed`` are the ids of requests without one.
    """

    sentences: tuple[Sentence, ...]
    text: str
    source: SentenceSource
    why: str
    quality: Quality
    written: tuple[str, ...] = ()
    replies: tuple[Reply[Any], ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def requests(self) -> tuple[str, ...]:
        """The ids of all requests, in order."""
        return (*(reply.request_id for reply in self.replies), *self.failed)


async def write_rationale(
    assessment: Assessment, ask: AskModel, *, news: str | None = None, max_cost: Decimal | None = None
) -> Rationale:
    """Return a rationale with a model's usable sentences, after at most one correction.

    An error of the model's requests is not raised: it is in the ``why`` of the rationale.

    Args:
        news: what the client read; the model gets it as data.
        max_cost: USD, for both requests together.
    """
    values = _prompt_values(assessment, news)
    try:
        reply = await ask(values, max_cost)
    except InvalidAnswer as error:  # it was asked twice already
        return compose(assessment, (error.text,), _describe_error(error), failed=_request(error))
    except (SupernovaError, ImportError) as error:
        return compose(assessment, (), _describe_error(error), failed=_request(error))
    if reply.refusal and not reply.content:  # a correction would be refused too, at the same cost
        return compose(assessment, (), f"the model refused: {reply.refusal}", (reply,))
    faulty = [draft for draft in review(assessment, reply.content) if draft.fault]
    if not faulty:
        return compose(assessment, (reply.content,), "", (reply,))
    left = None if max_cost is None else max_cost - reply.cost
    if left is not None and left <= 0:
        return compose(assessment, (reply.content,), "max_cost leaves nothing for a correction", (reply,))
    values["violations"] = [f"{draft.part}: {_quote(draft.written)} – {draft.fault}" for draft in faulty]
    try:
        second = await ask(values, left)
    except (SupernovaError, ImportError) as error:
        why = f"the correction failed: {_describe_error(error)}"
        return compose(assessment, (reply.content,), why, (reply,), _request(error))
    return compose(assessment, (reply.content, second.content), "", (reply, second))


def compose(
    assessment: Assessment,
    answers: Sequence[str],
    why: str = "",
    replies: Sequence[Reply[Any]] = (),
    failed: tuple[str, ...] = (),
) -> Rationale:
    """Return the rationale of a model's answers: the first, and the correction of its faulty sentences.

    Each section that is left without a sentence of a model has our own.
    """
    first = review(assessment, answers[0]) if answers else []
    second = review(assessment, answers[1]) if len(answers) > 1 else []
    given = {draft.checked.text for draft in first if draft.checked}
    corrected = [draft for draft in second if draft.checked and draft.checked.text not in given]
    sentences: list[Sentence] = list(summary(assessment))
    faults: list[str] = []
    for part in PARTS:
        found = _Section(assessment, part, [each for each in corrected if each.part == part])
        for draft in first:
            if draft.part == part and (fault := found.add(draft)):
                faults.append(fault)
        sentences += found.sentences or own_sentences(assessment, part)
    sources = {each.source for each in sentences}
    source: SentenceSource = (
        "corrected" if "corrected" in sources else "model" if "model" in sources else "generated"
    )
    if answers and not first:
        faults.append("the answer has no sentences in the sections")
    why = "; ".join(filter(None, (why, _list_faults(faults))))
    text = layout(sentences, assessment)
    return Rationale(
        tuple(sentences), text, source, why, rate_quality(text), tuple(answers), tuple(replies), failed
    )


def review(assessment: Assessment, answer: str) -> list[Draft]:
    """Return each sentence of an answer, checked."""
    context = _context(assessment)
    return [
        _check(written, part, context) for part, texts in read_answer(answer).items() for written in texts
    ]


def _context(assessment: Assessment) -> Context:
    sided = SIDES[assessment.action] != 0
    sides = part_sides(assessment.action)
    return Context(fact_table(assessment), assessment.asset_class, sides, sided, assessment.language)


def _check(written: str, part: Part, context: Context) -> Draft:
    try:
        return Draft(part, written, check_sentence(written, part, context))
    except Unusable as error:
        return Draft(part, written, None, str(error))


class _Section:
    """The sentences of one section, as they are chosen."""

    def __init__(self, assessment: Assessment, part: Part, corrected: Sequence[Draft]) -> None:
        self._assessment, self._part = assessment, part
        self._corrected = list(corrected)
        self.sentences: list[Sentence] = []

    def add(self, draft: Draft) -> str:
        """Show a sentence, its correction or ours about its facts; return its fault if it was not shown."""
        if draft.checked:
            self._show(draft.checked, "model")
            return ""
        if self._corrected:
            checked = self._corrected.pop(0).checked
            assert checked is not None
            self._show(checked, "corrected")
            return ""
        if (own := self._own(draft.written)) is not None:
            self._show(own, "generated")
        return f"{_quote(draft.written)}: {draft.fault}"

    def _show(self, checked: Checked, source: SentenceSource) -> None:
        new = all(each.text != checked.text for each in self.sentences)
        if new and len(self.sentences) < _MOST_SHOWN:
            self.sentences.append(Sentence(self._part, checked.text, checked.facts, source))

    def _own(self, written: str) -> Checked | None:
        """Return our sentence about the facts that an unusable sentence names."""
        table = fact_table(self._assessment)
        ids = [id_ for id_ in _ID.findall(written) if id_ in table]
        side = part_sides(self._assessment.action)[self._part]
        for signal in self._assessment.signals:
            if side and signal.direction == side and set(ids) & set(signal.facts):
                return Checked(sentence(signal.reason), signal.facts)
        for id_ in ids:
            fits = id_ in RISK_FACTS if self._part == "risk" else evidence.sides(table, {id_}) == {side}
            if fits:
                return Checked(sentence(table.fill(f"{{{id_}.is}}")), (id_,))
        return None


def _prompt_values(assessment: Assessment, news: str | None) -> dict[str, Any]:
    table = fact_table(assessment)
    headings = titles(assessment.action, table.language)
    sides = part_sides(assessment.action)
    return {
        "symbol": assessment.symbol,
        "action": assessment.action,
        "confidence": assessment.confidence,
        "risk_language": position_note(assessment),
        "facts": table.table(),
        "for_it": _signal_slots(assessment.signals, sides["for"]),
        "against_it": _signal_slots(assessment.signals, sides["against"]),
        "for_title": headings["for"],
        "against_title": headings["against"],
        "notes": [f"{{note.{name}}}: {table.text(table.slot(f'{{note.{name}}}'))}" for name in table.notes()],
        "plain_answer": json.dumps(
            {
                "for_it": _plain(assessment.signals, sides["for"]),
                "against_it": _plain(assessment.signals, sides["against"]),
                "risk": ["{atr_14.is}."],
            }
        ),
        "news": news,
        "language": table.language.name,
    }


def _plain(signals: Sequence[Signal], side: int) -> list[str]:
    """Return a sentence of nothing but slots for the strongest signals of a side."""
    return [f"{signal.slots}." for signal in signals if signal.direction == side][:2]


def _signal_slots(signals: Sequence[Signal], side: int) -> list[str]:
    lines = [f"{signal.slots}: {signal.reason}" for signal in signals if signal.direction == side]
    return lines or ["none"]


def _quote(written: str) -> str:
    return f'"{written if len(written) <= _QUOTED else written[: _QUOTED - 1] + "…"}"'


def _list_faults(faults: Sequence[str]) -> str:
    if not faults:
        return ""
    more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
    return f"sentences of the model were not shown: {'; '.join(faults[:_MAX_FAULTS])}{more}"


def _request(error: Exception) -> tuple[str, ...]:
    request = getattr(error, "request_id", None)
    return (request,) if request else ()


def _describe_error(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"LiteLLM cannot be imported: {error}"
    return f"{type(error).__name__}: {error}"
