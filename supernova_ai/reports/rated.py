"""The report of ratings: what each model, prompt, task or user cost, and how good its answers were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from peewee import Database, fn

from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.reports.breakdown import lines
from supernova_ai.reports.periods import Period
from supernova_ai.store.tables import RATING_SCALE, RatingRow

By = Literal["model", "prompt", "task", "user"]

_COLUMNS: Mapping[By, tuple[str, ...]] = {
    "model": ("provider", "model"),
    "prompt": ("prompt",),
    "task": ("task",),
    "user": ("user",),
}


@dataclass(frozen=True, slots=True)
class RatedLine:
    """What the ended attempts of one group cost, in nano-USD, and the means of their ratings.

    ``name`` and the first counts are those of a ``ReportLine``. ``quality``, from 0 to 1, is the mean over
    the ``checked`` requests, and ``score``, from -1 to 1, over the ``feedbacks``; None if there are none.
    """

    name: str
    attempts: int
    answered: int
    cost: int
    checked: int
    quality: float | None
    feedbacks: int
    score: float | None


def rated_lines(database: Database, period: Period, by: By) -> list[RatedLine]:
    """Return one line per group, the most expensive first.

    A rating counts in the hour in which its request was sent, as the costs do.
    """
    columns = [getattr(RatingRow, name) for name in _COLUMNS[by]]
    counted = (RatingRow.quality, RatingRow.score)
    sums = [each(column) for column in counted for each in (fn.COUNT, fn.SUM)]
    first, after = (hour * HOUR_MS for hour in period.hours)
    query = RatingRow.select(*columns, *sums).group_by(*columns)
    query = query.where((RatingRow.started_ms >= first) & (RatingRow.started_ms < after))
    ratings = {"/".join(row[: len(columns)]): row[len(columns) :] for row in query.tuples().execute(database)}
    found = []
    for line in lines(database, period, by):
        checked, quality, feedbacks, score = ratings.get(line.name, (0, 0, 0, 0))
        found.append(
            RatedLine(
                name=line.name,
                attempts=line.attempts,
                answered=line.answered,
                cost=line.cost,
                checked=checked,
                quality=_mean(quality, checked),
                feedbacks=feedbacks,
                score=_mean(score, feedbacks),
            )
        )
    return found


def _mean(thousandths: int, count: int) -> float | None:
    return round(int(thousandths) / count / RATING_SCALE, 3) if count else None
