"""Batches: holds and ends that are committed together read their rows at once and write them at once.

A batch takes two round trips, however many operations it has. The first begins the transaction, reads, and
locks the windows; the second writes the sums of all changes and commits. In between the operations work on
the rows in memory.

On PostgreSQL the batches of several processes overlap. Each locks its windows in the order of their ids
before it decides anything, and keeps them until it is committed: what fits into a window here, fits. Of a
window that all share it locks only its process's slice, where it has one. It writes rollups in the order of
their keys. So batches wait for each other, and not in a circle; should that happen all the same, the server
ends one, and it runs again. A batch runs alone to open a window.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from peewee import Database, PostgresqlDatabase

from supernova_ai.ledger import opening_balances, rollups, slices
from supernova_ai.ledger.budgets import BudgetWindow
from supernova_ai.ledger.opening_balances import Spending, WindowScope
from supernova_ai.ledger.rollups import EndedAttempt
from supernova_ai.ledger.slices import Amounts, LockedWindow, Spent, WindowKey
from supernova_ai.store.bulk import Row, Statement, marks, run_all, run_later
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.postgres import RunAgain
from supernova_ai.types import FailurePattern, Outcome

_FIND_WINDOW = "SELECT id FROM budget_window WHERE budget = ? AND subject = ? AND period = ? AND scope = ?"


@dataclass(frozen=True, slots=True)
class Needs:
    """What an operation reads: its batch fetches that for all operations in one trip.

    What is missing here is read when it is asked for, in one more trip.
    """

    windows: tuple[WindowKey, ...] = ()
    attempts: tuple[str, ...] = ()
    window_ids: tuple[int, ...] = ()
    selects: tuple[Statement, ...] = ()


NOTHING = Needs()

_AddRows = Callable[[list[Row]], None]


@dataclass(slots=True)
class Attempt:
    """An attempt's row, as far as its end needs it; ``windows`` are the ids of those that count it."""

    windows: list[int]
    row: EndedAttempt


@dataclass(slots=True)
class Known:
    """What the batches of a ledger remember: the ids of windows, and of which ones its process has a slice.

    Both may have changed since. ``process`` is empty where none takes slices.
    """

    process: str = ""
    ids: dict[WindowKey, int] = field(default_factory=dict)
    sliced: set[int] = field(default_factory=set)


class Batch:
    """The rows that the operations of one transaction read and change.

    Args:
        database: in a transaction. Changes of the batch are not in it before ``flush``.
        known: what earlier batches found; this one adds to it.
        alone: whether no other process writes at the same time.
        now_ms: Unix milliseconds, to tell which leases run.
    """

    def __init__(self, database: Database, known: Known, *, alone: bool, now_ms: int = 0) -> None:
        self.database = database
        self.changes = 0
        self._known = known
        self._ids = known.ids
        self._alone = alone
        self._now_ms = now_ms
        self._lock = " FOR UPDATE" if isinstance(database, PostgresqlDatabase) else ""
        self._processes = 0
        self._windows: dict[int, LockedWindow] = {}
        self._absent: set[WindowKey] = set()
        self._attempts: dict[str, Attempt | None] = {}
        self._selected: dict[Statement, list[Row]] = {}
        self._statements: list[Statement] = []
        self._sums = rollups.Sums()

    def load(self, needs: Sequence[Needs]) -> None:
        """Read and lock what the operations need."""
        selects: dict[Statement, None] = {}
        keys: set[WindowKey] = set()
        names: set[str] = set()
        ids: set[int] = set()
        for each in needs:
            keys.update(key for key in each.windows if not self._is_known(key))
            names.update(each.attempts)
            ids.update(each.window_ids)
            if self._lock:  # SQLite needs no trip for a SELECT, and may not need the SELECT
                selects.update(dict.fromkeys(each.selects))
        attempts = sorted(names - self._attempts.keys())
        ids.update(self._ids[key] for key in keys if key in self._ids)
        unknown = sorted(keys - self._ids.keys())
        statements = [*selects, *((_FIND_WINDOW, key) for key in unknown)]
        if attempts:
            statements.append((_select_attempts(len(attempts), self._lock), tuple(attempts)))
        reads = {} if unknown else self._window_reads(ids)  # unknown ids may come between the others
        results = iter(run_all(self.database, [*statements, *reads]))
        for select in selects:
            self._selected[select] = next(results)
        for key in unknown:
            for (number,) in next(results):
                self._ids[key] = number
                ids.add(number)
        if attempts:
            self._attempts.update(dict.fromkeys(attempts))
            for name, windows, *row in next(results):
                self._attempts[name] = found = Attempt(json.loads(windows), EndedAttempt(*row))
                ids.update(found.windows)
        self._add_read(reads, results)
        if more := self._window_reads(ids):
            self._add_read(more, run_all(self.database, [*more]))
        self._absent.update(keys - self._ids.keys())
        moved = tuple(key for key in keys if not self._is_known(key))  # these ids are of other windows by now
        for key in moved:
            del self._ids[key]
        if moved:
            self.load([Needs(windows=moved)])

    def _window_reads(self, ids: Iterable[int]) -> dict[Statement, _AddRows]:
        """Return the statements that read and lock those windows or slices that are not read yet."""
        missing = sorted(number for number in ids if number not in self._windows)
        sliced = () if self._alone else tuple(number for number in missing if number in self._known.sliced)
        whole = tuple(number for number in missing if number not in sliced)
        reads: dict[Statement, _AddRows] = {}
        if whole:
            reads[slices.select_windows(len(whole), self._lock), whole] = self._add_windows
        if whole and self._lock:
            reads[slices.select_slices(len(whole)), whole] = self._add_slices
            reads[slices.COUNT_PROCESSES, (self._now_ms,)] = self._count_processes
        if sliced:  # after the windows: all batches lock in this order
            own = slices.lock_slices(len(sliced)), (self._known.process, *sliced)
            reads[own] = lambda rows: self._add_own_slices(sliced, rows)
        return reads

    def _add_read(self, reads: Mapping[Statement, _AddRows], results: Iterable[list[Row]]) -> None:
        for add, rows in zip(reads.values(), results, strict=True):
            add(rows)

    def _add_windows(self, rows: Iterable[Row]) -> None:
        for number, budget, subject, period, scope, *amounts in rows:
            found = Amounts(*amounts)
            self._windows[number] = LockedWindow(number, (budget, subject, period, scope), found, found)

    def _add_slices(self, rows: Iterable[Row]) -> None:
        for number, *row in rows:
            if window := self._windows.get(number):
                window.see_slice(self._known.process, tuple(row))

    def _count_processes(self, rows: Iterable[Row]) -> None:
        ((self._processes,),) = rows

    def _add_own_slices(self, expected: Sequence[int], rows: Iterable[Row]) -> None:
        for number, budget, subject, period, scope, settled, held, lost, size, elsewhere in rows:
            key, found = (budget, subject, period, scope), Amounts(settled, held, lost)
            self._windows[number] = LockedWindow(number, key, found, found, size, spent_elsewhere=elsewhere)
        if gone := [number for number in expected if number not in self._windows]:
            self._give_up_slices(gone)

    def _give_up_slices(self, windows: Iterable[int]) -> NoReturn:
        """Run the batch again with these windows locked as a whole."""
        self._known.sliced.difference_update(windows)
        raise RunAgain("a slice is gone or used up", beside_others=True)

    def _is_known(self, key: WindowKey) -> bool:
        """Say whether the window was read, or does not exist."""
        return key in self._absent or self._read_window(key) is not None

    def _read_window(self, key: WindowKey) -> LockedWindow | None:
        found = self._windows.get(self._ids.get(key, 0))
        return found if found is not None and found.key == key else None

    def select(self, statement: str, *arguments: Any) -> list[Row]:
        """Return the rows of a SELECT of other tables; where it was among the needs, without a trip."""
        found = self._selected.get((statement, arguments))
        return damaged_rows(self.database, statement, *arguments) if found is None else found

    def attempt(self, name: str) -> Attempt | None:
        """Return the attempt of that id."""
        if name not in self._attempts:
            self.flush(with_next_trip=True)  # it may have been inserted by this batch
            self.load([Needs(attempts=(name,))])
        return self._attempts[name]

    def _window(self, window: BudgetWindow) -> LockedWindow | None:
        if not self._is_known(window.key):
            self.load([Needs(windows=(window.key,))])
        return self._read_window(window.key)

    def amounts(self, window: BudgetWindow) -> Amounts:
        """Return what the window counts, or with what it would open now."""
        if found := self._whole_window(window):
            return found.amounts
        self._go_alone()
        spent = Spending.of(self.database, WindowScope.of(window))
        return Amounts(spent.settled, spent.held, spent.lost)

    def room(self, window: BudgetWindow) -> int:
        """Return what the window has left, in nano-USD; below 0 after an overrun."""
        found = self._whole_window(window)
        if found is None:
            return window.limit - sum(self.amounts(window))
        found.limit = window.limit
        if found.lent:
            self._call_in(found)
        return found.room

    def has_room(self, window: BudgetWindow, amount: int) -> bool:
        """Say whether so many nano-USD may still be held in the window."""
        found = self._window(window)
        if found is None:
            return amount <= self.room(window)
        if found.size is not None:
            if amount > found.room:
                self._give_up_slices([found.id])
            return True
        found.limit = window.limit
        if amount > found.room and found.lent:
            self._call_in(found)
        return amount <= found.room

    def _whole_window(self, window: BudgetWindow) -> LockedWindow | None:
        found = self._window(window)
        if found is not None and found.size is not None:
            self._give_up_slices([found.id])
        return found

    def _call_in(self, window: LockedWindow) -> None:
        """Add the slices of the other processes to the window."""
        ((*rows,),) = run_all(self.database, [(slices.CALL_IN, (window.id, self._known.process))])
        window.call_in(rows)

    def open(self, window: BudgetWindow, *, now_ms: int) -> int:
        """Return the id of the window, which is opened if it does not exist."""
        found = self._window(window)
        if found is None:
            self._go_alone()
            self.changes += 1
            opening_balances.open_window(self.database, window, now_ms=now_ms)
            self._attempts.clear()  # it counts some of them from now on
            self._absent.discard(window.key)
            found = self._window(window)
        assert found is not None
        return found.id

    def _go_alone(self) -> None:
        """Write the changes, so that statements see them; raise ``RunAgain`` if others write meanwhile."""
        if not self._alone:
            raise RunAgain("a window must be opened")
        self.flush()

    def write(self, name: str, statement: str, *arguments: Any) -> None:
        """Write the attempt's row with the other changes."""
        self.changes += 1
        if self._attempts.get(name) is None:
            self._attempts.pop(name, None)  # it was looked for, and exists from now on
        self._statements.append((statement, arguments))

    def keep(self, name: str, row: EndedAttempt) -> None:
        """Keep an attempt's row as it is after a ``write``."""
        attempt = self._attempts[name]
        assert attempt is not None
        attempt.row = row

    def add(self, windows: Sequence[int], change: Mapping[Outcome, int]) -> list[Spent]:
        """Add to what the windows count in each state; released money counts in none.

        Returns:
            What is spent in these windows then.
        """
        self.changes += 1
        if missing := [number for number in windows if number not in self._windows]:
            self.load([Needs(window_ids=tuple(missing))])
        spent = []
        for number in windows:
            if window := self._windows.get(number):
                spent.append(window.add(change))
                if window.size is not None and window.room < 0 < sum(change.values()):
                    self._give_up_slices([number])
        return spent

    def count(self, row: EndedAttempt, *, times: int = 1) -> None:
        """Add an ended attempt to the rollups, or subtract it from them (``times=-1``)."""
        self.changes += 1
        self._sums.add(row, times=times)

    def count_failure(self, failure: FailurePattern, row: EndedAttempt, *, at_ms: int) -> None:
        """Count one more failure of this pattern. ``at_ms`` is Unix milliseconds."""
        self.changes += 1
        self._sums.add_failure(failure, provider=row.provider, model=row.model, at_ms=at_ms)

    def take_slices(self) -> None:
        """Take a slice of each window that was locked and that several processes share; the batch is over."""
        for window in self._windows.values():
            if window.size is not None:
                continue
            if size := window.next_slice(self._processes) if self._known.process else 0:
                window.add_slice(-size, Amounts())
                self._statements.append((slices.TAKE, (window.id, self._known.process, size)))
                self._known.sliced.add(window.id)
            elif window.has_slice:
                self._statements.append((slices.GIVE_BACK, (window.id, self._known.process)))
                self._known.sliced.discard(window.id)

    def flush(self, *, with_next_trip: bool = False) -> None:
        """Write the changes now, or with the next trip, at the latest to commit."""
        groups: dict[tuple[bool, Amounts], list[int]] = {}
        for window in self._windows.values():
            if window.amounts != window.written:
                change = Amounts(
                    *(new - old for new, old in zip(window.amounts, window.written, strict=True))
                )
                groups.setdefault((window.size is None, change), []).append(window.id)
                window.written = window.amounts
        statements: list[Statement] = []
        for (whole, change), ids in groups.items():
            if whole:
                statements.append((slices.add_to_windows(len(ids)), (*change, *ids)))
            else:
                statements.append((slices.add_to_slices(len(ids)), (*change, *ids, self._known.process)))
        statements += [*self._statements, *self._sums.statements()]
        self._statements, self._sums = [], rollups.Sums()
        (run_later if with_next_trip else run_all)(self.database, statements)


@contextmanager
def batch_in(database: Database) -> Iterator[Batch]:
    """Give a batch to an operation that runs alone; its changes are written at the end."""
    batch = Batch(database, Known(), alone=True)
    yield batch
    batch.flush()


@lru_cache(maxsize=256)
def _select_attempts(count: int, lock: str) -> str:
    return (
        f"SELECT id, windows, {rollups.COLUMNS} FROM attempt "  # noqa: S608 - names of ours
        f"WHERE id IN ({marks(count)}) ORDER BY id{lock}"
    )
