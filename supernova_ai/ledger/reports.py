"""What the ledger says of its rows: attempts, totals, and how each budget stands. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from peewee import Case, Database, Function, fn

from supernova_ai.config import Budget
from supernova_ai.ledger.budgets import period
from supernova_ai.money import to_nano
from supernova_ai.store.tables import Attempt, Window


@dataclass(frozen=True, slots=True)
class Total:
    """Attempts of one provider and model since some time. Costs and holds are nano-USD."""

    provider: str
    model: str
    attempts: int
    settled: int
    released: int
    lost: int
    open: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    held: int


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


def totals(database: Database, *, since_ms: int) -> list[Total]:
    """Return one total per provider and model, dearest first."""

    def count(state: str) -> Function:
        return fn.SUM(Case(None, [(Attempt.state == state, 1)], 0))

    held = fn.SUM(Case(None, [(Attempt.state == "held", Attempt.held)], 0))
    query = (
        Attempt.select(
            Attempt.provider,
            Attempt.model,
            fn.COUNT(Attempt.id),
            count("settled"),
            count("released"),
            count("lost"),
            count("held"),
            fn.SUM(Attempt.prompt),
            fn.SUM(Attempt.completion),
            fn.SUM(Attempt.cost),
            held,
        )
        .where(Attempt.started_ms >= since_ms)
        .group_by(Attempt.provider, Attempt.model)
        .order_by(fn.SUM(Attempt.cost).desc())
    )
    return [Total(*row[:2], *(int(value) for value in row[2:])) for row in query.tuples().execute(database)]


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
    """Yield how every budget stands now (``now`` in Unix seconds), one row per user where each has one."""
    for budget in budgets:
        name, resets_at = period(budget.per, datetime.fromtimestamp(now, ZoneInfo(budget.time_zone)))
        query = (
            Window.select()
            .where((Window.budget == budget.name) & (Window.period == name))
            .order_by(Window.subject)
        )
        rows = list(query.execute(database)) or [Window(subject="", settled=0, held=0, lost=0)]
        for row in rows:
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
