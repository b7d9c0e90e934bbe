"""The list of jobs tells a run that goes on from one whose process is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from supernova_ai.config import Config, Loaded
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.job import Context, Job
from supernova_ai.operations.jobs.leader import Leader
from supernova_ai.operations.jobs.overview import JobState, overview
from supernova_ai.store import Store

MakeJob = Callable[..., Job]


@pytest.fixture
def state(store: Store, make_job: MakeJob) -> Callable[[], JobState]:
    return lambda: store.read(lambda database: overview(database, Config(), [make_job()])).jobs[0]


def test_a_run_that_goes_on(
    store: Store, loaded: Loaded, state: Callable[[], JobState], make_job: MakeJob
) -> None:
    """It is running while its process leads, and cut short once another one does; then it is due again."""
    assert (state().state, state().last, state().outcome) == ("never ran", None, None)
    leader = Leader(store)
    lead = leader.claim()
    assert lead

    def die(_: Context) -> str:
        assert state().state == "running"
        raise SystemExit

    with pytest.raises(SystemExit):
        runner.run(make_job(die), lead, store, loaded)
    leader.release()
    assert Leader(store).claim()
    cut = state()
    assert (cut.state, cut.outcome, cut.failures) == ("cut short", None, 1)
    assert cut.next
    assert cut.next <= datetime.now(UTC)


def test_an_ended_run(store: Store, loaded: Loaded, state: Callable[[], JobState], make_job: MakeJob) -> None:
    """It is done or failed, with its outcome and how long it took."""
    lead = Leader(store).claim()
    assert lead
    runner.run(make_job(), lead, store, loaded)
    assert (state().state, state().outcome, state().failures) == ("done", "worked", 0)
    runner.run(make_job(lambda _: 1 / 0), lead, store, loaded)
    assert (state().state, state().failures) == ("failed", 1)
    assert state().duration_ms is not None
