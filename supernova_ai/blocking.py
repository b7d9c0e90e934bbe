"""Async calls for callers without async: each call blocks its thread until its result is there."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from contextlib import closing
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from supernova_ai.concurrency import check_threads, spawn
from supernova_ai.errors import UnsupportedLoop

T = TypeVar("T")

NEVER_BLOCKED = "supernova-engine"
"""The name of threads that every call needs: a blocking call on one would wait for itself."""

exiting = threading.Event()
"""Set at exit, just before the open clients are closed."""


class BlockingLoop:
    """An event loop that runs only while its caller waits for a call.

    It runs on the caller's thread: callbacks are called there, and Ctrl-C cancels the call. If that thread
    runs an event loop already, this one runs on a thread of its own, and the caller's loop stands still.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self._lock = threading.Lock()  # two threads may read one stream

    def run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await the coroutine that ``call`` returns, in the caller's context.

        Raises:
            UnsupportedLoop: gevent or eventlet has patched this process, or this is the engine's own thread.
        """
        check_threads()
        _stay_at_exit()
        try:
            with self._lock:
                if _is_loop_running():
                    return self._run_on_thread(call())
                return self._runner.run(call(), context=copy_context())
        except BaseException:
            _stay_at_exit()
            raise

    def close(self) -> None:
        """Cancel what is left on the loop, and close it. Closing twice does nothing."""
        if _is_loop_running():
            spawn("supernova-sync", self._runner.close).result()
        else:
            self._runner.close()

    def _run_on_thread(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._runner.get_loop()
        task = loop.create_task(work)
        running = spawn("supernova-sync", partial(loop.run_until_complete, task))
        try:
            return running.result()
        finally:
            if not running.done():  # Ctrl-C
                loop.call_soon_threadsafe(task.cancel)
                wait([running])


def run_blocking(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await the coroutine that ``call`` returns, on a new loop; raises as ``BlockingLoop.run`` does."""
    with closing(BlockingLoop()) as loop:
        return loop.run(call)


def _new_loop() -> asyncio.AbstractEventLoop:
    # Not epoll: a forked child that drops its copy of the loop would end the polling of the parent's.
    return asyncio.SelectorEventLoop(getattr(selectors, "PollSelector", selectors.SelectSelector)())


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    if threading.current_thread().name == NEVER_BLOCKED:
        raise UnsupportedLoop(
            "a blocking call on the engine's own thread, as from a callback of LiteLLM, would wait for "
            "itself: await the async call there, or call from another thread"
        )
    return True


def _stay_at_exit() -> None:
    """Keep a daemon thread here once the program exits: it ends with the process, without a traceback."""
    if exiting.is_set() and threading.current_thread().daemon:
        threading.Event().wait()
