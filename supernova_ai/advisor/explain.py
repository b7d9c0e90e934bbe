"""The sentences of a rationale that only we write, its layout, and the risk notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from supernova_ai.advisor.ensemble import SIDES, Action, Assessment
from supernova_ai.advisor.grounding.check import Part
from supernova_ai.advisor.language import Language, by_degree, language
from supernova_ai.advisor.signals import STRATEGIES
from supernova_ai.advisor.slots import FactTable

Section = Literal["summary", "for", "against", "risk"]
"""A section of a rationale. Only we write the summary."""

SentenceSource = Literal["model", "corrected", "generated"]
"""Who wrote a sentence: a model, a model after one correction, or this package."""

RISK_FACTS = (
    *("atr_14", "atr_percent", "volatility_20", "drawdown", "max_drawdown", "bollinger_width"),
    *("delta", "gamma", "theta", "vega", "rho", "implied_volatility"),
    *("stop_distance", "stop_price", "position_size"),
)
"""Facts that our own sentences about the risk may be about."""

_MARKDOWN = re.compile(r"[\\`*\[\]<>~#]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Marks that would make emphasis, links, pictures or HTML of a text that a caller gave."""

_MAX_REASONS = 2  # for each side
_DEEP_DRAWDOWN = 0.1


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a rationale as it is shown, the ids of its facts, and who wrote it."""

    section: Section
    text: str
    facts: tuple[str, ...]
    source: SentenceSource = "generated"


def fact_table(assessment: Assessment) -> FactTable:
    """Return the facts of an assessment with their texts in its language."""
    return FactTable(assessment.facts, language(assessment.language))


def titles(action: Action, texts: Language) -> Mapping[str, str]:
    """Return the headings; hold and avoid have no side, so theirs are the signs of the price."""
    return {**texts.rationale.titles, **({} if SIDES[action] else texts.rationale.signs)}


def part_sides(action: Action) -> dict[Part, int]:
    """Return the direction of the facts in each section: 1 up, −1 down, 0 any."""
    side = SIDES[action] or 1
    return {"for": side, "against": -side, "risk": 0}


def layout(sentences: Sequence[Sentence], assessment: Assessment) -> str:
    """Return the sentences as Markdown, by section; marks in them are escaped."""
    blocks = (
        f"## {title}\n\n"
        + " ".join(_MARKDOWN.sub(r"\\\g<0>", each.text) for each in sentences if each.section == section)
        for section, title in titles(assessment.action, language(assessment.language)).items()
    )
    return "\n\n".join(blocks)


def summary(assessment: Assessment) -> tuple[Sentence, ...]:
    """Return what to do, what the position gained, warnings about the bars, why, and how clear it is."""
    table = fact_table(assessment)
    texts, action = table.language.rationale, table.language.actions[assessment.action]
    decision = table.write(action.decision[assessment.holding])
    change = "position_change"
    gained = [(sentence(table.fill(f"{{{change}.is}}")), (change,))] if change in table else []
    written = (
        (table.write(texts.decision, decision=decision), ("action", "last_date")),
        (position_note(assessment), ("risk_score",)),
        *gained,
        *((warning, ids) for warning, ids in _warnings(table)),
        (table.write(action.why, scored=_scored(table)), ("score",)),
        (texts.regimes[assessment.regime], ("regime",)),
        (table.write(texts.confidence), ("confidence",)),
    )
    return tuple(Sentence("summary", text, ids) for text, ids in written)


def own_sentences(assessment: Assessment, part: Part) -> tuple[Sentence, ...]:
    """Return our sentences of one section: the strongest signals of its side, or the risk."""
    table = fact_table(assessment)
    if part == "risk":
        ids = [id_ for id_ in ("atr_14", "volatility_20", "max_drawdown") if id_ in table]
        return tuple(Sentence("risk", sentence(table.fill(f"{{{id_}.is}}")), (id_,)) for id_ in ids)
    side = part_sides(assessment.action)[part]
    signals = [signal for signal in assessment.signals if signal.direction == side][:_MAX_REASONS]
    if not signals:
        # Without a signal for it, the hint of the news alone decided.
        of_news = part == "for" and SIDES[assessment.action] != 0
        name = f"{'news' if of_news else 'nothing'} {'up' if side > 0 else 'down'}"
        return (Sentence(part, table.language.rationale.other[name], ()),)
    return tuple(Sentence(part, sentence(signal.reason), signal.facts) for signal in signals)


def sentence(clause: str) -> str:
    """Return a clause as a sentence."""
    return f"{clause[:1].upper()}{clause[1:]}."


def position_note(assessment: Assessment) -> str:
    """Return what the advice means for this client's position."""
    table = fact_table(assessment)
    texts, action = table.language.rationale, table.language.actions[assessment.action]
    band = 0 if assessment.risk_score < 100 / 3 else 1 if assessment.risk_score < 200 / 3 else 2
    position = table.write(by_degree(action.position[assessment.holding], band), scored=_scored(table))
    return table.write(texts.position, client=texts.clients[band], position=position)


def _scored(table: FactTable) -> str:
    return table.language.rationale.scored["news" if table.number("sentiment_hint") else "signals"]


def risk_notes(assessment: Assessment) -> tuple[str, ...]:
    """Return notes on the risk and the bars; the first is about the client's position."""
    return tuple(_notes(assessment))


def _notes(assessment: Assessment) -> Iterator[str]:
    table = fact_table(assessment)
    texts = table.language.rationale
    yield position_note(assessment)
    yield from (warning for warning, _ in _warnings(table))
    yield sentence(table.fill("{atr_14.is}"))
    if "stop_price" in table:
        size = table.number("position_size")
        yield table.write(texts.other["stop" if size is None else "size" if size else "no size"])
        if size and assessment.asset_class in ("option", "futures"):
            yield texts.other["size unit"]
    if assessment.regime == "volatile":
        yield table.write(texts.other["volatile"])
    if assessment.indicators.drawdown > _DEEP_DRAWDOWN:
        yield sentence(table.fill("{drawdown.is}"))
    if table.number("sentiment_hint"):
        yield table.write(texts.other["news"])
    given = {signal.name for signal in assessment.signals}
    if missing := [texts.signals[name] for name in STRATEGIES if name not in given]:
        yield table.write(texts.other["silent"], names=", ".join(missing))
    for name in ("gaps", "unfinished_date"):
        if name in table:
            yield table.write(texts.other[name])
    yield texts.classes[assessment.asset_class]


def _warnings(table: FactTable) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what makes the bars unreliable, with the ids of the facts."""
    for id_ in ("data_age", "split_date"):
        if id_ in table:
            yield table.write(table.language.rationale.other[id_]), (id_,)
