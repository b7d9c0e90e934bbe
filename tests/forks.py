"""Other processes that are cheap to start: forks of this one, with all it has imported."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

FORK = multiprocessing.get_context("fork")


def run_in_child(work: Callable[[], object]) -> int | None:
    """Fork, do the work there, and return the exit code; it is negative where a signal ended it."""
    process = FORK.Process(target=work)
    process.start()
    process.join()
    return process.exitcode
