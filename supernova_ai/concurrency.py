"""Daemon threads for blocking work, and the event loops that the package works with."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from supernova_ai.errors import UnsupportedLoop

P = ParamSpec("P")
T = TypeVar("T")

_MOST = 32

_IDLE_S = 5.0


def spawn(name: str, work: Callable[[], T]) -> Future[T]:
    """Start the work on a daemon thread of its own; the future has its result."""
    future: Future[T] = Future()
    threading.Thread(target=_do, args=(future, work), name=name, daemon=True).start()
    return future


class Daemons(ThreadPoolExecutor):
    """An executor over at most 32 daemon threads; each waits some seconds for the next job, then ends.

    Python waits for the threads of its own executors before it exits, and so for whatever hangs in them. It
    is a ``ThreadPoolExecutor`` only because an event loop takes no other as its default.
    """

    def __init__(self, name: str) -> None:
        super().__init__(_MOST, name)
        self._name = name
        self._lock = threading.Lock()
        self._alive = 0
        self._unfinished = 0
        self._closed = False
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the function on a thread as soon as one is free.

        Raises:
            RuntimeError: the executor was shut down, or no thread can be started.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor was shut down")
            if self._alive < min(self._unfinished + 1, _MOST):
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._alive += 1
            self._unfinished += 1
            future.add_done_callback(self._finished)
            self._jobs.put((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as theirs
        """End the threads when the queued jobs are done. Wait for none of them: they may hang."""
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
                _do(future, work)
            del job, future, work  # a thread that waits must keep nothing alive


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Await what a blocking function returns; as ``asyncio.to_thread``, but never in the way of the exit."""
    work = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_daemons, work)


def _do(future: Future[T], work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


_daemons = Daemons("supernova-work")


def _after_fork() -> None:
    global _daemons
    _daemons = Daemons("supernova-work")  # the parent's threads are not here, and its lock may be taken


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_PATCHERS = (
    ("gevent", "gevent.monkey", "is_module_patched", ("threading", "socket", "select")),
    ("eventlet", "eventlet.patcher", "is_monkey_patched", ("thread", "socket", "select")),
)


def check_threads() -> None:
    """Refuse a process in which gevent or eventlet has replaced threads or sockets: asyncio hangs there.

    Raises:
        UnsupportedLoop: it names the library.
    """
    for library, name, asked, modules in _PATCHERS:
        patcher = sys.modules.get(name)
        if patcher is not None and any(map(getattr(patcher, asked), modules)):
            raise UnsupportedLoop(
                f"{library} has patched this process's threads and sockets, and a call would hang: use "
                f"supernova_ai in a process without {library}'s patches"
            )


def check_loop() -> None:
    """Refuse a caller without a running asyncio loop, or with one that could not work.

    Raises:
        UnsupportedLoop: it says how to call instead.
    """
    check_threads()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UnsupportedLoop(
            "no asyncio event loop is running here, and trio and curio are not supported: use "
            "asyncio.run(…), anyio with its asyncio backend, or trio-asyncio"
        ) from None
