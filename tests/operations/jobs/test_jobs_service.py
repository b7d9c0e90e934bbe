"""One process runs what is due, stands by while another leads, and ends cleanly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from supernova_ai.audit import current_actor
from supernova_ai.config import Config, Loaded
from supernova_ai.errors import ConfigError, StoreError
from supernova_ai.operations.jobs import once, runner, service
from supernova_ai.operations.jobs.job import Context, Job
from supernova_ai.operations.jobs.leader import Leader, current_holder
from supernova_ai.operations.jobs.once import maintain
from supernova_ai.operations.jobs.planned import scheduled
from supernova_ai.operations.jobs.registry import JOBS
from supernova_ai.operations.jobs.service import Event, Service
from supernova_ai.store import Store
from tests.waiting import comes_true

MakeJob = Callable[..., Job]
TERM_S = 1.0
PATIENCE_S = 60


@contextmanager
def running(
    store: Store, jobs: Sequence[Job], load: Callable[[], Loaded] = lambda: Loaded.of(Config())
) -> Iterator[SimpleQueue[Event]]:
    """Run a service on a thread of its own, and stop it at the end."""
    events: SimpleQueue[Event] = SimpleQueue()
    thread = threading.Thread(target=Service(store, load, events, jobs=jobs, term_s=TERM_S).run)
    thread.start()
    try:
        yield events
    finally:
        events.put("stop")
        thread.join()


def setting(event: threading.Event) -> Callable[[Context], str]:
    """Return the work of a job that sets the event."""

    def work(_: Context) -> str:
        event.set()
        return "worked"

    return work


def test_it_runs_what_is_due(store: Store, make_job: MakeJob) -> None:
    """A job that never ran runs at once, as 'run', and again when it is due; at the end nobody leads."""
    seen: SimpleQueue[str] = SimpleQueue()

    def work(_: Context) -> str:
        seen.put(current_actor().source)
        return "worked"

    with running(store, [make_job(work, seconds=0.2)]):
        sources = [seen.get(timeout=PATIENCE_S) for _ in range(3)]
        assert store.read(current_holder)
    assert {source.partition(" ")[0] for source in sources} == {"run"}
    assert store.read(current_holder) is None
    assert not runner.cut_short(store.read(runner.rows)["test"])  # it waited for what was running


def test_one_failing_job_does_not_stop_the_others(store: Store, make_job: MakeJob) -> None:
    """A job that raises anything, or hangs, delays no other job."""
    release, worked = threading.Event(), threading.Event()

    def hang(_: Context) -> str:
        release.wait(PATIENCE_S)
        return "at last"

    jobs = [
        make_job(lambda _: 1 / 0, "broken"),
        make_job(hang, "hanging"),
        make_job(setting(worked), "other"),
    ]
    with running(store, jobs):
        assert worked.wait(PATIENCE_S)
        release.set()
    rows = store.read(runner.rows)
    assert rows["broken"].outcome == "ZeroDivisionError: division by zero"
    assert rows["hanging"].outcome == "at last"


def test_a_job_that_does_not_end_is_cut_short(
    store: Store, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop waits some seconds for running jobs, no longer; the next leader runs them again."""
    monkeypatch.setattr(service, "GRACE_S", 0.0)
    begun, release = threading.Event(), threading.Event()

    def hang(_: Context) -> str:
        begun.set()
        release.wait(PATIENCE_S)
        return "too late"

    with running(store, [make_job(hang)]):
        assert begun.wait(PATIENCE_S)
    assert runner.cut_short(store.read(runner.rows)["test"])
    again = threading.Event()
    with running(store, [make_job(setting(again))]):
        assert again.wait(PATIENCE_S)
    release.set()


def test_it_stands_by_while_another_leads(store: Store, make_job: MakeJob) -> None:
    """It runs nothing until the other one stops, and then leads."""
    other, worked = Leader(store), threading.Event()
    other.claim()
    with running(store, [make_job(setting(worked))]):
        holder = store.read(current_holder)
        assert holder
        assert holder.name == other.holder
        assert not worked.is_set()
        other.release()
        assert worked.wait(PATIENCE_S)


def test_it_survives_a_database_that_is_away(
    store: Store, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the database cannot be used it neither leads nor ends; it leads again once it can."""
    failures = iter([StoreError("the server restarts")] * 2)
    claim = Leader.claim

    def fail_first(leader: Leader) -> object:
        for failure in failures:
            raise failure
        return claim(leader)

    monkeypatch.setattr(Leader, "claim", fail_first)
    worked = threading.Event()
    with running(store, [make_job(setting(worked))]):
        assert worked.wait(PATIENCE_S)
    assert "jobs.leader.not_renewed reason=the server restarts" in caplog.text


def test_a_reload_applies_another_configuration(store: Store, make_job: MakeJob) -> None:
    """After the event, jobs get the new configuration; a wrong one changes nothing."""
    wanted = SimpleQueue[Loaded | Exception]()
    first = Loaded.of(Config())
    for each in (first, ConfigError("wrong"), replace(first, version="second"), replace(first, database="x")):
        wanted.put(each)
    seen: SimpleQueue[str] = SimpleQueue()

    def load() -> Loaded:
        found = wanted.get_nowait()
        if isinstance(found, Exception):
            raise found
        return found

    def work(context: Context) -> str:
        seen.put(context.loaded.version)
        return "worked"

    with running(store, [make_job(work, seconds=0.1)], load) as events:
        assert seen.get(timeout=PATIENCE_S) == first.version
        for _ in range(3):
            events.put("watch")
        assert comes_true(lambda: seen.get(timeout=PATIENCE_S) == "second")
        assert wanted.empty() or comes_true(wanted.empty)
        assert seen.get(timeout=PATIENCE_S) == "second"


def test_systemd_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NOTIFY_SOCKET it says that it is ready, that it lives, and that it stops."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(Path(folder, "notify")))  # a path of a test's own folder may be too long
        listener.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(Path(folder, "notify")))
        with running(store, []):
            told = [listener.recv(100) for _ in range(2)]
        assert [*told, listener.recv(100)][:2] == [b"READY=1", b"WATCHDOG=1"]


def test_skipped_jobs_do_not_run() -> None:
    """``jobs.skip`` leaves jobs out; a name that is no job is refused with the nearest."""
    names = {job.name for job, _ in scheduled(Config.model_validate({"jobs": {"skip": ["verify"]}}), JOBS)}
    assert "alerts" in names
    assert "verify" not in names
    with pytest.raises(ConfigError, match=r"names 'verfy'.+ Did you mean 'verify'"):
        scheduled(Config.model_validate({"jobs": {"skip": ["verfy"]}}), JOBS)


def test_every_job_is_explained() -> None:
    """docs/operations.md has a row for each job."""
    page = Path(__file__).parents[3].joinpath("docs", "operations.md").read_text(encoding="utf-8")
    assert [job.name for job in JOBS if f"| `{job.name}` |" not in page] == []


def test_maintaining_once(store: Store, loaded: Loaded, make_job: MakeJob) -> None:
    """Due jobs run once, then none is due; a named job runs whether it is due or not."""
    jobs = [make_job(seconds=3600), make_job(lambda _: 1 / 0, "broken", seconds=3600)]
    assert maintain(store, loaded, jobs=jobs) == {"test": True, "broken": False}
    assert maintain(store, loaded, jobs=jobs) == {}
    assert maintain(store, loaded, ["test"], jobs=jobs) == {"test": True}
    assert store.read(current_holder) is None


def test_maintaining_while_another_leads(store: Store, loaded: Loaded, make_job: MakeJob) -> None:
    """The process that leads is asked to run the named jobs, and its results are returned."""
    good, bad = make_job(seconds=3600), make_job(lambda _: 1 / 0, "broken", seconds=3600)
    maintain(store, loaded, jobs=[good, bad])
    with running(store, [good, bad]):
        assert comes_true(lambda: store.read(current_holder))
        assert maintain(store, loaded, ["test", "broken"], jobs=[good, bad]) == {
            "test": True,
            "broken": False,
        }
    assert {name: row.runs for name, row in store.read(runner.rows).items()} == {"test": 2, "broken": 2}


def test_a_job_that_fails_while_it_is_asked_for_has_failed(
    store: Store, loaded: Loaded, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of another process that ends between two looks keeps its outcome."""
    job = make_job(lambda _: 1 / 0)
    maintain(store, loaded, jobs=[job])
    lead = Leader(store).claim()
    assert lead
    done_by_other = once._done_by_other

    def late(*given: Any) -> dict[str, bool]:
        found = done_by_other(*given)
        if not found:
            runner.run(job, lead, store, loaded)
        return found

    monkeypatch.setattr(once, "_done_by_other", late)
    assert maintain(store, loaded, ["test"], jobs=[job], sleep=lambda _: None) == {"test": False}


def test_maintaining_does_not_wait_for_ever(store: Store, loaded: Loaded, make_job: MakeJob) -> None:
    """It gives up after some seconds, or a minute if jobs are named."""
    Leader(store).claim()
    waits: list[float] = []
    assert maintain(store, loaded, jobs=[make_job()], sleep=waits.append) is None
    assert sum(waits) == once.PATIENCE_S + 0.5
    assert maintain(store, loaded, ["test"], jobs=[make_job()], sleep=waits.append) is None
