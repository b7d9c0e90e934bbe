"""One event loop on its own thread, so that callers may use any loop and thread, or none.

LiteLLM's clients belong to the loop that made them, and a program may run several loops. All calls run
on this one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from supernova_ai.blocking import NEVER_BLOCKED
from supernova_ai.concurrency import DaemonExecutor
from supernova_ai.errors import NoProvider

T = TypeVar("T")


class EventLoopThread:
    """A running event loop on a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(DaemonExecutor("supernova-engine-work"))
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=NEVER_BLOCKED, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start the coroutine on the loop; cancelling the future cancels it there.

        Raises:
            NoProvider: the loop is closed.
        """
        with self._lock:
            if self._closed:
                work.close()
                raise NoProvider("the client was closed")
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the coroutine's result from whichever loop this is; raises as ``submit`` does."""
        try:
            return await asyncio.wrap_future(self.submit(work))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task and not task.cancelling():
                raise NoProvider("the client was closed during the call") from None
            raise

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what is running, wait for its clean-up, await ``last``, and end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._last = last
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        finish = self._loop.run_until_complete
        try:
            self._loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            finish(asyncio.gather(*tasks, return_exceptions=True))
            finish(self._loop.shutdown_asyncgens())  # streams that are not being read
            finish(self._last())
            finish(self._loop.shutdown_default_executor())
            self._loop.close()
