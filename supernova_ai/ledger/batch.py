"""Batches: holds and ends that are committed together read their rows at once and write them at once.

A batch takes two round trips, however many operations it has. The first begins the transaction, reads, and
locks the windows; the second writes the sums of all changes and commits. In between the operations work on
the rows in memory.

On PostgreSQL the batches of several processes overlap. Each locks its windows in the order of their ids
before it decides anything, and keeps them until it is committed: what fits into a window here, fits. It
writes rollups in the order of their keys. So batches wait for each other, and not in a circle; should that
happen all the same, the server ends one, and it runs again alone. A batch also runs alone to open a window.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from peewee import Database, PostgresqlDatabase

from supernova_ai.ledger import opening_balances, rollups
from supernova_ai.ledger.budgets import BudgetWindow
from supernova_ai.ledger.opening_balances import Spending, WindowScope
from supernova_ai.ledger.rollups import EndedAttempt
from supernova_ai.store.bulk import Row, Statement, marks, run_all, run_later
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.postgres import RunAgain
from supernova_ai.types import FailurePattern, Outcome

WindowKey = tuple[str, str, str, str]
"""Budget, subject, period and scope."""

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


class Amounts(NamedTuple):
    """What a window counts, in nano-USD."""

    settled: int = 0
    held: int = 0
    lost: int = 0


class Spent(NamedTuple):
    """What is settled and lost in one window, in nano-USD."""

    budget: str
    subject: str
    period: str
    amount: int


@dataclass(slots=True)
class _Window:
    """A locked row, with the changes of the batch; ``written`` is what the database has."""

    id: int
    key: WindowKey
    written: Amounts
    amounts: Amounts


@dataclass(slots=True)
class Attempt:
    """An attempt's row, as far as its end needs it; ``windows`` are the ids of those that count it."""

    windows: list[int]
    row: EndedAttempt


class Batch:
    """The rows that the operations of one transaction read and change.

    Args:
        database: in a transaction. Changes of the batch are not in it before ``flush``.
        ids: the ids of windows that earlier batches found; this one adds to them.
        alone: whether no other process writes at the same time.
    """

    def __init__(self, database: Database, ids: dict[WindowKey, int], *, alone: bool) -> None:
        self.database = database
        self.changes = 0
        self._ids = ids
        self._alone = alone
        self._lock = " FOR UPDATE" if isinstance(database, PostgresqlDatabase) else ""
        self._windows: dict[int, _Window] = {}
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
        if not unknown:  # else their ids may come between the others
            statements += self._locking(ids)
        results = iter(run_all(self.database, statements))
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
        for rows in results:
            self._add_windows(rows)
        if more := self._locking(ids):
            self._add_windows(run_all(self.database, more)[0])
        self._absent.update(keys - self._ids.keys())
        moved = tuple(key for key in keys if not self._is_known(key))  # these ids are of other windows by now
        for key in moved:
            del self._ids[key]
        if moved:
            self.load([Needs(windows=moved)])

    def _locking(self, ids: Iterable[int]) -> list[Statement]:
        """Return the statement that reads those of the windows that are not read yet."""
        missing = sorted(number for number in ids if number not in self._windows)
        return [(_select_windows(len(missing), self._lock), tuple(missing))] if missing else []

    def _add_windows(self, rows: Iterable[Row]) -> None:
        for number, budget, subject, period, scope, *amounts in rows:
            found = Amounts(*amounts)
            self._windows[number] = _Window(number, (budget, subject, period, scope), found, found)

    def _is_known(self, key: WindowKey) -> bool:
        """Say whether the window was read, or does not exist."""
        return key in self._absent or self._read_window(key) is not None

    def _read_window(self, key: WindowKey) -> _Window | None:
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

    def _window(self, window: BudgetWindow) -> _Window | None:
        if not self._is_known(window.key):
            self.load([Needs(windows=(window.key,))])
        return self._read_window(window.key)

    def amounts(self, window: BudgetWindow) -> Amounts:
        """Return what the window counts, or with what it would open now."""
        if found := self._window(window):
            return found.amounts
        self._go_alone()
        spent = Spending.of(self.database, WindowScope.of(window))
        return Amounts(spent.settled, spent.held, spent.lost)

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
        settled, held, lost = (change.get(state, 0) for state in ("settled", "held", "lost"))
        spent = []
        for number in windows:
            if window := self._windows.get(number):
                before = window.amounts
                window.amounts = Amounts(before.settled + settled, before.held + held, before.lost + lost)
                budget, subject, period, _ = window.key
                spent.append(Spent(budget, subject, period, window.amounts.settled + window.amounts.lost))
        return spent

    def count(self, row: EndedAttempt, *, times: int = 1) -> None:
        """Add an ended attempt to the rollups, or subtract it from them (``times=-1``)."""
        self.changes += 1
        self._sums.add(row, times=times)

    def count_failure(self, failure: FailurePattern, row: EndedAttempt, *, at_ms: int) -> None:
        """Count one more failure of this pattern. ``at_ms`` is Unix milliseconds."""
        self.changes += 1
        self._sums.add_failure(failure, provider=row.provider, model=row.model, at_ms=at_ms)

    def flush(self, *, with_next_trip: bool = False) -> None:
        """Write the changes now, or with the next trip, at the latest to commit."""
        groups: dict[Amounts, list[int]] = {}
        for window in self._windows.values():
            if window.amounts != window.written:
                change = Amounts(
                    *(new - old for new, old in zip(window.amounts, window.written, strict=True))
                )
                groups.setdefault(change, []).append(window.id)
                window.written = window.amounts
        statements = [(_add_to_windows(len(ids)), (*change, *ids)) for change, ids in groups.items()]
        statements += [*self._statements, *self._sums.statements()]
        self._statements, self._sums = [], rollups.Sums()
        (run_later if with_next_trip else run_all)(self.database, statements)


@contextmanager
def batch_in(database: Database) -> Iterator[Batch]:
    """Give a batch to an operation that runs alone; its changes are written at the end."""
    batch = Batch(database, {}, alone=True)
    yield batch
    batch.flush()


@lru_cache(maxsize=256)
def _select_attempts(count: int, lock: str) -> str:
    return (
        f"SELECT id, windows, {rollups.COLUMNS} FROM attempt "  # noqa: S608 - names of ours
        f"WHERE id IN ({marks(count)}) ORDER BY id{lock}"
    )


@lru_cache(maxsize=256)
def _select_windows(count: int, lock: str) -> str:
    return (
        "SELECT id, budget, subject, period, scope, settled_nano, held_nano, lost_nano "  # noqa: S608
        f"FROM budget_window WHERE id IN ({marks(count)}) ORDER BY id{lock}"
    )


@lru_cache(maxsize=256)
def _add_to_windows(count: int) -> str:
    return (
        "UPDATE budget_window SET settled_nano = settled_nano + ?, held_nano = held_nano + ?, "  # noqa: S608
        f"lost_nano = lost_nano + ? WHERE id IN ({marks(count)})"
    )
