"""The writer thread with group commit: many small durable transactions cost one fsync."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

from peewee import Database, PeeweeException

from supernova_ai.errors import StoreError
from supernova_ai.log import get_logger
from supernova_ai.store.postgres import NO_OPTIONS

log = get_logger(__name__)

T = TypeVar("T")
Operation = Callable[[Database], T]

BATCH = 64
"""The most operations in one commit."""


class _Job(NamedTuple, Generic[T]):
    operation: Operation[T]
    future: Future[T]
    context: Context  # of the caller: log lines name its request


class Writer:
    """Runs operations in order on its own thread.

    Operations that arrive together share one transaction, each inside a savepoint: if one raises, only that
    one is undone. If the transaction itself is lost, all of them fail. A future completes only after the
    commit, so its result is durable.

    Args:
        where: the database's name in error messages.
    """

    def __init__(self, database: Database, where: str) -> None:
        self._database = database
        self._where = where
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.closed = False
        _stop_during_forks()
        _writers.add(self)

    def submit(self, operation: Operation[T]) -> Future[T]:
        """Queue ``operation(database)``; the future gives its result after the commit.

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
            self._jobs.put(_Job(operation, future, copy_context()))
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
            batch: list[_Job[Any]] = []
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

    def _commit(self, batch: list[_Job[Any]]) -> None:
        try:
            with self._database.atomic():
                outcomes = [job.context.run(self._attempt, job.operation) for job in batch]
        except BaseException as error:
            failure = explain(error, self._where)
            log.warning("store.commit.failed", operations=len(batch), error=str(failure))
            self._disconnect()  # the next batch opens a new connection
            outcomes = [(None, failure)] * len(batch)
        for job, (result, reason) in zip(batch, outcomes, strict=True):
            try:
                if reason is None:
                    job.context.run(job.future.set_result, result)
                else:
                    job.context.run(job.future.set_exception, reason)
            except BaseException:  # from a callback; the other futures must still complete
                log.exception("store.callback.failed")

    def _attempt(self, operation: Operation[Any]) -> tuple[Any, BaseException | None]:
        savepoint = self._database.savepoint()
        with savepoint:
            try:
                return operation(self._database), None
            except BaseException as error:
                savepoint.rollback(begin=False)  # raises if the transaction is lost: the whole batch fails
                return None, explain(error, self._where)

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


def explain(error: BaseException, where: str) -> BaseException:
    """Turn a database error into a ``StoreError`` that says what to do; return other errors unchanged.

    The driver's reason may be in ``__context__``: after a full disk, peewee reports the failed rollback.
    """
    if not isinstance(error, PeeweeException | OSError):
        return error
    reasons = []
    cause: BaseException | None = error
    seen: set[int] = set()  # errors can be chained in a circle
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        reasons.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = " ".join(" / ".join(dict.fromkeys(reasons)).split())
    remedy = next((cure for sign, cure in _REMEDIES.items() if sign in text.lower()), "See the reason above")
    failure = StoreError(f"the database could not be used ({where}): {text}. {remedy}.")
    failure.__cause__ = error
    return failure


_DISK_FULL = "Free some space on its disk; no partial write remains"
_BROKEN = "Try again: the next write opens a new connection"
_SERVER = "Start the server, or correct its address, database, user and password in 'database'"
_NO_FOLDER = "There is a file in place of its folder: set SUPERNOVA_HOME or 'database' to another path"
_REMEDIES = {
    "disk is full": _DISK_FULL,
    "no space left": _DISK_FULL,
    "disk i/o error": "Free some space on its disk, or raise the file size limit (ulimit -f); if neither is "
    "the cause, the disk is failing. No partial write remains",
    "unsupported startup parameter": f"A pooler refuses it. {NO_OPTIONS}",
    "statement pooling": "Set the pooler's pool_mode to transaction or session: each write is a transaction",
    "statement timeout": "Raise statement_timeout for this user (ALTER ROLE … SET statement_timeout = '60s') "
    "or find what keeps the server busy",
    "connection failed": _SERVER,
    "connection timeout": _SERVER,
    "permission denied for": "Ask the database's owner to grant this user access",
    "read-only transaction": "Set 'database' to the primary server: this one is read-only",
    "lock timeout": "Another machine keeps the database busy: find out what it is doing",
    "terminating connection": _BROKEN,
    "server closed the connection": _BROKEN,
    "connection is lost": _BROKEN,
    "readonly": "Make the file and its folder writable by this user, or set 'database' to another path",
    "unable to open": "Create its folder and make it writable, or set 'database' to another path",
    "permission denied": "Make its folder writable by this user, and the file if it exists; or set "
    "SUPERNOVA_HOME to another folder",
    "file exists": _NO_FOLDER,
    "not a directory": _NO_FOLDER,
    "is a directory": "Set 'database' to a file, not a folder",
    "read-only file system": "Set SUPERNOVA_HOME to a folder on a writable disk",
    "not a database": "The file is not a SQLite database: restore a backup, or set 'database' to another",
    "malformed": "The file is damaged: restore a backup",
    "locked": "Another process keeps it locked: end that process, or use PostgreSQL for many writers",
}
