"""The writer runs operations in order and in batches, acknowledges them when durable, and never stops."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path

import pytest
from peewee import Database, OperationalError, PostgresqlDatabase

from supernova_ai.errors import StoreError
from supernova_ai.store import Store
from supernova_ai.store.failures import explain
from supernova_ai.store.tables import MetaRow
from supernova_ai.store.writer import BATCH, Job, Outcome
from tests.store.conftest import insert, names


@contextlib.contextmanager
def queued_together(store: Store) -> Iterator[None]:
    """Block the writer, so that the writes inside the context queue up and become one batch."""
    busy, go_on = threading.Event(), threading.Event()

    def operation(database: Database) -> None:
        busy.set()
        go_on.wait()

    store.write(operation)
    busy.wait()
    try:
        yield
    finally:
        go_on.set()


def test_results_come_in_order(store: Store) -> None:
    """Operations run in the order given, each with its own result."""
    turn = count()
    futures = [store.write(lambda database: next(turn)) for _ in range(3 * BATCH)]
    assert [future.result() for future in futures] == list(range(3 * BATCH))


def test_an_operation_that_fails_is_undone_alone(store: Store) -> None:
    """A failed operation is rolled back and its caller gets the error; the rest of the batch commits."""

    def fails(database: Database) -> None:
        insert("undone")(database)
        raise LookupError("mine")

    with queued_together(store):
        before, failing, after = (store.write(o) for o in (insert("before"), fails, insert("after")))
    assert (before.result(), after.result()) == ("before", "after")
    with pytest.raises(LookupError, match="mine"):
        failing.result()
    assert names(store) == {"before", "after"}


def test_the_only_operation_of_a_commit_is_undone_whole(store: Store) -> None:
    """An operation that fails alone leaves nothing behind, and the next one works."""

    def fails(database: Database) -> None:
        insert("undone")(database)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        store.write(fails).result()
    assert store.write(insert("next")).result() == "next"
    assert names(store) == {"next"}


def test_neighbours_of_a_kind_run_together(store: Store) -> None:
    """They share a call, in their order among others; if it fails, each runs by itself, and nothing else."""
    calls: list[list[str]] = []

    def together(database: Database, jobs: Sequence[Job[str]], alone: bool) -> list[Outcome]:
        calls.append([job.run("x") for job in jobs])
        for name in calls[-1]:
            insert(name)(database)
        return [(name, None) for name in calls[-1]]

    def write(name: str) -> Future[str]:
        return store.write_together(lambda _: name, together)

    with queued_together(store):
        good = [write("a"), write("b"), store.write(insert("c")), write("d")]
    assert [future.result() for future in good] == ["a", "b", "c", "d"]
    assert calls == [["a", "b"], ["d"]]
    calls.clear()
    with queued_together(store):
        first, twin, last = write("e"), write("a"), write("f")
    assert (first.result(), last.result()) == ("e", "f")
    with pytest.raises(StoreError, match=r"(?i)unique"):
        twin.result()
    assert calls == [["e", "a", "f"], ["e"], ["a"], ["f"]]
    others: list[str] = []
    with queued_together(store):
        before = store.write(lambda database: others.append(insert("g")(database)))
        first, twin = write("h"), write("a")
    assert (before.result(), first.result()) == (None, "h")
    assert twin.exception() is not None
    assert others == ["g"]
    assert names(store) == {"a", "b", "c", "d", "e", "f", "g", "h"}


def test_a_refused_row_does_not_fail_the_batch(store: Store) -> None:
    """A row that breaks a constraint is a StoreError for its own caller only."""
    with queued_together(store):
        first, twin, after = (store.write(insert(name)) for name in ("same", "same", "after"))
    assert (first.result(), after.result()) == ("same", "after")
    with pytest.raises(StoreError, match=r"(?i)unique"):
        twin.result()
    assert names(store) == {"same", "after"}


FAULTS: dict[str, Callable[[Database], object]] = {
    "unknown table": lambda database: database.execute_sql("SELECT * FROM nowhere"),
    "no SQL": lambda database: database.execute_sql("SELEKT"),
    "number too great": lambda database: database.execute_sql(
        f"SELECT CAST({database.param} AS INT)", (10**40,)
    ),
    "half a character": lambda database: insert("a\ud800")(database),
    "NUL, and a second time": lambda database: [insert("a\0b")(database) for _ in range(2)],
    "too long for an index": lambda database: (insert(secrets.token_hex(5000))(database), 1 // 0),
    "an error of Python": lambda database: 1 // 0,
    "the end of a thread": lambda database: sys.exit(),
    "no memory": lambda database: (_ for _ in ()).throw(MemoryError),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_error_of_a_statement_is_no_error_of_the_connection(
    store: Store, fault: Callable[[Database], object]
) -> None:
    """An operation whose statement fails is undone alone; the rest of its batch commits in the same try."""

    def operation(database: Database) -> None:
        insert("undone")(database)
        fault(database)

    with queued_together(store):
        before, failing, after = (store.write(o) for o in (insert("before"), operation, insert("after")))
    assert (before.result(), after.result()) == ("before", "after")
    assert failing.exception() is not None
    assert names(store) == {"before", "after"}


def break_connection(database: Database) -> None:
    """Fail as if the connection, and with it the transaction, were lost."""
    if isinstance(database, PostgresqlDatabase):
        database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    database.execute_sql("ROLLBACK")
    database.execute_sql("SELECT * FROM nowhere")


def test_a_broken_connection_fails_one_batch_only(store: Store) -> None:
    """If the transaction may be lost, its whole batch fails, and the next batch works."""
    with queued_together(store):
        beside, broken = store.write(insert("beside")), store.write(break_connection)
    for future in (beside, broken):
        with pytest.raises(
            StoreError, match=r"no such (table|savepoint)|Try again: the next write opens a new connection"
        ):
            future.result()
    assert store.write(insert("next")).result() == "next"
    assert names(store) == {"next"}


def test_a_future_is_done_only_after_the_commit(store: Store, where: str) -> None:
    """When a future completes, another connection already sees every row of its batch."""
    seen: list[set[str]] = []
    with Store(where) as other:
        with queued_together(store):
            futures = [store.write(insert(name)) for name in ("one", "two", "three")]
            for future in futures:
                future.add_done_callback(lambda _: seen.append(names(other)))
        for future in futures:
            future.result()
        store.write(lambda database: None).result()  # the callbacks before it have run
    assert seen == [{"one", "two", "three"}] * 3


def test_operations_that_arrive_together_share_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two full batches take two commits, plus one for the operation that blocked them."""
    commits: list[None] = []
    commit = store._database.commit
    monkeypatch.setattr(store._database, "commit", lambda: commits.append(commit()))
    with queued_together(store):
        futures = [store.write(insert(str(i))) for i in range(2 * BATCH)]
    for future in futures:
        future.result()
    assert len(commits) == 3
    assert len(names(store)) == 2 * BATCH


def test_closing_commits_the_queue_and_refuses_later_writes(store: Store) -> None:
    """Queued operations are committed, later ones are refused, and a second close does nothing."""
    with queued_together(store):
        futures = [store.write(insert(str(i))) for i in range(BATCH + 1)]
        closing = threading.Thread(target=store.close)
        closing.start()
    closing.join()
    assert all(future.done() for future in futures)
    assert len(names(store)) == BATCH + 1
    with pytest.raises(StoreError, match="the store is closed"):
        store.write(insert("late"))
    store.close()


async def test_cancelling_the_caller_does_not_cancel_the_write(store: Store) -> None:
    """The operation of a cancelled task is still committed, and the writer continues."""
    with queued_together(store):
        future = store.write(insert("kept"))
        waiting = asyncio.ensure_future(asyncio.wrap_future(future))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not future.cancel()
    assert future.result() == "kept"
    assert store.write(insert("next")).result() == "next"
    assert names(store) == {"kept", "next"}


def test_threads_and_tasks_may_write_at_once(store: Store) -> None:
    """Sixteen threads, each with its own event loop, write without losing anything."""

    async def work(number: int) -> list[str]:
        writes = (asyncio.wrap_future(store.write(insert(f"{number}-{i}"))) for i in range(8))
        return await asyncio.gather(*writes)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(store)) == 16 * 8


def test_a_full_disk_is_an_error_with_a_remedy(path: Path) -> None:
    """A full disk is a StoreError with its remedy; no partial write remains, and later writes work."""
    with Store(path) as store:
        store.write(insert("before")).result()

        def big(database: Database) -> None:
            MetaRow.insert(name="big", value="x" * 1_000_000).execute(database)

        def full_disk(database: Database) -> None:
            database.execute_sql(
                "PRAGMA max_page_count = 1"
            )  # no page beyond the present size, for this connection
            insert("half")(database)
            big(database)

        with queued_together(store):
            beside, full = store.write(insert("beside")), store.write(full_disk)
        for future in (beside, full):
            with pytest.raises(StoreError, match=r"disk is full.* Free some space on its disk"):
                future.result()
        assert names(store) == {"before"}
        store.write(big).result()
        assert names(store) == {"before", "big"}


def test_a_callback_that_fails_keeps_no_other_future_waiting(store: Store) -> None:
    """Every future of a batch completes, even if a callback of an earlier one raises."""

    def fails(_: object) -> None:
        raise SystemExit

    with queued_together(store):
        first, second = store.write(insert("first")), store.write(insert("second"))
        first.add_done_callback(fails)
    assert second.result(60) == "second"
    assert store.write(insert("third")).result(60) == "third"


def test_a_write_fails_if_the_thread_cannot_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the writer's thread cannot start, the write is refused, not queued; later writes work."""

    def fails(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with Store(path) as store:
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", fails)
            with pytest.raises(StoreError, match="can't start new thread"):
                store.write(insert("refused"))
        assert store.write(insert("next")).result(60) == "next"
        assert names(store) == {"next"}


def test_errors_in_a_circle_are_explained() -> None:
    """A circular chain of causes does not loop forever."""
    one, other = OperationalError("one"), OperationalError("other")
    one.__cause__, other.__cause__ = other, one
    assert "one / other" in str(explain(one, "here"))
