"""What the ledger says of its rows: the latest attempts, and how each budget stands. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import period
from supernova_ai.money import to_nano
from supernova_ai.store.tables import Attempt, Window
from supernova_ai.types import PROBE


@dataclass(frozen=True, slots=True)
class Standing:
    """How the current window of a budget stands, in nano-USD; ``subject`` is a user or empty."""

    budget: str
    subject: str
    period: str
    limit: int
    settled: int
    held: int
    lost: int
    resets_at: datetime

    @property
    def left(self) -> int:
        """What the window can still bear."""
        return max(0, self.limit - self.settled - self.held - self.lost)


def attempts(
    database: Database, *, limit: int, since_ms: int = 0, request: str | None = None
) -> list[Attempt]:
    """Return the latest attempts, oldest first; those of one request if its id is given."""
    query = Attempt.select().where(Attempt.started_ms >= since_ms)
    if request is not None:
        query = query.where(Attempt.request == request)
    return list(query.order_by(Attempt.started_ms.desc(), Attempt.id.desc()).limit(limit).execute(database))[
        ::-1
    ]


def standings(database: Database, budgets: Iterable[Budget], *, now: float) -> Iterator[Standing]:
    """Yield how every budget stands now (``now`` in Unix seconds), one row per user where each has one.

    That of paid probes is left out until one was asked: most never pay for any.
    """
    for budget in budgets:
        name, resets_at = period(budget.per, datetime.fromtimestamp(now, ZoneInfo(budget.time_zone)))
        query = (
            Window.select()
            .where((Window.budget == budget.name) & (Window.period == name))
            .order_by(Window.subject)
        )
        none = [] if budget.name == PROBE else [Window(subject="", settled=0, held=0, lost=0)]
        for row in list(query.execute(database)) or none:
            yield Standing(
                budget.name,
                row.subject,
                name,
                to_nano(budget.limit),
                row.settled,
                row.held,
                row.lost,
                resets_at,
            )
