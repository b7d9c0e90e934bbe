"""The cost of advice: what its explanations cost, and each recorded advice on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import Database

from supernova_ai.reports.breakdown import ReportLine, lines
from supernova_ai.reports.periods import Period
from supernova_ai.store.tables import AdviceRow

PROMPTS = "advice-"
"""How the names of the prompts begin that explain advice; then comes the class of the asset."""


@dataclass(frozen=True, slots=True)
class AdviceCost:
    """What the advice of a period cost, in nano-USD. Advice without a model costs nothing and counts too.

    ``by_class`` are the attempts to explain it, by the class of the asset; a correction is another attempt.
    """

    records: int
    attempts: int
    cost: int
    by_class: Sequence[ReportLine]

    @property
    def each(self) -> int | None:
        """Nano-USD for each record, rounded; None without records."""
        return round(self.cost / self.records) if self.records else None


def advice_cost(database: Database, period: Period) -> AdviceCost:
    """Return what the advice of the period cost."""
    found = [line for line in lines(database, period, "prompt") if line.name.startswith(PROMPTS)]
    start, end = (int(moment.timestamp() * 1000) for moment in (period.start, period.end))
    records = AdviceRow.select().where((AdviceRow.created_ms >= start) & (AdviceRow.created_ms < end))
    return AdviceCost(
        records.count(database),
        sum(line.attempts for line in found),
        sum(line.cost for line in found),
        found,
    )
