"""Runs one job under the leader's fence and records the run; says which jobs are due.

begin ── work ──┬── done       what the job did, with its last change of the database in one transaction
                ├── failed     why; the next try waits longer each time, and a notice is raised once a day
                └── cut short  the process ended, or another one leads: nothing more is recorded
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from peewee import Database

from supernova_ai.alerts.outbox import record_notice
from supernova_ai.config import Loaded, read_environ
from supernova_ai.errors import SupernovaError
from supernova_ai.keys import open_vault
from supernova_ai.log import get_logger
from supernova_ai.operations.jobs.job import Context, Job, JobFailed
from supernova_ai.operations.jobs.leader import Lead, LeaseLost
from supernova_ai.operations.jobs.schedule import Schedule
from supernova_ai.secret import redact
from supernova_ai.store import Store
from supernova_ai.store.tables import JobRow

log = get_logger(__name__)

_FIRST_WAIT_MS = 60_000
_LONGEST_WAIT_MS = 3_600_000
_WRONG_CLOCK_MS = 86_400_000
_LONGEST_OUTCOME = 500


def rows(database: Database) -> dict[str, JobRow]:
    """Return the record of each job that ever ran, by name."""
    return {row.name: row for row in JobRow.select().execute(database)}


def cut_short(row: JobRow) -> bool:
    """Say whether the last run did not end: it is running, or its process ended or was replaced."""
    return row.ended_ms is None or row.ended_ms < row.started_ms


def due_ms(schedule: Schedule, row: JobRow | None, now_ms: int) -> int:
    """Return from when on the job is due, which may be past. Instants that were missed count as one.

    A job that never ran is due at once; so is one whose first run was cut short. After a failure it waits.
    """
    if row is None:
        return now_ms
    done_ms = row.done_ms
    clock_was_wrong = done_ms is not None and done_ms > now_ms + _WRONG_CLOCK_MS
    due = now_ms if done_ms is None or clock_was_wrong else schedule.next(done_ms)
    if row.failures == 0 or (row.failures == 1 and cut_short(row)):
        return due
    wait_ms: int = min(_FIRST_WAIT_MS * 2 ** (row.failures - 1), _LONGEST_WAIT_MS)
    return max(due, row.started_ms + wait_ms)


def run(job: Job, lead: Lead, store: Store, loaded: Loaded) -> bool:
    """Run the job and record it; return whether it succeeded.

    Nothing is recorded or changed from the moment that another process leads.
    """
    store = store.guarded(lead.check)
    started = time.monotonic()

    def end(change: Callable[[Database], dict[Any, Any]]) -> None:
        def write(database: Database) -> None:
            columns = change(database)
            took_ms = round((time.monotonic() - started) * 1000)
            times = {JobRow.ended_ms: lead.now_ms + took_ms, JobRow.duration_ms: took_ms}
            JobRow.update(columns | times).where(JobRow.name == job.name).execute(database)

        store.write(write).result()

    try:
        failures = store.write(lambda database: _begin(database, job, lead)).result()
        try:
            vault = open_vault(store, environ=read_environ())
            outcome = job.work(Context(store, vault, loaded, lead.now_ms))
            end(
                lambda database: {
                    JobRow.outcome: _short(outcome if isinstance(outcome, str) else outcome(database)),
                    JobRow.done_ms: lead.now_ms,
                    JobRow.failures: 0,
                }
            )
        except LeaseLost:
            raise
        except Exception as error:  # one job must not stop the others
            reason = _reason(error)
            log.warning("job.failed", job=job.name, reason=reason)
            end(
                lambda database: {
                    JobRow.outcome: _notify(database, job, reason, loaded, lead.now_ms),
                    JobRow.failures: failures,
                }
            )
            return False
    except LeaseLost:
        log.warning("job.not_recorded", job=job.name, reason="another process leads by now")
        return False
    except SupernovaError as error:  # the database cannot be used
        log.warning("job.not_recorded", job=job.name, reason=str(error))
        return False
    log.debug("job.done", job=job.name, took_s=round(time.monotonic() - started, 1))
    return True


def _begin(database: Database, job: Job, lead: Lead) -> int:
    """Record that the job runs; return how many runs in a row have failed if this one does."""
    first = {"name": job.name, "fence": lead.fence, "started_ms": lead.now_ms, "runs": 1, "failures": 1}
    begin = JobRow.insert(first).on_conflict(
        conflict_target=[JobRow.name],
        preserve=[JobRow.fence, JobRow.started_ms],
        update={JobRow.runs: JobRow.runs + 1, JobRow.failures: JobRow.failures + 1},
    )
    ((failures,),) = begin.returning(JobRow.failures).tuples().execute(database)
    return int(failures)


def _notify(database: Database, job: Job, reason: str, loaded: Loaded, now_ms: int) -> str:
    """Record a notice of the failure, unless there is one of today; return the reason."""
    today = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(loaded.config.jobs.time_zone)).date()
    record_notice(
        database,
        "job",
        job.name,
        today.isoformat(),
        title=f"The job {job.name} failed",
        text=f"{job.does}: {reason}. It is tried again by itself; `supernova jobs` shows when.",
        now_ms=now_ms,
    )
    return reason


def _reason(error: Exception) -> str:
    known = isinstance(error, SupernovaError | JobFailed)
    return _short(str(error) if known else f"{type(error).__name__}: {error}")


def _short(text: str) -> str:
    return redact(" ".join(text.split()))[:_LONGEST_OUTCOME]
