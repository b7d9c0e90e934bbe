"""Each run of a job is recorded: what it did, or why it failed and when it is tried again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from peewee import Database

from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.config import Loaded
from supernova_ai.errors import ConfigError, StoreError
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.job import Context, Job
from supernova_ai.operations.jobs.leader import Lead, Leader
from supernova_ai.operations.jobs.schedule import At, Every
from supernova_ai.store import Store
from supernova_ai.store.tables import JobRow, MetaRow

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_800_000_000_000

MakeJob = Callable[..., Job]


@pytest.fixture
def lead(store: Store) -> Lead:
    found = Leader(store).claim()
    assert found
    return found


@pytest.fixture
def run(store: Store, lead: Lead, loaded: Loaded) -> Callable[[Job], bool]:
    return lambda job: runner.run(job, lead, store, loaded)


def recorded(store: Store) -> JobRow:
    return store.read(runner.rows)["test"]


def write_row(name: str, database: Database) -> str:
    MetaRow.insert(name=name, value="").execute(database)
    return f"wrote {name}"


def exists(store: Store, name: str) -> bool:
    return store.read(lambda database: MetaRow.select().where(MetaRow.name == name).exists(database))


def test_a_run_is_recorded(store: Store, run: Callable[[Job], bool], lead: Lead, make_job: MakeJob) -> None:
    """The row says when it ran, what it did, and under which fence."""
    assert run(make_job())
    row = recorded(store)
    assert (row.outcome, row.failures, row.runs, row.fence) == ("worked", 0, 1, lead.fence)
    assert (row.started_ms, row.done_ms) == (lead.now_ms, lead.now_ms)
    assert row.ended_ms == lead.now_ms + (row.duration_ms or 0)
    assert not runner.cut_short(row)


def test_the_last_change_is_made_with_the_record(
    store: Store, run: Callable[[Job], bool], make_job: MakeJob
) -> None:
    """A job may return its last change of the database: it and the record are one transaction."""
    assert run(make_job(lambda _: partial(write_row, "made")))
    assert recorded(store).outcome == "wrote made"
    assert exists(store, "made")

    def fail(database: Database) -> str:
        write_row("undone", database)
        raise RuntimeError("the last change")

    assert not run(make_job(lambda _: fail))
    assert recorded(store).outcome == "RuntimeError: the last change"
    assert not exists(store, "undone")


def test_a_failure_is_recorded_without_secrets(
    store: Store, run: Callable[[Job], bool], make_job: MakeJob
) -> None:
    """The reason is in the row and in a notice, without keys; one notice a day."""

    def fail(_: Context) -> str:
        raise StoreError("refused sk-test-0123456789abcdef0123456789")

    assert not run(make_job(fail))
    assert not run(make_job(fail))
    row = recorded(store)
    assert (row.failures, row.runs, row.done_ms) == (2, 2, None)
    assert str(row.outcome).startswith("refused")
    (notice,) = store.read(list_alerts)
    assert (notice.kind, notice.budget) == ("job", "test")
    assert "sk-test" not in f"{row.outcome} {notice.message}"


def test_a_vault_that_cannot_be_opened_is_a_failure_of_the_job(
    store: Store, run: Callable[[Job], bool], make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken .env is recorded and told like any other reason, and does not end the thread of the jobs."""

    def broken() -> None:
        raise ConfigError(".env cannot be read")

    monkeypatch.setattr(runner, "read_environ", broken)
    assert not run(make_job())
    assert (recorded(store).failures, recorded(store).outcome) == (1, ".env cannot be read")
    assert [notice.kind for notice in store.read(list_alerts)] == ["job"]


def test_a_success_ends_the_failures(store: Store, run: Callable[[Job], bool], make_job: MakeJob) -> None:
    """The next run that succeeds sets the count to zero."""
    run(make_job(lambda _: 1 / 0))
    assert run(make_job())
    assert (recorded(store).failures, recorded(store).runs) == (0, 2)


def test_a_leader_that_was_replaced_records_nothing(
    store: Store, loaded: Loaded, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    """If another process leads before the job ends, neither its writes nor its end are kept; it says so."""
    stalled = Leader(store, term_s=-0.001).claim()
    assert stalled

    def work(context: Context) -> str:
        Leader(store).claim()  # while this process is stalled
        context.store.write(partial(write_row, "late")).result()
        return "never"

    assert not runner.run(make_job(work), stalled, store, loaded)
    assert runner.cut_short(recorded(store))
    assert recorded(store).outcome is None
    assert not exists(store, "late")
    assert "job.not_recorded job=test reason=another process leads by now" in caplog.text


def row(**columns: int | None) -> JobRow:
    usual = {"name": "test", "fence": 1, "runs": 1, "failures": 0, "started_ms": NOW, "ended_ms": NOW}
    return JobRow(**usual | {"done_ms": NOW} | columns)


DAILY = At("03:00", "UTC")


def test_due_at_the_next_instant_after_the_last_run() -> None:
    """Instants that passed while no process ran count as one."""
    assert runner.due_ms(Every(60), row(), NOW) == NOW + MINUTE
    due = runner.due_ms(DAILY, row(), NOW + 9 * DAY)
    assert NOW < due <= NOW + DAY
    assert runner.due_ms(DAILY, row(done_ms=NOW + 9 * DAY), NOW + 9 * DAY) > NOW + 9 * DAY


@pytest.mark.parametrize(
    "never", [None, row(done_ms=None, ended_ms=None, failures=1), row(done_ms=NOW + 2 * DAY)]
)
def test_due_at_once(never: JobRow | None) -> None:
    """It is due at once if it never ran, if its first run was cut short, or if the clock was wrong then."""
    assert runner.due_ms(DAILY, never, NOW) == NOW


@pytest.mark.parametrize(("failures", "wait"), [(1, MINUTE), (2, 2 * MINUTE), (5, 16 * MINUTE), (99, HOUR)])
def test_failures_wait_longer_each_time(failures: int, wait: int) -> None:
    """After a failure the next try waits one minute, then two, four … and an hour at most."""
    assert runner.due_ms(Every(1), row(failures=failures), NOW) == NOW + wait


def test_a_job_that_kills_its_process_lets_others_run() -> None:
    """A second run that is cut short waits too: else it would kill each new process at its start."""
    assert runner.due_ms(Every(60), row(ended_ms=NOW - 1, failures=1, done_ms=NOW - MINUTE), NOW) == NOW
    assert runner.due_ms(Every(60), row(ended_ms=NOW - 1, failures=2), NOW) == NOW + 2 * MINUTE
