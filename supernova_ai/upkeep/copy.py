"""Copy a ledger to another database, of either engine, and prove that the copy has every row.

Keys, conversations and cached answers stay behind: they are sealed for their own store, and open in no other.
So do leases: nobody may be at work on either database, for money spent on the one would be unknown to the
other. So do breakers and tombstones: they are of the moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from peewee import Database

from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.ledger import leases
from supernova_ai.store import Store, bulk, get_meta, set_meta
from supernova_ai.store.engines import continue_numbers, snapshot
from supernova_ai.store.tables import (
    AdviceRow,
    AlertRow,
    AttemptRow,
    DailyRow,
    JournalRow,
    KeyRow,
    LatencyRow,
    LinkRow,
    MetaRow,
    OpeningRow,
    PatternRow,
    PayerRow,
    ProcessRow,
    StuckEndRow,
    Table,
    UsageRow,
    UserTokenRow,
    WindowRow,
)

COPIED: tuple[type[Table], ...] = (
    AttemptRow,
    WindowRow,
    OpeningRow,
    UsageRow,
    PayerRow,
    DailyRow,
    LatencyRow,
    PatternRow,
    AlertRow,
    JournalRow,
    AdviceRow,
    LinkRow,
    UserTokenRow,
    StuckEndRow,
)

_BEGUN, _DONE = "copy.begun", "copy.done"  # by the id of the store they come from
_MODULUS = 2**256


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows each table of the copy has, and how many keys stayed behind."""

    rows: Mapping[str, int]
    keys_left: int


def copy(
    source: Store,
    target: Store,
    *,
    size: int = bulk.PAGE,
    tell: Callable[[str, int], None] = lambda _table, _rows: None,
) -> Copied:
    """Copy every row but of what stays behind; after a crash, go on.

    Args:
        target: an empty ledger, or one that an interrupted copy of the same source left.
        size: rows of one transaction.
            Both must be swept first, so that no dead process holds anything.
        tell: called after each transaction with the table and the rows of it copied so far, in this run.

    Raises:
        InvalidRequest: the target is the source, holds other rows, or is a finished copy.
        StoreError: somebody works on the source or the target, or the copy differs from the source.
    """
    _at_rest(source, "source")
    _at_rest(target, "target")
    target.write(lambda database: _claim(database, source.id, target.id)).result()

    def transfer(database: Database) -> None:
        with snapshot(database):
            for table in COPIED:
                _transfer(database, target, table, size, tell)

    source.read(transfer)
    target.write(lambda database: continue_numbers(database, COPIED)).result()
    rows = _proved(source, target)
    _at_rest(source, "source")  # nobody has come meanwhile who spends on after the comparison
    _at_rest(target, "target")
    target.write(lambda database: _finish(database, source.id)).result()
    keys_left = source.read(lambda database: KeyRow.select().where(KeyRow.state != "revoked").count(database))
    return Copied(rows, keys_left)


def _at_rest(store: Store, which: str) -> None:
    """Refuse while a process works on the store, or may."""
    alive = store.read(lambda database: list(ProcessRow.select().execute(database)))
    if alive:
        names = ", ".join(f"{process.pid} on {process.host.split()[0]}" for process in alive)
        raise StoreError(
            f"the {which} is in use by process {names}: end it first, for what it spends meanwhile would be "
            f"missing from the copy. A process that crashed on another machine counts as alive for "
            f"{leases.TERM_S:.0f} s."
        )
    open_ = (AttemptRow.state == "held") & AttemptRow.id.not_in(StuckEndRow.select(StuckEndRow.attempt))
    held = store.read(lambda database: AttemptRow.select().where(open_).count(database))
    if held:
        raise StoreError(
            f"the {which} has {held} open holds and no process that could end them: run "
            f"'supernova ledger verify' on it, which names them"
        )


def _claim(database: Database, source: str, target: str) -> None:
    if source == target:
        raise InvalidRequest("the target is the ledger itself: name another database")
    if get_meta(database, _DONE):
        raise InvalidRequest(
            "the target is a finished copy already, and may have been used since: set 'database' to it, or "
            "name an empty database"
        )
    if begun := get_meta(database, _BEGUN):
        if begun != source:
            raise InvalidRequest("the target holds a part of another ledger: name an empty database")
        return
    for table in COPIED:
        if table.select().limit(1).count(database):
            raise InvalidRequest(
                f"the target is not empty: it has rows in {table._meta.table_name}. Name an empty database"
            )
    MetaRow.insert(name=_BEGUN, value=source).execute(database)


def _transfer(
    database: Database, target: Store, table: type[Table], size: int, tell: Callable[[str, int], None]
) -> None:
    names, key = bulk.columns(table), bulk.key(table)
    place = [names.index(name) for name in key]
    name, mark = table._meta.table_name, f"copy.at.{table._meta.table_name}"
    count = 0
    for page in bulk.pages(database, table, after=target.read(lambda at: _reached(at, mark)), size=size):
        last = json.dumps([page[-1][i] for i in place])

        def operation(writing: Database, page: list[bulk.Row] = page, last: str = last) -> None:
            bulk.insert(writing, table, page)
            set_meta(writing, mark, last)

        target.write(operation).result()
        count += len(page)
        tell(name, count)


def _reached(database: Database, mark: str) -> list[object] | None:
    """Return the key of the last row of the table that was copied."""
    last = get_meta(database, mark)
    return None if last is None else json.loads(last)


def _proved(source: Store, target: Store) -> dict[str, int]:
    """Compare the tables by the number of rows and the sum of each row's hash, in whatever order."""
    counts = {}
    for table in COPIED:
        name = table._meta.table_name
        (here, ours), (there, theirs) = (store.read(partial(_digest, table)) for store in (source, target))
        if (here, ours) != (there, theirs):
            differ = ", and they differ" if here == there else ""
            raise StoreError(
                f"the copy is not like the source: {name} has {here} rows in the source and {there} in "
                f"the target{differ}. One of them was written to meanwhile: do not use the target; copy "
                f"again, to an empty database and with nobody at work"
            )
        counts[name] = here
    return counts


def _digest(table: type[Table], database: Database) -> tuple[int, int]:
    count = total = 0
    with snapshot(database):
        for page in bulk.pages(database, table):
            count += len(page)
            for row in page:
                digest = hashlib.sha256(json.dumps(row).encode()).digest()
                total = (total + int.from_bytes(digest, "big")) % _MODULUS
    return count, total


def _finish(database: Database, source: str) -> None:
    MetaRow.delete().where(MetaRow.name.startswith("copy.")).execute(database)
    MetaRow.insert(name=_DONE, value=source).execute(database)
