"""One thread that writes, with group commit: many small durable transactions for the price of one fsync."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
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
"""The most operations one commit carries."""


class _Job(NamedTuple, Generic[T]):
    operation: Operation[T]
    future: Future[T]


class Writer:
    """Runs operations in order on a thread of its own.

    Operations that arrive together share one transaction, each inside a savepoint: one that raises is undone
    alone, whatever it raises. They all fail if the transaction itself is gone, and no savepoint is left to go
    back to. A future is done only after the commit, so what it acknowledges is durable.

    Args:
        where: what its errors call the database.
    """

    def __init__(self, database: Database, where: str) -> None:
        self._database = database
        self._where = where
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.closed = False
        _rest_during_forks()
        _writers.add(self)

    def submit(self, operation: Operation[T]) -> Future[T]:
        """Queue ``operation(database)``; the future gives its result once it is committed.

        It cannot be cancelled: who stops waiting does not stop the write. Its callbacks run on the writer's
        thread and must not submit.

        Raises:
            StoreError: the writer is closed, or its thread cannot be started.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self.closed:
                raise StoreError("the store is closed")
            if self._thread is None:
                # A daemon: a program that forgets to close must still be able to end.
                thread = threading.Thread(target=self._run, name="supernova-writer", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads, or the interpreter is about to end
                    raise StoreError(f"the store cannot start its thread: {error}") from error
                self._thread = thread
            self._jobs.put(_Job(operation, future))
        return future

    def close(self) -> None:
        """Write what is queued, then end the thread. Calling again does nothing."""
        with self._lock:
            self.closed = True
            self._rest()

    def _rest(self) -> None:
        """Write what is queued and end the thread and its connection; the next job starts another."""
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
                outcomes = [self._attempt(job.operation) for job in batch]
        except BaseException as error:
            failure = explain(error, self._where)
            log.warning("store.commit.failed", operations=len(batch), error=str(failure))
            self._disconnect()  # the next batch connects anew
            outcomes = [(None, failure)] * len(batch)
        for job, (result, reason) in zip(batch, outcomes, strict=True):
            try:
                if reason is None:
                    job.future.set_result(result)
                else:
                    job.future.set_exception(reason)
            except BaseException:  # a callback's; those behind it must still hear of theirs
                log.exception("store.callback.failed")

    def _attempt(self, operation: Operation[Any]) -> tuple[Any, BaseException | None]:
        savepoint = self._database.savepoint()
        with savepoint:
            try:
                return operation(self._database), None
            except BaseException as error:
                savepoint.rollback(
                    begin=False
                )  # raises where the transaction is gone, which fails the whole batch
                return None, explain(error, self._where)

    def _disconnect(self) -> None:
        try:
            self._database.close()
        except Exception:
            self._database.dispose()


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_resting: list[Writer] = []


@cache
def _rest_during_forks() -> None:
    """Let no process inherit an open connection: to SQLite its locks would seem held, and for ever."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _before_fork() -> None:
    for writer in list(_writers):
        writer._lock.acquire()
        _resting.append(writer)
        writer._rest()


def _after_fork() -> None:
    rested = _resting.copy()
    _resting.clear()  # before any lock is free: another thread may be waiting to fork
    for writer in rested:
        writer._lock.release()


def explain(error: BaseException, where: str) -> BaseException:
    """Turn a database error into a ``StoreError`` that says what to do; leave others as they are.

    The driver's own reason may hide in ``__context__``: after a full disk peewee complains of the rollback.
    """
    if not isinstance(error, PeeweeException | OSError):
        return error
    reasons = []
    cause: BaseException | None = error
    seen: set[int] = set()  # a program can chain errors in a circle
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        reasons.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = " ".join(" / ".join(dict.fromkeys(reasons)).split())
    remedy = next((cure for sign, cure in _REMEDIES.items() if sign in text.lower()), "See the reason above")
    failure = StoreError(f"the database could not be used ({where}): {text}. {remedy}.")
    failure.__cause__ = error
    return failure


_DISK_FULL = "Free some space on its disk; nothing was half-written"
_BROKEN = "Try again: the next write connects anew"
_SERVER = "Start the server, or correct its address, database, user and password in 'database'"
_NO_FOLDER = "A file is where its folder must be: set SUPERNOVA_HOME or 'database' to another place"
_REMEDIES = {
    "disk is full": _DISK_FULL,
    "no space left": _DISK_FULL,
    "disk i/o error": "Free some space on its disk, or raise the limit on the size of files (ulimit -f); if "
    "there is enough of both, the disk is failing. Nothing was half-written",
    "unsupported startup parameter": f"A pooler refuses it. {NO_OPTIONS}",
    "statement pooling": "Set the pooler's pool_mode to transaction or session: each write is a transaction",
    "statement timeout": "Raise statement_timeout for this user (ALTER ROLE … SET statement_timeout = '60s') "
    "or see what keeps the server busy",
    "connection failed": _SERVER,
    "connection timeout": _SERVER,
    "permission denied for": "Let the database's owner grant this user what it needs",
    "read-only transaction": "Set 'database' to the primary server: this one only reads",
    "lock timeout": "Another machine keeps the database busy: see what it is doing",
    "terminating connection": _BROKEN,
    "server closed the connection": _BROKEN,
    "connection is lost": _BROKEN,
    "readonly": "Make the file and its folder writable by this user, or set 'database' to another place",
    "unable to open": "Make its folder exist and be writable, or set 'database' to another place",
    "permission denied": "Make its folder writable by this user, and the file if it is there; or set "
    "SUPERNOVA_HOME to another place",
    "file exists": _NO_FOLDER,
    "not a directory": _NO_FOLDER,
    "is a directory": "Set 'database' to a file, not a folder",
    "read-only file system": "Set SUPERNOVA_HOME to a folder on a writable disk",
    "not a database": "The file is not a SQLite database: restore a backup, or set 'database' to another",
    "malformed": "The file is damaged: restore a backup",
    "locked": "Another process keeps it locked: end it, or use PostgreSQL for many writers",
}
