"""Which jobs there are, how each last ran, when it runs next, and who runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from peewee import Database

from supernova_ai.config import Config
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.leader import Holder, current_holder
from supernova_ai.operations.jobs.planned import PLANNED, PlannedJob, scheduled
from supernova_ai.operations.jobs.schedule import Schedule
from supernova_ai.store.bulk import run
from supernova_ai.store.engines import clock_ms
from supernova_ai.store.tables import JobRow

State = Literal["never ran", "running", "done", "failed", "cut short"]


@dataclass(frozen=True, slots=True)
class JobState:
    """One job. ``schedule`` and ``next`` are None for a job that the configuration switches off.

    ``cut short`` is a run whose process ended, or was replaced as leader, before the run did. ``failures``
    counts the runs in a row that did not succeed.
    """

    name: str
    does: str
    schedule: str | None
    state: State
    last: datetime | None
    duration_ms: int | None
    outcome: str | None
    failures: int
    next: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All jobs, and the process that leads; None if none does."""

    leader: str | None
    jobs: tuple[JobState, ...]


def overview(database: Database, config: Config, jobs: Sequence[PlannedJob] = PLANNED) -> Overview:
    """Return the state of every job, inside a read of the store.

    Raises:
        ConfigError: ``jobs.skip`` names a job that does not exist.
    """
    schedules = {job.name: schedule for job, schedule in scheduled(config, jobs)}
    ((now_ms,),) = run(database, f"SELECT {clock_ms(database)}").fetchall()
    rows, leader = runner.rows(database), current_holder(database)
    states = (_state(job, schedules.get(job.name), rows.get(job.name), leader, now_ms) for job in jobs)
    return Overview(leader.name if leader else None, tuple(states))


def _state(
    job: PlannedJob, schedule: Schedule | None, row: JobRow | None, leader: Holder | None, now_ms: int
) -> JobState:
    state: State
    ended = row is not None and not runner.cut_short(row)
    if row is None:
        state = "never ran"
    elif ended:
        state = "failed" if row.failures else "done"
    else:
        state = "running" if leader and leader.fence == row.fence else "cut short"
    return JobState(
        name=job.name,
        does=job.does,
        schedule=None if schedule is None else str(schedule),
        state=state,
        last=_time(row.started_ms) if row else None,
        duration_ms=row.duration_ms if row and ended else None,
        outcome=row.outcome if row and ended else None,
        failures=row.failures if row and state != "running" else 0,
        next=None if schedule is None else _time(runner.due_ms(schedule, row, now_ms)),
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
