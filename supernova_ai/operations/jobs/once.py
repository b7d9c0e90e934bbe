"""Run what is due, or what is named, once: for cron, and for a person who does not want to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from peewee import Database

from supernova_ai.config import Loaded
from supernova_ai.config.fields import nearest
from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.job import Job
from supernova_ai.operations.jobs.leader import TERM_S, Leader
from supernova_ai.operations.jobs.planned import scheduled
from supernova_ai.operations.jobs.registry import JOBS
from supernova_ai.store import Store
from supernova_ai.store.tables import JobRow

PATIENCE_S = 5.0
PATIENCE_NAMED_S = 60.0
"""How many seconds to wait while another process leads; it is asked to run the jobs that are named."""

_LOOK_AGAIN_S = 0.5


def maintain(
    store: Store,
    loaded: Loaded,
    names: Sequence[str] = (),
    *,
    jobs: Sequence[Job] = JOBS,
    term_s: float = TERM_S,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, bool] | None:
    """Run the named jobs, or those that are due, one after the other; return which succeeded.

    Args:
        names: jobs to run even if they are not due, or in ``jobs.skip``.

    Returns:
        None if another process leads, and did not run the named jobs in time.

    Raises:
        InvalidRequest: a name is no job, or the configuration leaves the job nothing to do.
    """
    named = [_find(name, jobs, loaded) for name in names]
    leader = Leader(store, term_s=term_s)
    before = store.read(runner.rows)
    for _ in range(round((PATIENCE_NAMED_S if names else PATIENCE_S) / _LOOK_AGAIN_S) + 1):
        if leader.claim():
            return _run(store, loaded, named, jobs, leader, term_s)
        if names:
            done = _done_by_other(store, names, before)
            if done.keys() == set(names):
                return done
            store.write(partial(_ask, rows=[before[name] for name in names if name in before])).result()
        sleep(_LOOK_AGAIN_S)
    return None


def _run(
    store: Store, loaded: Loaded, named: Sequence[Job], jobs: Sequence[Job], leader: Leader, term_s: float
) -> dict[str, bool]:
    try:
        with _renewed(leader, term_s / 3):
            wanted = named or _due(store, loaded, jobs, leader)
            return {
                job.name: runner.run(job, lead, store, loaded) for job in wanted if (lead := leader.claim())
            }
    finally:
        leader.release()


def _find(name: str, jobs: Sequence[Job], loaded: Loaded) -> Job:
    job = next((job for job in jobs if job.name == name), None)
    if job is None:
        names = [job.name for job in jobs]
        hint = nearest(name, names) or f" Use some of {', '.join(names)}."
        raise InvalidRequest(f"{name!r} is no job.{hint}")
    if job.when(loaded.config) is None:
        raise InvalidRequest(f"the configuration switches the job {name!r} off: see docs/operations.md")
    return job


def _due(store: Store, loaded: Loaded, jobs: Sequence[Job], leader: Leader) -> list[Job]:
    rows, lead = store.read(runner.rows), leader.claim()
    return [
        job
        for job, schedule in scheduled(loaded.config, jobs)
        if lead and runner.due_ms(schedule, rows.get(job.name), lead.now_ms) <= lead.now_ms
    ]


def _ask(database: Database, rows: Iterable[JobRow]) -> None:
    """Let the jobs that have not run since be due at once. A job without a row is due already."""
    for row in rows:
        not_since = (JobRow.name == row.name) & (JobRow.runs == row.runs)
        JobRow.update(done_ms=None, failures=0).where(not_since).execute(database)


def _done_by_other(store: Store, names: Sequence[str], before: Mapping[str, JobRow]) -> dict[str, bool]:
    """Return which of the jobs ran since, and whether they succeeded."""
    rows = store.read(runner.rows)
    return {
        name: not row.failures
        for name in names
        if (row := rows.get(name))
        and not runner.cut_short(row)
        and (name not in before or row.runs > before[name].runs)
    }


@contextmanager
def _renewed(leader: Leader, every_s: float) -> Iterator[None]:
    """Renew the lease on a thread of its own while the block runs."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(every_s):
            with suppress(StoreError):
                leader.claim()

    thread = threading.Thread(target=renew, name="supernova-jobs-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
