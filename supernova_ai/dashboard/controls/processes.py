"""The processes in which controls run: the dashboard itself only reads, and never imports LiteLLM."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path

from supernova_ai import config as configuration
from supernova_ai.dashboard.controls import CONTROLS
from supernova_ai.dashboard.controls.control import Answer, Call
from supernova_ai.dashboard.controls.perform import perform
from supernova_ai.errors import ConfigError
from supernova_ai.keys.master_sources import for_own_process
from supernova_ai.log import get_logger, setup

log = get_logger(__name__)

_DIED = "The process that does this ended before it was done. Look whether it happened, then try again."


class Processes:
    """Runs controls, one after the other, in a process that is made at the first one.

    A control that may take long has a process of its own, so that revoking a key never waits for it.

    Args:
        path: the base file of the configuration, as for ``config.load``.
        prepare: called first in each process.
        make: makes what runs them; a process unless given.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        prepare: Callable[[], object] | None = None,
        make: Callable[[], Executor] | None = None,
    ) -> None:
        self._path = path
        self._make = make or partial(_process, path, prepare)
        self._running: dict[str, Executor] = {}

    async def run(self, call: Call) -> Answer:
        """Go one step with a control. If its process is ended meanwhile, the next call makes another."""
        own = call.control if call.step == "do" and CONTROLS[call.control].lasts else ""
        try:
            return await asyncio.wrap_future(self._submit(own, call))
        except BrokenExecutor:
            log.error("dashboard.control.died", control=call.control, user=call.user)
            return Answer(problem=_DIED)

    def _submit(self, own: str, call: Call) -> Future[Answer]:
        with suppress(KeyError, BrokenExecutor):  # there is none, or it was ended while it had nothing to do
            return self._running[own].submit(perform, self._path, call)
        self._running[own] = self._make()
        return self._running[own].submit(perform, self._path, call)

    def close(self) -> None:
        """End the processes once what runs in them is done."""
        for executor in self._running.values():
            executor.shutdown(cancel_futures=True)


def _process(path: Path | None, prepare: Callable[[], object] | None) -> Executor:
    return ProcessPoolExecutor(1, get_context("spawn"), _begin, (path, prepare, for_own_process()))


def _begin(path: Path | None, prepare: Callable[[], object] | None, variables: Mapping[str, str]) -> None:
    """Prepare a process: it has the master key, logs as configured, and ends with the dashboard."""
    os.environ.update(variables)
    for number in (signal.SIGINT, signal.SIGTERM):  # those are for the dashboard, which lets controls finish
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare:
        prepare()
    try:
        configuration.configure_logging(configuration.load(path).config, terminal=True)
    except ConfigError:  # each control says why
        setup.configure(terminal=True)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)
