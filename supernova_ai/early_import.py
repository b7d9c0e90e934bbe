"""The import of LiteLLM on a background thread, from when a client is made: the first call finds it done.

It takes seconds. A fork meanwhile would copy a half of it, so the fork waits; the exit ends it at the next
module, because a thread that is cut off in compiled code can end the process with an error.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import Future, wait
from contextlib import suppress

from supernova_ai.blocking import exiting
from supernova_ai.concurrency import check_threads, collection_paused, spawn
from supernova_ai.errors import UnsupportedLoop

_THREAD = "supernova-import"
_MOST_S = 30.0
"""How long a fork or the exit waits for the import at most, in seconds."""

_lock = threading.Lock()
_running: Future[None] | None = None


def begin() -> None:
    """Start the import, unless it was started before; if it fails, the first call tries it again."""
    global _running
    with _lock, suppress(UnsupportedLoop, RuntimeError):  # no thread can be started: the first call imports
        if _running is None and not exiting.is_set():
            check_threads()
            _running = spawn(_THREAD, _import)


def wait_for_end() -> None:
    """Wait while the import runs."""
    if _running is not None and threading.current_thread().name != _THREAD:
        wait([_running], _MOST_S)


class _EndAtExit:
    """Finds no module, and at exit ends the thread that looks for one."""

    @staticmethod
    def find_spec(*_: object) -> None:
        if exiting.is_set() and threading.current_thread().name == _THREAD:
            raise SystemExit


def _import() -> None:
    sys.meta_path.insert(0, _EndAtExit)
    try:
        with collection_paused():
            import supernova_ai.runtime  # noqa: F401
    finally:
        sys.meta_path.remove(_EndAtExit)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=wait_for_end)
