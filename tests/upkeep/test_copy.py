"""A copy has every row of the ledger, on either engine, however often it was interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.ledger import Entry, Hold, Ledger
from supernova_ai.ratings import Feedback, give, latest
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import TABLES, AttemptRow, KeyRow, MetaRow, PayerRow, WindowRow
from supernova_ai.upkeep import archive, reconcile
from supernova_ai.upkeep.copy import COPIED, copy_ledger
from supernova_ai.upkeep.reconcile import Correction
from tests.clients import vault_of
from tests.databases import new_file, new_schema
from tests.processes import run_in_child
from tests.upkeep.sample_ledger import BUDGETS, fill, report, rows, run, unseen

Open = Callable[[str], Store]


@pytest.fixture
def open_store() -> Iterator[Open]:
    """Open stores that are closed when the test ends."""
    with ExitStack() as opened:
        yield lambda where: opened.enter_context(Store(where))


@pytest.fixture(params=["to SQLite", "to PostgreSQL"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty ledger on either engine, whichever engine the source uses."""
    database = nullcontext(new_file(tmp_path / "target.db")) if request.param == "to SQLite" else new_schema()
    with database as where, Store(where) as target:
        yield target


@pytest.fixture
def source(
    store: Store,
    open_ledger: Callable[..., Ledger],
    clock: Any,
    make_entry: Callable[..., Entry],
    seed: int,
    tmp_path: Path,
) -> Store:
    """A ledger with attempts of every kind, an archive and a correction, which no process uses."""
    ledger = open_ledger(*BUDGETS)
    fill(ledger, clock, make_entry, 50, seed)
    ledger.close()
    correction = Correction("attempt-50", 5, "the bill says so")
    reconcile.settle_attempt(vault_of(store), correction, unseen, now_ms=ledger.now_ms())
    archive.archive_attempts(
        vault_of(store), tmp_path / "archive", before_ms=ledger.now_ms() - 36_000_000, now_ms=ledger.now_ms()
    )
    return store


each_engine_once = pytest.mark.parametrize(
    ("new_database", "target"), [("sqlite", "to PostgreSQL"), ("postgresql", "to SQLite")], indirect=True
)
"""Each engine is read from, and written to."""


def same(source: Store, target: Store) -> bool:
    return all(rows(source, table) == rows(target, table) for table in COPIED)


def test_a_copy_has_every_row_and_verifies(source: Store, target: Store, tmp_path: Path) -> None:
    """All tables are equal, archives still verify, and the result has the numbers of rows."""
    copied = copy_ledger(source, vault_of(target), size=7)
    assert same(source, target)
    assert copied.rows == {table._meta.table_name: len(rows(source, table)) for table in COPIED}
    assert copied.rows["attempt"] > 0
    found = report(target, tmp_path / "archive")
    assert found.problems == ()
    assert found.checked["archives"] == 1


@each_engine_once
def test_a_copy_continues_where_the_source_stopped(
    source: Store, target: Store, make_entry: Callable[..., Entry], clock: Any
) -> None:
    """New holds, windows and journal rows get new ids, and the windows have what is spent."""
    copy_ledger(source, vault_of(target))
    numbers = {row[0] for row in rows(target, WindowRow)}
    clock.now += 40 * 86_400  # new windows
    ledger = Ledger(target, BUDGETS, clock=lambda: clock.now)
    hold = ledger.write(lambda database: ledger.hold(database, make_entry("0.1"))).result()
    ledger.close()
    assert numbers.isdisjoint(hold.windows)
    reconcile.settle_attempt(
        vault_of(target), Correction(hold.attempt, 5, "the bill says so"), unseen, now_ms=1
    )


@each_engine_once
def test_feedback_is_copied_without_its_comment(source: Store, target: Store) -> None:
    """The comment is encrypted for its own store; it stays there."""
    run(source, "UPDATE attempt SET request = 'one', user_id = 'ann' WHERE id = 'attempt-50'")
    give(vault_of(source), Feedback.of("one", "down", "Too long."))
    assert copy_ledger(source, vault_of(target)).rows["rating"] == 1
    ((here, there),) = zip(*(latest(vault_of(each), limit=9) for each in (source, target)), strict=True)
    assert (here.comment, there.comment) == ("Too long.", None)
    assert (here.request, here.user, here.score) == (there.request, there.user, there.score)


@each_engine_once
def test_keys_are_not_copied(source: Store, target: Store) -> None:
    """Keys are counted and not copied, and the copy keeps its own store id."""
    key = KeyRow.insert(
        id="k", provider="openai", slot="primary", version=1, state="active", master_id="m", fingerprint="f",
        sealed=b"s", created_ms=1,
    )  # fmt: skip
    source.write(lambda database: key.execute(database)).result()
    identity = target.id
    assert copy_ledger(source, vault_of(target)).keys_left == 1
    assert rows(target, KeyRow) == set()
    assert {value for name, value in rows(target, MetaRow) if name == "store"} == {identity}


class Fault(BaseException):
    """The end of the process."""


@pytest.mark.proof
@each_engine_once
def test_an_interrupted_copy_continues(source: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted at each batch in turn, it copies each row once and ends like an uninterrupted one."""
    failed: list[tuple[str, Any]] = []
    real = bulk.insert

    def insert(database: Database, table: Any, batch: Any) -> None:
        real(database, table, batch)
        if (table.__name__, batch) not in failed:
            failed.append((table.__name__, batch))
            raise Fault

    monkeypatch.setattr(bulk, "insert", insert)
    interruptions = 0
    while True:
        try:
            copied = copy_ledger(source, vault_of(target), size=9)
            break
        except Fault:
            interruptions += 1
    assert interruptions == len(failed) > len(COPIED)
    assert sum(len(batch) for _, batch in failed) == sum(copied.rows.values())
    assert same(source, target)


@pytest.mark.proof
@each_engine_once
def test_a_killed_copy_continues(source: Store, where: str, target: Store) -> None:
    """Killed after one batch, then after three more, it completes when run again."""

    def die(batches: int) -> None:
        left = iter(range(batches - 1))

        def tell(_done: int, _total: int) -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        with Store(where) as source_there, Store(target.where) as target_there:
            copy_ledger(source_there, vault_of(target_there), size=20, on_progress=tell)

    for batches in (1, 3):
        assert run_in_child(partial(die, batches)) == -signal.SIGKILL
    assert rows(target) != set()
    copy_ledger(source, vault_of(target))
    assert same(source, target)


@pytest.mark.parametrize("target", ["to SQLite"], indirect=True)
def test_a_ledger_in_use_is_not_copied(
    store: Store, target: Store, open_ledger: Callable[..., Ledger], take: Callable[..., Hold]
) -> None:
    """While a process has a lease on the source or the target, nothing is copied."""
    hold = take(open_ledger(*BUDGETS), "0.1")
    with pytest.raises(StoreError, match=r"the source is in use by process \d+ on .*end it first"):
        copy_ledger(store, vault_of(target))
    with pytest.raises(StoreError, match="the target is in use by process"):
        copy_ledger(target, vault_of(store))
    run(store, "DELETE FROM process")
    with pytest.raises(StoreError, match="the source has 1 open holds"):
        copy_ledger(store, vault_of(target))
    assert rows(target) == set()
    assert hold.attempt in {row[0] for row in rows(store)}
    run(store, "DELETE FROM attempt")


@pytest.mark.parametrize("target", ["to SQLite"], indirect=True)
def test_a_target_with_other_rows_is_refused(
    source: Store, target: Store, open_store: Open, tmp_path: Path
) -> None:
    """Rows of its own, a part of another ledger, a finished copy, or the source itself: nothing changes."""
    with pytest.raises(InvalidRequest, match="the ledger itself"):
        copy_ledger(source, vault_of(source))
    other = open_store(str(tmp_path / "other.db"))
    run(target, "INSERT INTO meta (name, value) VALUES ('copy.begun', ?)", other.id)
    with pytest.raises(InvalidRequest, match="has a part of another ledger"):
        copy_ledger(source, vault_of(target))
    run(target, "DELETE FROM meta WHERE name = 'copy.begun'")
    copy_ledger(source, vault_of(target))
    with pytest.raises(InvalidRequest, match="a finished copy already"):
        copy_ledger(source, vault_of(target))
    run(other, "INSERT INTO budget_window VALUES (1, 'daily', '', '2026-11-22', 1, 2, 3, '')")
    with pytest.raises(InvalidRequest, match="not empty: it has rows in budget_window"):
        copy_ledger(source, vault_of(other))
    assert len(rows(other, WindowRow)) == 1


@pytest.mark.parametrize("target", ["to SQLite"], indirect=True)
@pytest.mark.parametrize(
    ("new_database", "side", "change"),
    [
        ("sqlite", "source", "UPDATE attempt SET cost_nano = cost_nano + 1 WHERE id = 'attempt-50'"),
        ("sqlite", "target", "UPDATE attempt SET cost_nano = cost_nano + 1 WHERE id = 'attempt-50'"),
        ("sqlite", "target", "DELETE FROM attempt WHERE id = 'attempt-50'"),
        ("sqlite", "target", "UPDATE payer_rollup SET cost_nano = cost_nano + 1"),
        ("postgresql", "source", "DELETE FROM attempt WHERE id = 'attempt-50'"),
        ("postgresql", "source", "UPDATE payer_rollup SET cost_nano = cost_nano + 1"),
    ],
    indirect=["new_database"],
)
def test_a_copy_that_differs_is_not_finished(source: Store, target: Store, side: str, change: str) -> None:
    """A write to either side during the copy is found at its end, and the copy stays unfinished."""

    def meddle(done: int, total: int) -> None:
        if done == total:
            run({"source": source, "target": target}[side], change)

    with pytest.raises(StoreError, match=r"the copy differs from the source: (attempt|payer_rollup) has"):
        copy_ledger(source, vault_of(target), on_progress=meddle)
    with pytest.raises(StoreError, match="differs from the source"):
        copy_ledger(source, vault_of(target))
    table = PayerRow if "payer" in change else AttemptRow
    assert rows(source, table) != rows(target, table)


@pytest.mark.parametrize("target", ["to SQLite"], indirect=True)
def test_a_process_that_starts_during_the_copy_stops_it(source: Store, target: Store) -> None:
    """The copy stays unfinished, even if that process has spent nothing yet."""

    def begin(done: int, total: int) -> None:
        if done == total:
            run(source, "INSERT INTO process (id, host, pid, lease_ms) VALUES ('p', 'h', 7, 0)")

    with pytest.raises(StoreError, match="the source is in use by process 7 on h"):
        copy_ledger(source, vault_of(target), on_progress=begin)
    run(source, "DELETE FROM process")
    copy_ledger(source, vault_of(target))
    assert same(source, target)


@each_engine_once
def test_ends_that_were_set_aside_are_copied(source: Store, target: Store) -> None:
    """The open hold of such an end does not stop the copy: both are copied."""
    run(source, "UPDATE attempt SET state = 'held', cost_nano = 0, ended_ms = NULL WHERE id = 'attempt-1'")
    run(source, "INSERT INTO stuck_end (attempt, at_ms, ending, reason) VALUES ('attempt-1', 1, '[]', 'why')")
    run(source, "DELETE FROM process")
    copy_ledger(source, vault_of(target))
    assert same(source, target)


def test_every_table_is_copied_except_these() -> None:
    """A new table must be added to one of the two lists."""
    left = {
        "MetaRow",
        "KeyRow",
        "AuditRow",
        "ProcessRow",
        "HealthRow",
        "SessionTurnRow",
        "AnswerRow",
        "ErasedRow",
        "ConfigVersionRow",
        "JobRow",
        "LeaderRow",
    }
    assert {table.__name__ for table in set(TABLES) - set(COPIED)} == left
    assert AttemptRow in COPIED
