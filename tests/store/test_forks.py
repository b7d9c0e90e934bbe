"""A forked child and its parent write to one database through one Store object."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future

import pytest

from supernova_ai.errors import StoreError
from supernova_ai.store import Store
from tests.processes import FORK, run_in_child
from tests.store.conftest import insert, names


def test_a_forked_child_writes_through_the_same_store(store: Store) -> None:
    """The child, even with several threads, gets its own writer; the parent keeps its own."""
    store.write(insert("parent")).result()

    def child() -> None:
        together = threading.Barrier(4)

        def write(number: int) -> None:
            together.wait()
            store.write(insert(f"child-{number}")).result()

        threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()

    assert run_in_child(child) == 0
    store.write(insert("parent again")).result()
    assert names(store) == {"parent", "parent again", *(f"child-{i}" for i in range(4))}


def test_forking_during_writes_loses_and_repeats_nothing(store: Store) -> None:
    """The parent writes its queued operations once; the child finds the database unlocked."""
    futures: list[Future[str]] = []
    done = threading.Event()

    def keep_writing() -> None:
        while not done.is_set():
            futures.extend([store.write(insert(f"parent-{len(futures)}-{i}")) for i in range(9)])
            futures[-1].result()

    def child() -> None:
        store.write(insert(f"child-{os.getpid()}")).result()

    writing = threading.Thread(target=keep_writing)
    writing.start()
    codes = [run_in_child(child) for _ in range(5)]
    done.set()
    writing.join()
    assert codes == [0] * 5
    found = names(store)
    assert {name for name in found if name.startswith("parent")} == {future.result() for future in futures}
    assert len(found) == len(futures) + 5


def test_a_child_outlives_its_parents_store(store: Store) -> None:
    """A child can still write after the parent closed its store."""
    store.write(insert("parent")).result()
    open_in_child, closed_in_parent = FORK.Event(), FORK.Event()

    def child() -> None:
        store.write(insert("early")).result()
        open_in_child.set()
        closed_in_parent.wait()
        store.write(insert("late")).result()

    process = FORK.Process(target=child)
    process.start()
    open_in_child.wait()
    store.close()
    closed_in_parent.set()
    process.join()
    assert process.exitcode == 0
    assert names(store) == {"parent", "early", "late"}


def test_a_closed_store_stays_closed_in_a_child(store: Store) -> None:
    """A fork does not reopen a store that the parent closed."""
    store.close()

    def child() -> None:
        with pytest.raises(StoreError, match="the store is closed"):
            store.write(insert("late"))

    assert run_in_child(child) == 0
