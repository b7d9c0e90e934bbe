"""Daemon threads for blocking work, imports that stop no thread, and checks of the caller's loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from supernova_ai.errors import UnsupportedLoop

P = ParamSpec("P")
T = TypeVar("T")

_MAX_THREADS = 32
_IDLE_S = 5.0


def spawn(name: str, work: Callable[[], T]) -> Future[T]:
    """Run the work on a new daemon thread; the future has its result."""
    future: Future[T] = Future()
    threading.Thread(target=_run, args=(future, work), name=name, daemon=True).start()
    return future


class DaemonExecutor(ThreadPoolExecutor):
    """An executor with at most 32 daemon threads, which end after some idle seconds.

    At exit Python waits for the threads of its own executors, even if they hang. This subclasses
    ``ThreadPoolExecutor`` only because an event loop accepts no other as its default.
    """

    def __init__(self, name: str) -> None:
        super().__init__(_MAX_THREADS, name)
        self._name = name
        self._lock = threading.Lock()
        self._alive = 0
        self._unfinished = 0
        self._closed = False
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the function on the next free thread.

        Raises:
            RuntimeError: the executor was shut down, or no thread can be started.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor was shut down")
            if self._alive < min(self._unfinished + 1, _MAX_THREADS):
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._alive += 1
            self._unfinished += 1
            future.add_done_callback(self._finished)
            self._jobs.put((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - the base class's
        """End the threads after the queued jobs. It never waits for a thread, which may hang."""
        with self._lock:
            self._closed = True
            self._jobs.put(None)

    def _finished(self, _: Future[Any]) -> None:
        with self._lock:
            self._unfinished -= 1

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._alive -= 1
                        return
                continue
            if job is None:
                self._jobs.put(None)  # for the next thread
                return
            future, work = job
            if future.set_running_or_notify_cancel():
                _run(future, work)
            del job, future, work  # an idle thread must not keep objects alive


def deadline_after(seconds: float | None) -> float | None:
    """Return the time in so many seconds on the running loop's clock; None for None, which is no deadline."""
    return None if seconds is None else asyncio.get_running_loop().time() + seconds


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function like ``asyncio.to_thread``, but on a daemon thread, which cannot delay exit."""
    work = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_daemons, work)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause garbage collection during a large import, because it stops all threads of the process.

    Each time it would look at all that was imported so far: a million objects in the end, which take a fifth
    of a second. What was made is then as old as the oldest, so that it is not looked at again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # else the program has frozen objects, which unfreeze would release
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        if was_enabled:
            gc.enable()


def _run(future: Future[T], work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


_daemons = DaemonExecutor("supernova-work")


def _after_fork() -> None:
    global _daemons
    _daemons = DaemonExecutor("supernova-work")  # the child has no threads, and the lock may be held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_PATCHERS = (
    ("gevent", "gevent.monkey", "is_module_patched", ("threading", "socket", "select")),
    ("eventlet", "eventlet.patcher", "is_monkey_patched", ("thread", "socket", "select")),
)


def check_threads() -> None:
    """Refuse a process in which gevent or eventlet has patched threads or sockets: asyncio hangs there.

    Raises:
        UnsupportedLoop: the message names the library.
    """
    for library, name, check, modules in _PATCHERS:
        patcher = sys.modules.get(name)
        if patcher is not None and any(map(getattr(patcher, check), modules)):
            raise UnsupportedLoop(
                f"{library} has patched this process's threads and sockets, and a call would hang: use "
                f"supernova_ai in a process without {library}'s patches"
            )


def check_loop() -> None:
    """Refuse a caller without a running asyncio loop, or in a patched process.

    Raises:
        UnsupportedLoop: the message says how to call instead.
    """
    check_threads()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UnsupportedLoop(
            "no asyncio event loop is running, and trio and curio are not supported: use "
            "asyncio.run(…), SupernovaSync, anyio with its asyncio backend, or trio-asyncio"
        ) from None
