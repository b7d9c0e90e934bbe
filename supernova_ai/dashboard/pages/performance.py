"""The page Performance: how long answers and their first tokens take, and how fast tokens come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from supernova_ai.dashboard.charts import Chart, Series
from supernova_ai.dashboard.page import Page, Part, Reading
from supernova_ai.dashboard.pages.choices import SPANS, span_of
from supernova_ai.reports.breakdown import lines
from supernova_ai.reports.latencies import Histograms, What, histograms, percentile, tokens_per_second
from supernova_ai.reports.periods import Period

_DAY_MS = 86_400_000
_COLOURS = ("c1", "c2", "c3", "c4", "c5", "c6")


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one model of a provider is: milliseconds, and tokens per second over the last day."""

    provider: str
    model: str
    attempts: int
    answered: float | None
    answer: tuple[float | None, ...]
    first: tuple[float | None, ...]
    tokens: float | None


def _speed(reading: Reading) -> Mapping[str, Any]:
    span, period = span_of(reading)
    found = histograms(reading.database, period, span.step)
    providers = dict.fromkeys(provider for _, provider, _ in sorted(found.by_provider, key=str))
    by_provider = [
        Series(
            provider,
            [
                percentile(found.by_provider.get(("answer", provider, step)), 95)
                for step in range(len(found.starts))
            ],
            colour,
        )
        for provider, colour in zip(providers, _COLOURS, strict=False)
    ]
    over = f"over the last {span.title}"
    label = f"95 % of the answers of each provider took at most, {over}"
    rows = list(_models(reading, found, period))
    return {
        "measured": bool(found.by_step),
        "span": span.title,
        "answer": _chart(found, "answer", f"How long answers took {over}"),
        "first": _chart(found, "first", f"How long the first token took {over}"),
        "by_provider": Chart(label, found.starts, by_provider, "ms"),
        "rows": rows,
        "slowest": max((row.answer[1] or 0 for row in rows), default=0),
    }


def _chart(found: Histograms, what: What, label: str) -> Chart:
    steps = range(len(found.starts))
    series = [
        Series(
            f"p{percent}", [percentile(found.by_step.get((what, step)), percent) for step in steps], colour
        )
        for percent, colour in ((50, "c1"), (95, "c2"))
    ]
    return Chart(label, found.starts, series, "ms")


def _models(reading: Reading, found: Histograms, period: Period) -> Iterator[Speed]:
    by_model = found.by_model
    tokens = tokens_per_second(reading.database, since_ms=reading.now_ms - _DAY_MS)
    counted = {line.name: line for line in lines(reading.database, period, "model")}
    for provider, model in sorted({(provider, model) for _, provider, model in by_model}):
        line = counted[f"{provider}/{model}"]
        answer, first = (
            tuple(percentile(by_model.get((what, provider, model)), percent) for percent in (50, 95))
            for what in ("answer", "first")
        )
        speed = tokens.get((provider, model))
        yield Speed(provider, model, line.attempts, line.success_rate, answer, first, speed)


PERFORMANCE = Page(
    "performance",
    "Performance",
    (Part("speed", "Speed", _speed, takes=("span",)),),
    choices={"span": [(name, span.title) for name, span in SPANS.items()]},
)
