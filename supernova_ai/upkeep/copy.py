"""Copy a ledger to another database, of either engine, and prove that the copy has every row.

Keys, conversations, cached answers and the comments of feedback are not copied: they are encrypted for their
own store. Leases are not copied either: no process may use either database during the copy, because money
spent in one of them would be missing from the other. Circuits and tombstones are short-lived, and not copied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from peewee import Database

from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.keys.audited_store import AuditedStore, Record
from supernova_ai.ledger import leases
from supernova_ai.store import Store, bulk, get_meta, set_meta
from supernova_ai.store.engines import continue_numbers, snapshot
from supernova_ai.store.tables import (
    AdviceRow,
    AlertRow,
    AttemptRow,
    DailyRow,
    DashboardUserRow,
    JournalRow,
    KeyRow,
    LabelRow,
    LatencyRow,
    LinkRow,
    MetaRow,
    OpeningRow,
    PatternRow,
    PayerRow,
    ProcessRow,
    RatingRow,
    SliceRow,
    StuckEndRow,
    Table,
    UsageRow,
    UserTokenRow,
    WindowRow,
)

COPIED: tuple[type[Table], ...] = (
    AttemptRow,
    WindowRow,
    SliceRow,
    OpeningRow,
    UsageRow,
    PayerRow,
    DailyRow,
    LabelRow,
    LatencyRow,
    PatternRow,
    AlertRow,
    JournalRow,
    AdviceRow,
    LinkRow,
    UserTokenRow,
    StuckEndRow,
    RatingRow,
    DashboardUserRow,
)

_BEGUN, _DONE = "copy.begun", "copy.done"  # facts; each has the id of the source
_MODULUS = 2**256


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows each table of the copy has, and how many keys were not copied."""

    rows: Mapping[str, int]
    keys_left: int


def copy_ledger(
    source: Store,
    vault: AuditedStore,
    *,
    size: int = bulk.PAGE,
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> Copied:
    """Copy every row; after a crash, continue. Sweep both ledgers first: no dead process may hold money.

    Args:
        vault: of the target, an empty ledger, or one that an interrupted copy of the same source left.
        size: rows per transaction.
        on_progress: called after each transaction with how many rows the copy has, and of how many.

    Raises:
        InvalidRequest: the target is the source, has other rows, or is a finished copy.
        StoreError: a process uses the source or the target, or the copy differs from the source.
    """
    target = vault.store
    _require_unused(source, "source")
    _require_unused(target, "target")
    vault.audited(lambda database, record: _claim(database, record, source.id, target.id))

    def transfer(database: Database) -> None:
        with snapshot(database):
            done, total = target.read(_count), _count(database)
            for table in COPIED:
                for count in _transfer(database, target, table, size):
                    done += count
                    on_progress(done, total)

    source.read(transfer)
    target.write(lambda database: continue_numbers(database, COPIED)).result()
    rows = _compare(source, target)
    _require_unused(source, "source")  # a process that came meanwhile may spend after the comparison
    _require_unused(target, "target")
    vault.audited(lambda database, record: _finish(database, record, source.id, sum(rows.values())))
    keys_left = source.read(lambda database: KeyRow.select().where(KeyRow.state != "revoked").count(database))
    return Copied(rows, keys_left)


def _require_unused(store: Store, which: str) -> None:
    """Raise if a process uses the store, or may use it."""
    alive = store.read(lambda database: list(ProcessRow.select().execute(database)))
    if alive:
        names = ", ".join(f"{process.pid} on {process.host.split()[0]}" for process in alive)
        raise StoreError(
            f"the {which} is in use by process {names}: end it first, because what it spends meanwhile would "
            f"be missing from the copy. A process that crashed on another machine counts as alive for "
            f"{leases.TERM_S:.0f} s."
        )
    open_ = (AttemptRow.state == "held") & AttemptRow.id.not_in(StuckEndRow.select(StuckEndRow.attempt))
    held = store.read(lambda database: AttemptRow.select().where(open_).count(database))
    if held:
        raise StoreError(
            f"the {which} has {held} open holds and no process that could end them: "
            f"'supernova ledger verify' lists them"
        )


def _claim(database: Database, record: Record, source: str, target: str) -> None:
    if source == target:
        raise InvalidRequest("the target is the ledger itself: name another database")
    if get_meta(database, _DONE):
        raise InvalidRequest(
            "the target is a finished copy already, and may have been used since: set 'database' to it, or "
            "name an empty database"
        )
    if begun := get_meta(database, _BEGUN):
        if begun != source:
            raise InvalidRequest("the target has a part of another ledger: name an empty database")
        return
    for table in COPIED:
        if table.select().limit(1).count(database):
            raise InvalidRequest(
                f"the target is not empty: it has rows in {table._meta.table_name}. Name an empty database"
            )
    MetaRow.insert(name=_BEGUN, value=source).execute(database)
    record("ledger.copy.begun", source)


def _count(database: Database) -> int:
    return sum(table.select().count(database) for table in COPIED)


def _transfer(database: Database, target: Store, table: type[Table], size: int) -> Iterator[int]:
    """Copy the rows in transactions; yield the number of each."""
    names, key = bulk.columns(table), bulk.key(table)
    indices = [names.index(name) for name in key]
    position = f"copy.at.{table._meta.table_name}"
    for page in bulk.pages(
        database, table, after=target.read(lambda at: _last_copied(at, position)), size=size
    ):
        last = json.dumps([page[-1][i] for i in indices])

        def operation(writing: Database, page: list[bulk.Row] = page, last: str = last) -> None:
            bulk.insert(writing, table, [_unsealed(table, row) for row in page])
            set_meta(writing, position, last)

        target.write(operation).result()
        yield len(page)


def _unsealed(table: type[Table], row: bulk.Row) -> bulk.Row:
    """Return the row as it is copied: without what opens only in its own store."""
    if table is not RatingRow:
        return row
    columns = bulk.columns(table)
    return tuple(None if name == "sealed" else value for name, value in zip(columns, row, strict=True))


def _last_copied(database: Database, position: str) -> list[object] | None:
    """Return the key of the table's last row that was copied."""
    last = get_meta(database, position)
    return None if last is None else json.loads(last)


def _compare(source: Store, target: Store) -> dict[str, int]:
    """Compare the tables by their numbers of rows and the sums of the rows' hashes; return the numbers."""
    counts = {}
    for table in COPIED:
        name = table._meta.table_name
        (here, ours), (there, theirs) = (store.read(partial(_digest, table)) for store in (source, target))
        if (here, ours) != (there, theirs):
            differ = ", and they differ" if here == there else ""
            raise StoreError(
                f"the copy differs from the source: {name} has {here} rows in the source and {there} in "
                f"the target{differ}. One of them was written to meanwhile: do not use the target; end every "
                f"process that uses them, and copy again to an empty database"
            )
        counts[name] = here
    return counts


def _digest(table: type[Table], database: Database) -> tuple[int, int]:
    count = total = 0
    with snapshot(database):
        for page in bulk.pages(database, table):
            count += len(page)
            for row in page:
                digest = hashlib.sha256(json.dumps(_unsealed(table, row)).encode()).digest()
                total = (total + int.from_bytes(digest, "big")) % _MODULUS
    return count, total


def _finish(database: Database, record: Record, source: str, rows: int) -> None:
    MetaRow.delete().where(MetaRow.name.startswith("copy.")).execute(database)
    MetaRow.insert(name=_DONE, value=source).execute(database)
    record("ledger.copied", source, {"rows": rows})
