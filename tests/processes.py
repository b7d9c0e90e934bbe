"""Processes: forks that are cheap to start, and what a process holds before and after."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

from tests.waiting import comes_true

FORK = multiprocessing.get_context("fork")


def run_in_child(work: Callable[[], object]) -> int | None:
    """Fork, do the work there, and return the exit code; it is negative where a signal ended it."""
    process = FORK.Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def end(processes: Iterable[Any]) -> None:
    """Wait for processes that were told to end; one that does not is killed, so that its test fails."""
    for process in processes:
        process.join(60)
        process.kill()
        process.join()


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program until it ends by itself; if the block fails, it is killed."""
    # Where the tests run in the background of a shell, interrupts are ignored, and a child inherits that.
    with subprocess.Popen(command, preexec_fn=_heed_interrupts, **options) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def kill_at(
    number: int,
    calls: Iterable[tuple[Any, Iterable[str]]],
    counts: Callable[..., bool] = lambda *_: True,
) -> None:
    """Kill this process at its n-th call of these functions, counted from 0 and over all of them.

    Args:
        calls: classes or modules, each with the names of functions.
        counts: called with the arguments of each call; says whether the call counts.
    """
    numbers = count()

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if counts(*args) and next(numbers) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for owner, names in calls:
        for name in names:
            setattr(owner, name, counting(getattr(owner, name)))


_PROCESS = Path("/proc/self")
_LIBC = ctypes.CDLL(None)
_THEIRS = "litellm-logging"  # LiteLLM's own few threads, for as long as the process lives


@contextmanager
def leaving_nothing(most_bytes: int | None = None) -> Iterator[None]:
    """Assert that the block leaves no thread, file or socket behind, and took no more memory than that."""
    threads, files = _held()
    with taking_at_most(most_bytes):
        yield

    def nothing_more() -> bool:  # fewer is no leak: what earlier tests left may end at any time
        now_threads, now_files = _held()
        return now_threads <= threads and now_files <= files

    # A thread that was told to stop needs a moment.
    assert comes_true(nothing_more), f"{(threads, files)} became {_held()}"


@contextmanager
def taking_at_most(most_bytes: int | None) -> Iterator[None]:
    """Assert that the block took no more memory than that, even for a moment."""
    (_PROCESS / "clear_refs").write_text("5")  # what is the peak from now on
    peak = _memory("VmHWM")
    yield
    assert most_bytes is None or _memory("VmHWM") - peak < most_bytes


def resident_bytes() -> int:
    """Return the memory in use, without what is only waiting to be collected, or given back to the system."""
    gc.collect()
    if hasattr(_LIBC, "malloc_trim"):  # glibc keeps what was freed
        _LIBC.malloc_trim(0)
    return _memory("VmRSS")


def _held() -> tuple[Counter[str], int]:
    names = Counter(t.name for t in threading.enumerate() if not t.name.startswith(_THEIRS))
    return names, len(list((_PROCESS / "fd").iterdir()))


def _memory(field: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
