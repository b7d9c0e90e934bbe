"""The ledger: what every attempt was reserved and what it cost, and the budgets that bound it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from peewee import Database

from supernova_ai.config import Budget, Config, data_folder, read_environ
from supernova_ai.errors import StoreError, UserErased
from supernova_ai.ledger import holds, leases, unwritten_ends
from supernova_ai.ledger.budgets import BudgetShare, shares, told
from supernova_ai.ledger.holds import End, Entry, Hold, Spent
from supernova_ai.ledger.thresholds import Key, Watch
from supernova_ai.ledger.unwritten_ends import Ending, UnwrittenEnds
from supernova_ai.log import get_logger
from supernova_ai.money import to_nano
from supernova_ai.store import Store, erased
from supernova_ai.types import Usage

log = get_logger(__name__)

T = TypeVar("T")

_BOUNDLESS = 2**62


class Ledger:
    """Holds and their ends over one store.

    Args:
        budgets: the limits in force.
        thresholds: percent of a limit at which an alert is recorded.
        on_alert: called, on a thread that must not wait, when one was recorded.
        clock: Unix seconds, the store's unless given; it decides which window a hold falls into.
    """

    def __init__(
        self,
        store: Store,
        budgets: Sequence[Budget],
        *,
        thresholds: Sequence[int] = (),
        on_alert: Callable[[], object] = lambda: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock or store.now
        self._owed = UnwrittenEnds(_beside(store))
        self._pending: dict[Future[bool], Ending] = {}
        self._lease = leases.Lease(store, self._clock, self.look, renewed=self._write_owed)
        self.serve(budgets, thresholds=thresholds, on_alert=on_alert)

    def serve(
        self,
        budgets: Sequence[Budget],
        *,
        thresholds: Sequence[int] = (),
        on_alert: Callable[[], object] = lambda: None,
    ) -> None:
        """Keep these limits from now on; arguments as for the constructor."""
        self._budgets = tuple(budgets)
        self._lease.budgets = told(self._budgets)
        limits = {budget.name: to_nano(budget.limit) for budget in budgets}
        self._watch = Watch(limits, thresholds, on_alert)

    @property
    def store(self) -> Store:
        """Where the ledger is kept."""
        return self._store

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

    def place(self, database: Database, entry: Entry, *, began_ms: int | None = None) -> Hold:
        """Take the hold inside an operation of ``write``, in every window that bears on it or in none.

        Args:
            began_ms: when the call began, Unix milliseconds.

        Raises:
            BudgetExceeded: a budget cannot bear it.
            UserErased: the user was erased after the call began.
        """
        if entry.user_id is not None and erased.since(database, entry.user_id, began_ms=began_ms):
            raise UserErased(
                "the user was erased while this call was running: nothing more is sent or kept for them. "
                "A call that begins now is of a new user"
            )
        # What costs nothing bears on no budget, be it full or overrun.
        bearing = self._shares(entry.provider, entry.user_id, entry.task) if entry.held_nano else ()
        mine = replace(entry, process=self._lease.id)
        return holds.place(database, mine, bearing, now_ms=self.now_ms())

    def room(self, database: Database, *, provider: str, user: str | None, task: str) -> int:
        """Return what every budget that bears on such an attempt can still bear, in nano-USD."""
        left = (share.limit - holds.used(database, share) for share in self._shares(provider, user, task))
        return min(left, default=_BOUNDLESS)

    def headrooms(self, providers: Iterable[str], *, user: str | None, task: str) -> dict[str, int]:
        """Return what each budget that bears on any of the providers can still bear, in nano-USD."""
        bearing = {share.budget: share for name in providers for share in self._shares(name, user, task)}
        return self._store.read(
            lambda database: {
                name: max(0, share.limit - holds.used(database, share)) for name, share in bearing.items()
            }
        )

    def forgo(self, hold: Hold) -> Future[bool]:
        """Release a hold that will not be used."""
        return self.end(hold, End("released", 0, None, Usage(), self.now_ms(), error="Cancelled"))

    def end(self, hold: Hold, end: End) -> Future[bool]:
        """End the hold; the future is done once that is durable, and False if it had ended before.

        What is learnt after the hold was given up as lost still counts. An end that cannot be written is
        owed: it is tried again whenever the lease is renewed and when a ledger of this database is opened on
        this machine. Until then its hold stays.
        """
        told: list[Key] = []

        def look(database: Database, windows: list[Spent]) -> None:
            told.extend(self.look(database, windows))

        def committed(done: Future[bool]) -> None:
            ending = self._pending.pop(done)
            if error := done.exception():
                self._owe([ending], str(error))
            elif told:
                self._watch.remember(told)

        future: Future[bool]
        try:
            future = self._store.write(lambda database: unwritten_ends.apply(database, (hold, end), look))
        except StoreError as error:  # it was closed
            future = Future()
            future.set_exception(error)
        self._pending[future] = (hold, end)
        future.add_done_callback(committed)
        return future

    def owe(self, ends: Iterable[Future[bool]]) -> None:
        """Keep the ends durably that the database has not taken yet; they are written as soon as it does."""
        pending = [self._pending.get(end) for end in ends]
        self._owe([ending for ending in pending if ending], "the database is busy")

    def _owe(self, endings: Sequence[Ending], reason: str) -> None:
        for hold, _ in endings:
            log.warning("ledger.end.owed", attempt=hold.attempt, reason=reason)
        self._owed.add(endings)

    def note_cached(self, entry: Entry, *, began_ms: int | None = None) -> Future[bool]:
        """Write the row of an answer kept from before: nobody was asked, and it costs nothing.

        It has no latency and no tokens: it is none of the provider's. Arguments are those of ``place``.
        """

        def operation(database: Database) -> bool:
            hold = self.place(database, entry, began_ms=began_ms)
            end = End("settled", 0, "cached", Usage(), self.now_ms())
            return holds.end(database, hold, end) is not None

        return self.write(operation)

    def sweep(self) -> int:
        """Write what is owed, then turn the holds of dead processes into lost ones; return how many."""
        self._write_owed()
        return self._store.write(lambda database: leases.sweep(database, self.now_ms(), self.look)).result()

    def look(self, database: Database, windows: list[Spent]) -> list[Key]:
        """Record an alert for each threshold that a window has reached, inside the caller's operation."""
        return self._watch.look(database, windows, now_ms=self.now_ms())

    def close(self) -> None:
        """Write what is owed, give up what is still held, and end the lease.

        Where the database cannot be used the ends stay owed, and the lease runs out.
        """
        try:
            self._write_owed()
            self._lease.release()
        except StoreError as error:
            log.warning("ledger.lease.not_released", reason=str(error))

    def _write_owed(self) -> None:
        """Write the ends that this or another process owes; those that the database refuses are set aside."""
        endings, files = self._owed.take()

        def operation(database: Database) -> None:
            for ending in endings:
                unwritten_ends.write(database, ending, self.look, self.now_ms())

        try:
            if endings:
                self._store.write(operation).result()
        except Exception as error:
            self._owe(endings, str(error))
        self._owed.discard(files)

    def _shares(self, provider: str, user: str | None, task: str) -> Iterator[BudgetShare]:
        return shares(self._budgets, now=self._clock(), provider=provider, user=user, task=task)


def _beside(store: Store) -> Path:
    """Return the file of what is owed: beside the database, or for a server in the user's data folder."""
    base = store.file or data_folder(read_environ()) / store.id
    return base.with_name(f"{base.name}.owed")


def swept(store: Store, config: Config) -> Ledger:
    """Return the ledger as it is configured, after the holds of dead processes were turned into lost ones."""
    ledger = Ledger(store, config.limits, thresholds=config.alerts.thresholds)
    ledger.sweep()
    return ledger
