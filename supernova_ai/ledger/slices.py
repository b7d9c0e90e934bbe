"""Slices: parts of a window that one process counts in by itself, so that processes need not wait in line.

The budget for everything counts the calls of all processes. A process that has locked its window takes a
slice of what is left: the window counts all of it as held, and the process counts its holds and ends in the
slice, which only this process changes. When a hold does not fit into it, the process locks the window, adds
what the slice has counted, and takes another. Slices become smaller as the window fills, and for its last
cents there are none: a process that needs more than the window has left calls in the slices of the others.

A slice counts changes that its window does not have yet. They may be below zero, where a hold ends that the
window itself counts: an attempt need not know which of them counts it, and a slice can be added to its window
at any time. At every commit a slice has counted no more than its size, so the window counts all that is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from peewee import Database

from supernova_ai.store.bulk import Row, marks, run
from supernova_ai.types import Outcome

WindowKey = tuple[str, str, str, str]
"""Budget, subject, period and scope."""

LEAST_BATCHES = 8
"""A slice has at least this many times what the batch that takes it has held."""

COUNT_PROCESSES = "SELECT COUNT(*) FROM process WHERE lease_ms >= ?"
CALL_IN = (
    "DELETE FROM window_slice WHERE window_id = ? AND process <> ? "
    "RETURNING process, size_nano, settled_nano, held_nano, lost_nano"
)
TAKE = (
    "INSERT INTO window_slice (window_id, process, size_nano, settled_nano, held_nano, lost_nano) "
    "VALUES (?, ?, ?, 0, 0, 0) ON CONFLICT (window_id, process) DO UPDATE "
    "SET size_nano = excluded.size_nano, settled_nano = 0, held_nano = 0, lost_nano = 0"
)
GIVE_BACK = "DELETE FROM window_slice WHERE window_id = ? AND process = ?"


class Amounts(NamedTuple):
    """What is counted in each state, in nano-USD."""

    settled: int = 0
    held: int = 0
    lost: int = 0

    def plus(self, other: Sequence[int]) -> Amounts:
        """Return the sums."""
        return Amounts(*(one + more for one, more in zip(self, other, strict=True)))


class Spent(NamedTuple):
    """What is settled and lost in one window, in nano-USD."""

    budget: str
    subject: str
    period: str
    amount: int


@dataclass(slots=True)
class LockedWindow:
    """A window's row, or this process's slice of it, with the changes of the batch. Amounts are nano-USD.

    Attributes:
        written: what the row has in the database.
        size: of the slice; None if the whole window is locked.
        limit: of the window, once a hold was checked against it.
        taken: what the batch has held in it.
        spent_elsewhere: what is settled and lost in the window and counted in another row.
        lent: the sizes of other processes' slices, as far as they were not called in.
        has_slice: whether this process has a slice that was added to ``amounts``.
    """

    id: int
    key: WindowKey
    written: Amounts
    amounts: Amounts
    size: int | None = None
    limit: int = 0
    taken: int = 0
    spent_elsewhere: int = 0
    lent: int = 0
    has_slice: bool = False

    @property
    def room(self) -> int:
        """What may still be held."""
        return (self.limit if self.size is None else self.size) - sum(self.amounts)

    def add(self, change: Mapping[Outcome, int]) -> Spent:
        """Count a change; return what is spent in the window then."""
        settled, held, lost = (change.get(state, 0) for state in ("settled", "held", "lost"))
        self.amounts = self.amounts.plus((settled, held, lost))
        self.taken += max(0, held)
        budget, subject, period, _ = self.key
        spent = self.amounts.settled + self.amounts.lost + self.spent_elsewhere
        return Spent(budget, subject, period, spent)

    def add_slice(self, size: int, counted: Sequence[int]) -> None:
        """Count what a slice has counted, and the slice no more."""
        settled, held, lost = counted
        self.amounts = self.amounts.plus((settled, held - size, lost))

    def see_slice(self, process: str, row: Row) -> None:
        """Add the process's own slice, and note another's. The row is process, size and amounts."""
        whose, size, *counted = row
        if whose == process:
            self.add_slice(size, counted)
            self.has_slice = True
        else:
            settled, _, lost = counted
            self.spent_elsewhere += settled + lost
            self.lent += size

    def call_in(self, rows: Sequence[Row]) -> None:
        """Add the slices of the other processes, which are deleted."""
        for _, size, *counted in rows:
            self.add_slice(size, counted)
        self.spent_elsewhere = self.lent = 0

    def next_slice(self, processes: int) -> int:
        """Return the size of the slice to take, or 0.

        Args:
            processes: how many share the window. Each takes half of its equal part of what is left.
        """
        _, subject, *_ = self.key
        if processes < 2 or subject or not self.taken:
            return 0
        size = max(0, self.room) // (2 * processes)
        return size if size >= LEAST_BATCHES * self.taken else 0


def fold(database: Database, process: str) -> list[Spent]:
    """Give back the slices of a process, while no other writes; return what is spent in their windows."""
    rows = run(
        database,
        "DELETE FROM window_slice WHERE process = ? "
        "RETURNING settled_nano, held_nano - size_nano, lost_nano, window_id",
        process,
    ).fetchall()
    in_slices = (
        "SELECT COALESCE(SUM(other.settled_nano + other.lost_nano), 0) FROM window_slice other "
        "WHERE other.window_id = id"
    )
    change = (
        "UPDATE budget_window SET settled_nano = settled_nano + ?, held_nano = held_nano + ?, "  # noqa: S608
        "lost_nano = lost_nano + ? WHERE id = ? RETURNING budget, subject, period, "
        f"CAST(settled_nano + lost_nano + ({in_slices}) AS BIGINT)"
    )
    return [Spent(*found) for row in rows for found in run(database, change, *row).fetchall()]


def without_lease(database: Database) -> set[str]:
    """Return the processes that have slices and no lease."""
    select = "SELECT DISTINCT process FROM window_slice WHERE process NOT IN (SELECT id FROM process)"
    return {process for (process,) in run(database, select).fetchall()}


@lru_cache(maxsize=256)
def select_windows(count: int, lock: str) -> str:
    """Return the SELECT of whole windows."""
    return (
        "SELECT id, budget, subject, period, scope, settled_nano, held_nano, lost_nano "  # noqa: S608
        f"FROM budget_window WHERE id IN ({marks(count)}) ORDER BY id{lock}"
    )


@lru_cache(maxsize=256)
def select_slices(count: int) -> str:
    """Return the SELECT of all slices of windows, which are locked."""
    return (
        "SELECT window_id, process, size_nano, settled_nano, held_nano, lost_nano "  # noqa: S608
        f"FROM window_slice WHERE window_id IN ({marks(count)})"
    )


@lru_cache(maxsize=256)
def lock_slices(count: int) -> str:
    """Return the SELECT that locks a process's slices, and reads what is spent elsewhere in their windows."""
    others = (
        "SELECT COALESCE(SUM(settled_nano + lost_nano), 0) FROM window_slice other "
        "WHERE other.window_id = own.window_id AND other.process <> own.process"
    )
    return (
        "SELECT own.window_id, budget, subject, period, scope, "  # noqa: S608
        "own.settled_nano, own.held_nano, own.lost_nano, size_nano, "
        f"CAST(whole.settled_nano + whole.lost_nano + ({others}) AS BIGINT) "
        "FROM window_slice own JOIN budget_window whole ON whole.id = own.window_id "
        f"WHERE own.process = ? AND own.window_id IN ({marks(count)}) "
        "ORDER BY own.window_id FOR UPDATE OF own"
    )


@lru_cache(maxsize=256)
def add_to_windows(count: int) -> str:
    """Return the UPDATE that adds three amounts to windows."""
    return _add_to("budget_window", f"id IN ({marks(count)})")


@lru_cache(maxsize=256)
def add_to_slices(count: int) -> str:
    """Return the UPDATE that adds three amounts to a process's slices of windows."""
    return _add_to("window_slice", f"window_id IN ({marks(count)}) AND process = ?")


def _add_to(table: str, where: str) -> str:
    return (
        f"UPDATE {table} SET settled_nano = settled_nano + ?, held_nano = held_nano + ?, "  # noqa: S608
        f"lost_nano = lost_nano + ? WHERE {where}"
    )
