"""Blocking work runs on a limited number of threads, in order, and never delays exit."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from supernova_ai import concurrency
from supernova_ai.concurrency import DaemonExecutor, collection_paused, in_thread, spawn
from tests.processes import run_in_child
from tests.waiting import comes_true


async def test_results_and_errors_come_back() -> None:
    """``in_thread`` returns results and raises errors like ``asyncio.to_thread``."""
    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 7, 0)
    assert spawn("alone", lambda: threading.current_thread().name).result(30) == "alone"


def test_threads_are_limited_and_jobs_run_in_order() -> None:
    """The 33rd job waits until one of 32 is done; a cancelled job does not run."""
    daemons, go = DaemonExecutor("few"), threading.Event()
    done: list[int] = []
    busy = [daemons.submit(go.wait, 30) for _ in range(32)]
    late = [daemons.submit(done.append, number) for number in range(3)]
    assert late[1].cancel()
    assert sum(thread.name == "few" for thread in threading.enumerate()) == 32
    assert done == []
    go.set()
    assert all(future.result(30) for future in busy)
    for future in (late[0], late[2]):
        future.result(30)
    assert sorted(done) == [0, 2]


async def test_an_idle_thread_takes_the_next_job_and_ends_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Successive jobs share one thread; after it ended, the next job starts another."""
    daemons, loop = DaemonExecutor("one"), asyncio.get_running_loop()
    first = {await loop.run_in_executor(daemons, threading.current_thread) for _ in range(50)}
    assert len(first) == 1
    monkeypatch.setattr(concurrency, "_IDLE_S", 0.01)
    (thread,) = {await loop.run_in_executor(daemons, threading.current_thread)}
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()
    assert await loop.run_in_executor(daemons, divmod, 7, 2) == (3, 1)


async def test_a_shut_executor_runs_its_queue_and_ends_its_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Queued jobs run, idle threads end at once, and later jobs are refused."""
    monkeypatch.setattr(concurrency, "_IDLE_S", 3600)
    daemons, go, done = DaemonExecutor("shut"), threading.Event(), list[int]()
    (idle,) = {await asyncio.get_running_loop().run_in_executor(daemons, threading.current_thread)}
    busy = [daemons.submit(go.wait, 30) for _ in range(32)]
    late = daemons.submit(done.append, 1)
    daemons.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        daemons.submit(done.append, 2)
    go.set()
    assert all(future.result(30) for future in busy)
    late.result(30)
    await asyncio.to_thread(idle.join, 30)
    assert comes_true(lambda: all(thread.name != "shut" for thread in threading.enumerate()))
    assert done == [1]


def test_a_thread_that_cannot_start_leaves_no_job_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused job does not run later; the next job starts a thread."""
    daemons, done = DaemonExecutor("none"), list[int]()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _no_more_threads)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            daemons.submit(done.append, 1)
    daemons.submit(done.append, 2).result(30)
    assert done == [2]


def _no_more_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


HANGING = """
import asyncio, threading
from supernova_ai.concurrency import DaemonExecutor, in_thread, spawn

async def hang():
    loop = asyncio.get_running_loop()
    loop.set_default_executor(DaemonExecutor("of the loop"))
    loop.run_in_executor(None, threading.Event().wait)
    asyncio.create_task(in_thread(threading.Event().wait))
    await asyncio.sleep(0)

spawn("hangs", threading.Event().wait)
asyncio.run(hang())
print("the end")
"""


def test_hanging_work_does_not_delay_exit() -> None:
    """A process exits while a spawned thread, the pool and a loop's executor hang."""
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "the end\n"), ended.stderr


def test_a_fork_has_its_own_threads() -> None:
    """A forked child starts new threads, because the parent's do not exist there."""
    go = threading.Event()
    for _ in range(32):
        concurrency._daemons.submit(go.wait, 30)
    assert run_in_child(lambda: asyncio.run(in_thread(divmod, 7, 2))) == 0
    go.set()


@pytest.fixture
def collecting() -> Iterator[None]:
    """Garbage is collected by itself, as usual, before and after the test."""
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collecting")
def test_collection_pauses_for_a_while() -> None:
    """Nothing is collected meanwhile; what was made is then of the oldest generation and still collected."""
    loop: list[object] = []
    loop.append(loop)
    with collection_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert any(each is loop for each in gc.get_objects(generation=2))


@pytest.mark.usefixtures("collecting")
def test_a_program_s_own_settings_of_collection_stay() -> None:
    """A program that collects by itself, or has frozen objects, finds both as they were."""
    gc.freeze()
    frozen = gc.get_freeze_count()
    gc.disable()
    with pytest.raises(ImportError), collection_paused():
        raise ImportError
    assert not gc.isenabled()
    assert 0 < gc.get_freeze_count() <= frozen  # other threads may drop some
