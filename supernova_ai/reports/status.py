"""Status: how full each budget's current window is, and the latest attempts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from peewee import SQL, Database, fn

from supernova_ai.config import Budget
from supernova_ai.ledger import holds, labels
from supernova_ai.ledger.budgets import Payer, Tag, each_of, may_count, subject_of, window_of
from supernova_ai.store.tables import AttemptRow, WindowRow
from supernova_ai.types import PROBE


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The current window of a budget, in nano-USD.

    ``subject`` is the user, team or value of a tag where each has a window, else empty; ``subjects`` is how
    many have one. ``each`` says what the subject is: "user", "team", or "tag:" and the tag's name.
    """

    budget: str
    subject: str
    period: str
    limit: int
    settled: int
    held: int
    lost: int
    resets_at: datetime
    subjects: int = 1
    each: str = ""

    @property
    def used(self) -> int:
        """What counts against the limit."""
        return self.settled + self.held + self.lost

    @property
    def left(self) -> int:
        """What is left of the limit."""
        return max(0, self.limit - self.used)


def latest_attempts(
    database: Database,
    *,
    limit: int,
    since_ms: int = 0,
    request: str | None = None,
    user: str | None = None,
    team: str | None = None,
    tag: Tag | None = None,
    provider: str | None = None,
    model: str | None = None,
    state: str | None = None,
) -> list[AttemptRow]:
    """Return the latest attempts, oldest first; only those that have the values that are given."""
    query = AttemptRow.select().where(AttemptRow.started_ms >= since_ms)
    given = (
        (AttemptRow.request, request),
        (AttemptRow.user, user),
        (AttemptRow.team, team),
        (AttemptRow.provider, provider),
        (AttemptRow.model, model),
        (AttemptRow.state, state),
    )
    for column, value in given:
        if value is not None:
            query = query.where(column == value)
    if tag is not None:
        condition, values = labels.tag_condition(*tag)
        query = query.where(SQL(condition.replace("?", database.param), values))
    latest = query.order_by(AttemptRow.started_ms.desc(), AttemptRow.id.desc()).limit(limit)
    return list(latest.execute(database))[::-1]


def budget_statuses(
    database: Database,
    budgets: Iterable[Budget],
    *,
    now: float,
    of: Payer = Payer(),  # noqa: B008 - frozen
    most: int | None = None,
) -> Iterator[BudgetStatus]:
    """Yield the status of every budget, except that of paid probes before a probe has cost something.

    A budget of which each user, team or value of a tag has a window has one status for each, the most used
    first.

    Args:
        now: Unix seconds.
        of: only the budgets that apply to this user, to this team and to these tags; None is any.
        most: at most so many users, teams or values of each budget.
    """
    used = WindowRow.settled + WindowRow.held + WindowRow.lost
    for budget in budgets:
        if not may_count(budget, of):
            continue
        window = window_of(budget, now=now, payer=of)
        each, asked = each_of(budget), subject_of(budget, of)
        if each and asked is None:
            all_subjects = fn.COUNT(WindowRow.id).over()  # also those beyond the limit
            query = WindowRow.select(
                WindowRow.subject, WindowRow.settled, WindowRow.held, WindowRow.lost, all_subjects
            ).where(
                (WindowRow.budget == window.budget)
                & (WindowRow.period == window.period)
                & (WindowRow.scope == window.scope)
            )
            rows = list(query.order_by(used.desc(), WindowRow.subject).limit(most).tuples().execute(database))
            rows = rows or [(window.subject, 0, 0, 0, 1)]
        else:
            amounts = holds.window_amounts(database, window)
            rows = [(window.subject, *amounts, 1)] if any(amounts) or budget.name != PROBE else []
        for subject, settled, held, lost, count in rows:
            yield BudgetStatus(
                budget=window.budget,
                subject=subject,
                period=window.period,
                limit=window.limit,
                settled=settled,
                held=held,
                lost=lost,
                resets_at=window.resets_at,
                subjects=count,
                each=each,
            )
