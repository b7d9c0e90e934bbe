"""The ledger: what every attempt was reserved and what it cost, and the budgets that bound it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger import holds, leases
from supernova_ai.ledger.alerts import Watch
from supernova_ai.ledger.budgets import Share, shares
from supernova_ai.ledger.holds import End, Entry, Hold
from supernova_ai.money import to_nano
from supernova_ai.store import Store

T = TypeVar("T")


class Ledger:
    """Holds and their ends over one store.

    Args:
        budgets: the limits in force.
        thresholds: percent of a limit at which an alert is recorded.
        clock: Unix seconds; it decides which window a hold falls into.
    """

    def __init__(
        self,
        store: Store,
        budgets: Sequence[Budget],
        *,
        thresholds: Sequence[int] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._budgets = tuple(budgets)
        self._clock = clock
        self._watch = Watch({budget.name: to_nano(budget.limit) for budget in budgets}, thresholds)
        self._lease = leases.Lease(store, clock)

    def now_ms(self) -> int:
        """Return the ledger's time: Unix milliseconds."""
        return int(self._clock() * 1000)

    def is_bounded(self, *, provider: str, user: str | None, task: str) -> bool:
        """Say whether any budget bears on such an attempt."""
        return any(True for _ in self._shares(provider, user, task))

    def write(self, operation: Callable[[Database], T]) -> Future[T]:
        """Run an operation that places holds in the writer's next transaction."""
        self._lease.keep()
        return self._store.write(operation)

    def place(self, database: Database, entry: Entry) -> Hold:
        """Take the hold inside an operation of ``write``, in every window that bears on it or in none.

        Raises:
            BudgetExceeded: a budget cannot bear it.
        """
        # What costs nothing bears on no budget, be it full or overrun.
        bearing = self._shares(entry.provider, entry.user_id, entry.task) if entry.held_nano else ()
        return holds.place(database, replace(entry, process=self._lease.id), bearing)

    def end(self, hold: Hold, end: End) -> Future[bool]:
        """End the hold; the future is done once that is durable, and False if it had ended before.

        A settlement that comes after the hold was given up as lost still counts.
        """

        def operation(database: Database) -> bool:
            windows = holds.end(database, hold, end)
            if windows is None and end.state == "settled":
                windows = holds.end(database, hold, end, was="lost")
            self._watch.look(database, windows or (), now_ms=self.now_ms())
            return windows is not None

        return self._store.write(operation)

    def sweep(self) -> int:
        """Turn the holds of dead processes into lost ones; return how many there were."""
        return self._store.write(lambda database: leases.sweep(database, self.now_ms())).result()

    def close(self) -> None:
        """Give up what is still held and end the lease."""
        self._lease.release()

    def _shares(self, provider: str, user: str | None, task: str) -> Iterator[Share]:
        return shares(self._budgets, now=self._clock(), provider=provider, user=user, task=task)
