"""The writer: in order, together, durable before acknowledged, and never stuck."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from peewee import Database, OperationalError, PostgresqlDatabase

from supernova_ai.errors import StoreError
from supernova_ai.store import Store
from supernova_ai.store.tables import MetaRow
from supernova_ai.store.writer import BATCH, explain
from tests.store.rows import insert, names


@contextlib.contextmanager
def queued_together(store: Store) -> Iterator[None]:
    """Keep the writer busy, so that what is written inside waits and then goes as one batch."""
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
    """Operations run one after another in the order given, each with its own result."""
    turn = count()
    futures = [store.write(lambda database: next(turn)) for _ in range(3 * BATCH)]
    assert [future.result() for future in futures] == list(range(3 * BATCH))


def test_an_operation_that_fails_is_undone_alone(store: Store) -> None:
    """Its rows go, its error reaches its caller, and its neighbours in the batch are committed."""

    def fails(database: Database) -> None:
        insert("undone")(database)
        raise LookupError("mine")

    with queued_together(store):
        before, failing, after = (store.write(o) for o in (insert("before"), fails, insert("after")))
    assert (before.result(), after.result()) == ("before", "after")
    with pytest.raises(LookupError, match="mine"):
        failing.result()
    assert names(store) == {"before", "after"}


def test_a_refused_row_does_not_poison_the_batch(store: Store) -> None:
    """A row that breaks a constraint is a StoreError for its caller alone."""
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
    """Whatever an operation stumbles over, it is undone alone, and those around it are committed at once."""

    def operation(database: Database) -> None:
        insert("undone")(database)
        fault(database)

    with queued_together(store):
        before, failing, after = (store.write(o) for o in (insert("before"), operation, insert("after")))
    assert (before.result(), after.result()) == ("before", "after")
    assert failing.exception() is not None
    assert names(store) == {"before", "after"}


def break_connection(database: Database) -> None:
    """Fail as if the connection to the database, and with it the transaction, were gone."""
    if isinstance(database, PostgresqlDatabase):
        database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    database.execute_sql("ROLLBACK")
    database.execute_sql("SELECT * FROM nowhere")


def test_a_broken_connection_fails_the_batch_and_no_more(store: Store) -> None:
    """When the transaction may be gone nobody in it is told of success, and the next one works."""
    with queued_together(store):
        beside, broken = store.write(insert("beside")), store.write(break_connection)
    for future in (beside, broken):
        with pytest.raises(
            StoreError, match=r"no such (table|savepoint)|Try again: the next write connects anew"
        ):
            future.result()
    assert store.write(insert("next")).result() == "next"
    assert names(store) == {"next"}


def test_a_future_is_done_only_after_the_commit(store: Store, where: str) -> None:
    """At the moment a future is done another connection already sees every row of its batch."""
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
    """Two full batches take two commits, and the operation they waited for one."""
    commits: list[None] = []
    commit = store._database.commit
    monkeypatch.setattr(store._database, "commit", lambda: commits.append(commit()))
    with queued_together(store):
        futures = [store.write(insert(str(i))) for i in range(2 * BATCH)]
    for future in futures:
        future.result()
    assert len(commits) == 3
    assert len(names(store)) == 2 * BATCH


def test_closing_writes_what_is_queued_and_takes_no_more(store: Store) -> None:
    """Nothing accepted is dropped; what comes after is refused, and closing again does nothing."""
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


async def test_who_stops_waiting_does_not_stop_the_write(store: Store) -> None:
    """A cancelled task leaves its operation to be committed, and the writer to go on."""
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
    """Sixteen threads, each with an event loop of its own, lose nothing."""

    async def work(number: int) -> list[str]:
        writes = (asyncio.wrap_future(store.write(insert(f"{number}-{i}"))) for i in range(8))
        return await asyncio.gather(*writes)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(store)) == 16 * 8


def test_a_full_disk_is_named_and_survived(path: Path) -> None:
    """No space is a StoreError with its remedy, nothing is half-written, and writing goes on after."""
    with Store(path) as store:
        store.write(insert("before")).result()

        def big(database: Database) -> None:
            MetaRow.insert(name="big", value="x" * 1_000_000).execute(database)

        def full_disk(database: Database) -> None:
            database.execute_sql("PRAGMA max_page_count = 1")  # of this connection: at most what there is
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
    """Every future of a batch is done, whatever the callback of the one before it raises."""

    def fails(_: object) -> None:
        raise SystemExit

    with queued_together(store):
        first, second = store.write(insert("first")), store.write(insert("second"))
        first.add_done_callback(fails)
    assert second.result(60) == "second"
    assert store.write(insert("third")).result(60) == "third"


def test_a_thread_that_cannot_start_takes_no_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a thread the write is refused at once, and not queued for nobody; later ones work again."""

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
    """A chain of causes that leads back to its beginning ends all the same."""
    one, other = OperationalError("one"), OperationalError("other")
    one.__cause__, other.__cause__ = other, one
    assert "one / other" in str(explain(one, "here"))
