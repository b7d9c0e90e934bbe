"""The page Advice: the records, one of them with its facts, and the chain that binds them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from supernova_ai.advisor import records
from supernova_ai.advisor.bars import Bar
from supernova_ai.advisor.explain import titles
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.indicators import IndicatorSeries
from supernova_ai.advisor.language import Language, language
from supernova_ai.advisor.news import is_news
from supernova_ai.advisor.replay import DESIGN, replay
from supernova_ai.advisor.view import AdviceView
from supernova_ai.dashboard.charts import Chart, Series
from supernova_ai.dashboard.page import Page, Part, Reading
from supernova_ai.errors import InvalidRequest
from supernova_ai.store.tables import AdviceRow

_ROWS = 25
_BARS = 260
"""So many bars are drawn: a year of trading days."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.+Z-]+)?")
_COLOURS = ("c2", "c3", "c4", "c5")


@dataclass(frozen=True, slots=True)
class ShownFact:
    """A fact of a record as text. ``number`` is its place in the table, to which sentences link."""

    number: int
    id: str
    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class ShownSentence:
    """A sentence, or a signal's reason, with the facts that it states."""

    text: str
    source: str
    facts: Sequence[ShownFact]


def _records(reading: Reading) -> Mapping[str, Any]:
    chosen = reading.chosen
    if "record" in chosen:
        return {"hidden": True}
    user, symbol = chosen.get("user"), chosen.get("symbol")
    rows = records.latest(reading.database, user=user, symbol=symbol, limit=_ROWS + 1)
    shown = [(row, AdviceView.from_record(row)) for row in rows[:_ROWS]]
    return {
        "hidden": False,
        "rows": shown,
        "more": len(rows) > _ROWS,
        "filtered": bool(chosen),
        "symbol": symbol or "",
        "user": user or "",
    }


def _chain(reading: Reading) -> Mapping[str, Any]:
    if "record" in reading.chosen:
        return {"hidden": True}
    checked = "check" in reading.chosen
    return {
        "hidden": False,
        "count": AdviceRow.select().count(reading.database),
        "report": records.check(reading.database) if checked else None,
    }


def _record(reading: Reading) -> Mapping[str, Any]:
    if "record" not in reading.chosen:
        return {"hidden": True}
    try:
        row = records.find(reading.database, reading.chosen["record"])
    except InvalidRequest as error:
        return {"hidden": False, "row": None, "problem": str(error)}
    content = json.loads(row.content)
    assessment = content["computed"]["assessment"]
    facts = {fact.id: fact for fact in _facts(assessment)}
    try:
        chart, problem = _chart(row, assessment), ""
    except InvalidRequest as error:
        chart, problem = None, str(error)
    return {
        "hidden": False,
        "row": row,
        "view": AdviceView.from_record(row),
        "quality": content.get("quality", {}).get("score"),  # older records have none
        "signals": [
            (signal, ShownSentence(signal["reason"], "generated", _known(signal["facts"], facts)))
            for signal in assessment["signals"]
        ],
        "sections": _sections(content["computed"], facts),
        "chart": chart,
        "problem": problem,
    }


def _fact_table(reading: Reading) -> Mapping[str, Any]:
    if "record" not in reading.chosen:
        return {"facts": []}
    try:
        row = records.find(reading.database, reading.chosen["record"])
    except InvalidRequest:
        return {"facts": []}  # the part of the record says so
    content = json.loads(row.content)
    return {
        "row": row,
        "facts": _facts(content["computed"]["assessment"]),
        "prompt": content.get("prompt"),
        "config_version": content.get("config_version"),
    }


def _replay(reading: Reading) -> Mapping[str, Any]:
    chosen = reading.chosen
    if "record" not in chosen:
        return {"hidden": True}
    result, problem = None, ""
    if "replay" in chosen:
        try:
            result = replay(records.find(reading.database, chosen["record"]))
        except InvalidRequest as error:
            problem = str(error)
    return {"hidden": False, "id": chosen["record"], "result": result, "problem": problem}


def _texts(assessment: Mapping[str, Any]) -> Language:
    return language(assessment.get("language", "en"))  # older records are English


def _facts(assessment: Mapping[str, Any]) -> list[ShownFact]:
    texts = _texts(assessment)
    stored = (Fact(**fact) for fact in assessment["facts"])
    return [
        ShownFact(number, fact.id, fact.name, _value(fact, texts), fact.source)
        for number, fact in enumerate(stored, 1)
    ]


def _value(fact: Fact, texts: Language) -> str:
    """Return the value of a fact of a record, where days are text; a headline is never a day."""
    if isinstance(fact.value, str) and _DAY.fullmatch(fact.value) and not is_news(fact):
        with suppress(ValueError):
            return texts.day(datetime.fromisoformat(fact.value))
    return texts.value(fact)


def _known(ids: Iterable[str], facts: Mapping[str, ShownFact]) -> list[ShownFact]:
    return [facts[id_] for id_ in ids if id_ in facts]


def _sections(computed: Mapping[str, Any], facts: Mapping[str, ShownFact]) -> dict[str, list[ShownSentence]]:
    """Return the sentences under their headings; of a record of an older design, the text as one."""
    if computed.get("design") != DESIGN:
        return {"Text": [ShownSentence(computed["text"], computed["source"], [])]}
    assessment = computed["assessment"]
    return {
        title: [
            ShownSentence(sentence["text"], sentence["source"], _known(sentence["facts"], facts))
            for sentence in computed["sentences"]
            if sentence["section"] == section
        ]
        for section, title in titles(assessment["action"], _texts(assessment)).items()
    }


def _chart(row: AdviceRow, assessment: Mapping[str, Any]) -> Chart | None:
    """Draw the bars that the record kept, and the averages that its signals compare; None without bars.

    Raises:
        InvalidRequest: the bars were altered.
    """
    kept = records.kept_input(row, "bars")
    if kept is None:
        return None
    bars = [Bar(datetime.fromisoformat(time), *values) for time, *values in json.loads(kept)]
    first = max(1, len(bars) - _BARS)
    shown, computed = bars[first:], IndicatorSeries(bars)
    indicators = [computed.after(number) for number in range(first, len(bars))]
    series = [
        Series("High", [bar.high for bar in shown], "c1", "band"),
        Series("Low", [bar.low for bar in shown], "c1", "band-end"),
        Series("Close", [bar.close for bar in shown], "c1"),
    ]
    names = {fact["id"]: fact["name"] for fact in assessment["facts"]}
    used = dict.fromkeys(id_ for signal in assessment["signals"] for id_ in signal["facts"])
    averages = [id_ for id_ in used if id_.startswith(("sma_", "ema_"))]
    for id_, colour in zip(averages, _COLOURS, strict=False):
        values = [getattr(after, id_) for after in indicators]
        series.append(Series(names[id_].capitalize(), values, colour))
    label = f"Price of {row.symbol} in {assessment['currency']} until the advice"
    return Chart(label, [bar.time.timestamp() for bar in shown], series, "price")


ADVICE = Page(
    "advice",
    "Advice",
    (
        Part("record", "Record of advice", _record, takes=("record",)),
        Part("facts", "Facts", _fact_table, takes=("record",)),
        Part("replay", "Replay", _replay, takes=("record", "replay")),
        Part("records", "Records", _records, takes=("record", "symbol", "user")),
        Part("chain", "Chain of records", _chain, takes=("record", "check")),
    ),
)
