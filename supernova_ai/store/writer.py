"""The writer thread with group commit: many small durable transactions cost one fsync."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import cache
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

from peewee import Database, InterfaceError, OperationalError

from supernova_ai.errors import StoreError
from supernova_ai.log import get_logger
from supernova_ai.store.bulk import run_all
from supernova_ai.store.failures import explain
from supernova_ai.store.postgres import OVERLAPPING, Postgres, RunAgain, exceeds_limit

log = get_logger(__name__)

T = TypeVar("T")

BATCH = 64
"""The most operations in one commit."""


class Job(NamedTuple, Generic[T]):
    """An operation that waits for its batch, and the future of its result."""

    operation: Callable[[Any], T]
    future: Future[T]
    context: Context  # of the caller: log lines name its request
    together: Together | None

    def run(self, argument: Any) -> T:
        """Run the operation."""
        return self.context.run(self.operation, argument)


Outcome = tuple[Any, BaseException | None]
"""A result, or what was raised instead."""

Together = Callable[[Database, Sequence[Job[Any]], bool], list[Outcome]]
"""Runs neighbours of one kind, which then share their statements, and returns the outcome of each.

Its last argument says whether no other process writes meanwhile: else it may raise ``RunAgain``. What it
raises undoes all of them, and each then runs by itself.
"""


class _Undo(Exception):
    """Undoes a transaction."""


class Writer:
    """Runs operations in order on its own thread.

    Operations that arrive together share one transaction. Those of a kind that runs ``together`` share their
    statements too; each other one has a savepoint: if it raises, only that one is undone. If the transaction
    itself is lost, all of them fail. A future completes only after the commit, so its result is durable.

    Args:
        where: the database's name in error messages.
    """

    def __init__(self, database: Database, where: str) -> None:
        self._database = database
        self._where = where
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._was_cut_off = False
        self.closed = False
        _stop_during_forks()
        _writers.add(self)

    def submit(self, operation: Callable[[Any], T], together: Together | None = None) -> Future[T]:
        """Queue ``operation(database)``; the future gives its result after the commit.

        What runs operations ``together`` gives them another argument.

        The future cannot be cancelled. Its callbacks run on the writer's thread and must not submit.

        Raises:
            StoreError: the writer is closed, or its thread cannot be started.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self.closed:
                raise StoreError("the store is closed")
            if self._thread is None:
                # A daemon: a program that does not close the store must still exit.
                thread = threading.Thread(target=self._run, name="supernova-writer", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # too many threads, or the interpreter is exiting
                    raise StoreError(f"the store cannot start its thread: {error}") from error
                self._thread = thread
            self._jobs.put(Job(operation, future, copy_context(), together))
        return future

    def close(self) -> None:
        """Commit the queued operations and end the thread. A second call does nothing."""
        with self._lock:
            self.closed = True
            self._stop()

    def _stop(self) -> None:
        """Commit the queued operations and end the thread and its connection; the next job starts another."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        closing = False
        while not closing:
            batch: list[Job[Any]] = []
            job = self._jobs.get()
            while job is not None:
                batch.append(job)
                if len(batch) == BATCH:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            else:
                closing = True
            if batch:
                self._commit(batch)
        self._disconnect()

    def _commit(self, batch: list[Job[Any]]) -> None:
        try:
            outcomes = self._transact(batch)
        except BaseException as error:
            if len(batch) > 1 and all(job.together for job in batch) and self._is_of_one(error):
                for job in batch:
                    self._commit([job])
                return
            failure = explain(error, self._where)
            log.warning("store.commit.failed", operations=len(batch), error=str(failure))
            self._was_cut_off |= self._connection_is_lost()
            self._disconnect()  # the next batch opens a new connection
            outcomes = [(None, failure)] * len(batch)
        for job, (result, reason) in zip(batch, outcomes, strict=True):
            try:
                if reason is None:
                    job.context.run(job.future.set_result, result)
                else:
                    job.context.run(job.future.set_exception, explain(reason, self._where))
            except BaseException:  # from a callback; the other futures must still complete
                log.exception("store.callback.failed")

    def _is_of_one(self, error: BaseException) -> bool:
        """Say whether the error undid the batch for the sake of one operation, and others would succeed."""
        if self._connection_is_lost():
            return False  # it may be committed
        if isinstance(error, OperationalError | InterfaceError):  # the database is busy, full or gone
            return exceeds_limit(error)
        return isinstance(error, Exception) and not isinstance(error, MemoryError)

    def _connection_is_lost(self) -> bool:
        return isinstance(self._database, Postgres) and self._database.connection_is_lost()

    def _transact(self, batch: list[Job[Any]]) -> list[Outcome]:
        """Run the batch in one transaction, beside those of other processes if all of it may.

        After a connection was lost the server may still be writing what came over it: the next batch waits.
        """
        database = self._database
        overlaps = all(job.together for job in batch) and not self._was_cut_off
        if isinstance(database, Postgres) and overlaps:
            for _ in range(2):
                try:
                    return self._run_batch(batch, OVERLAPPING)
                except RunAgain as reason:
                    log.debug("store.batch.repeated", operations=len(batch), reason=str(reason))
                    if database.connection_is_lost():
                        self._disconnect()
                    if not reason.beside_others:
                        break
        outcomes = self._run_batch(batch)  # after all other transactions
        self._was_cut_off = False
        return outcomes

    def _run_batch(self, batch: list[Job[Any]], *mode: str) -> list[Outcome]:
        if len(batch) == 1:
            return self._run_alone(batch, *mode)
        with self._database.atomic(*mode):
            outcomes: list[Outcome] = []
            for together, jobs in groupby(batch, key=lambda job: job.together):
                if together is None:
                    outcomes += [self._attempt(job) for job in jobs]
                elif all(job.together for job in batch):
                    outcomes += together(self._database, list(jobs), not mode)
                else:  # nothing of the others may run a second time
                    outcomes += self._attempt_together(together, list(jobs))
        return outcomes

    def _run_alone(self, batch: list[Job[Any]], *mode: str) -> list[Outcome]:
        """Run the only operation of a transaction, which undoes it without a savepoint."""
        (job,) = batch
        raised: list[BaseException] = []
        try:
            with self._database.atomic(*mode):
                try:
                    if job.together:
                        return job.together(self._database, batch, not mode)
                    return [(job.run(self._database), None)]
                except RunAgain:
                    raise
                except BaseException as error:
                    raised.append(error)
                    raise _Undo from error
        except _Undo:
            return [(None, raised[0])]

    def _attempt(self, job: Job[Any]) -> Outcome:
        savepoint = self._database.savepoint()
        with savepoint:
            try:
                return job.run(self._database), None
            except BaseException as error:
                savepoint.rollback(begin=False)  # raises if the transaction is lost: the whole batch fails
                return None, error

    def _attempt_together(self, together: Together, jobs: list[Job[Any]]) -> list[Outcome]:
        savepoint = self._database.savepoint()
        with savepoint:
            try:
                outcomes = together(self._database, jobs, True)
                run_all(self._database, ())  # what is left for the next trip
                return outcomes
            except BaseException as error:
                savepoint.rollback(begin=False)
                if len(jobs) == 1:
                    return [(None, error)]
        return [outcome for job in jobs for outcome in self._attempt_together(together, [job])]

    def _disconnect(self) -> None:
        try:
            self._database.close()
        except Exception:
            self._database.dispose()


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_stopped: list[Writer] = []


@cache
def _stop_during_forks() -> None:
    """Stop all writers during a fork, so that no child inherits a connection and its SQLite locks."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _before_fork() -> None:
    for writer in list(_writers):
        writer._lock.acquire()
        _stopped.append(writer)
        writer._stop()


def _after_fork() -> None:
    stopped = _stopped.copy()
    _stopped.clear()  # before any lock is free: another thread may be waiting to fork
    for writer in stopped:
        writer._lock.release()
