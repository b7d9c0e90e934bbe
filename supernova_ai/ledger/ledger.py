"""The ledger: takes and ends holds, keeps the budgets, and writes late what could not be written in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from peewee import Database, PeeweeException

from supernova_ai.config import Budget, Config, data_folder, read_environ
from supernova_ai.errors import StoreError, UserErased
from supernova_ai.ledger import holds, labels, leases, unwritten_ends
from supernova_ai.ledger.batch import NOTHING, Batch, Known, Needs
from supernova_ai.ledger.budgets import BudgetWindow, Payer, describe, windows_for
from supernova_ai.ledger.holds import End, Entry, Hold
from supernova_ai.ledger.slices import Spent
from supernova_ai.ledger.thresholds import AlertKey, ThresholdWatch
from supernova_ai.ledger.unwritten_ends import Ending, PendingEnds
from supernova_ai.log import get_logger
from supernova_ai.money import to_nano
from supernova_ai.store import ReadOnlyStore, Store, erased
from supernova_ai.store.bulk import Statement
from supernova_ai.store.writer import Job, Outcome
from supernova_ai.types import Usage

log = get_logger(__name__)

T = TypeVar("T")

_UNLIMITED = 2**62
_MOST_REMEMBERED = 10_000

_Current = tuple[float, float, tuple[BudgetWindow, ...]]
_NEVER: _Current = (0.0, 0.0, ())
"""Windows, since when they are known, and the first time at which one ends: Unix seconds."""


@dataclass(frozen=True, slots=True)
class _Operation(Generic[T]):
    """An operation, and what its batch reads for it."""

    run: Callable[[Batch], T]
    needs: Needs

    def __call__(self, batch: Batch) -> T:
        return self.run(batch)


class Ledger:
    """Takes holds and ends them, in one store.

    Args:
        budgets: the budgets in force.
        thresholds: percent of a limit at which an alert is recorded.
        on_alert: called when an alert was recorded, on the writer's thread; it must not wait.
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
        self._pending_ends = PendingEnds(_pending_file(store))
        self._in_flight: dict[Future[bool], Ending] = {}
        self._lease = leases.Lease(store, self._clock, self.check_thresholds, on_renewed=self._write_pending)
        self.apply(budgets, thresholds=thresholds, on_alert=on_alert)

    def apply(
        self,
        budgets: Sequence[Budget],
        *,
        thresholds: Sequence[int] = (),
        on_alert: Callable[[], object] = lambda: None,
    ) -> None:
        """Replace the budgets and their alerts; arguments as for the constructor."""
        current: dict[tuple[Any, ...], _Current] = {}
        self._budgets = tuple(budgets), current  # together: another thread may be computing windows
        self._lease.budgets = describe(budgets)
        limits = {budget.name: to_nano(budget.limit) for budget in budgets}
        self._watch = ThresholdWatch(limits, thresholds, on_alert)
        self._known = Known()  # the next batch checks the new limits: slices were taken under the old ones

    @property
    def store(self) -> Store:
        """Where the ledger is kept."""
        return self._store

    def now_ms(self) -> int:
        """Return the ledger's time: Unix milliseconds."""
        return int(self._clock() * 1000)

    def has_budget(self, *, provider: str, payer: Payer, task: str) -> bool:
        """Say whether any budget applies to such an attempt."""
        return bool(self._windows(provider, payer, task))

    def write(self, operation: Callable[[Batch], T], needs: Needs = NOTHING) -> Future[T]:
        """Run an operation that takes holds in the writer's next transaction.

        It runs in a batch with others, and again if that fails.

        Args:
            needs: what it will read; whatever is missing here takes a round trip of its own.
        """
        self._lease.register()
        return self._store.write_together(_Operation(operation, needs), self._run_together)

    def _run_together(self, database: Database, jobs: Sequence[Job[Any]], alone: bool) -> list[Outcome]:
        """Run operations in one batch; raise if one failed after it had changed something."""
        known = self._known
        if len(known.ids) > _MOST_REMEMBERED:
            known.ids.clear()
        known.process = self._lease.id if self._lease.is_registered else ""  # a fork has its parent's id
        batch = Batch(database, known, alone=alone, now_ms=self.now_ms())
        batch.load([job.operation.needs for job in jobs if isinstance(job.operation, _Operation)])
        outcomes: list[Outcome] = []
        for job in jobs:
            changes = batch.changes
            try:
                outcomes.append((job.run(batch), None))
            except BaseException as error:
                if batch.changes != changes or isinstance(error, PeeweeException):
                    raise
                outcomes.append((None, error))
        batch.take_slices()
        batch.flush(with_next_trip=True)
        return outcomes

    def needs_of_hold(
        self,
        *,
        provider: str,
        payer: Payer,
        task: str,
        began_ms: int | None = None,
        selects: Sequence[Statement] = (),
    ) -> Needs:
        """Return what an operation reads that holds money for such an attempt, with other SELECTs."""
        windows = tuple(window.key for window in self._windows(provider, payer, task))
        if payer.user is not None and began_ms is not None:
            selects = [*selects, erased.tombstone_since(payer.user, began_ms=began_ms)]
        return Needs(windows=windows, selects=tuple(selects))

    def hold(self, batch: Batch, entry: Entry, *, began_ms: int | None = None) -> Hold:
        """Take the hold in every window that applies, or in none, inside an operation of ``write``.

        Args:
            began_ms: when the call began, Unix milliseconds.

        Raises:
            BudgetExceeded: a budget has less left than the hold.
            UserErased: the user was erased after the call began.
        """
        if entry.user_id is not None and began_ms is not None:
            tombstone, arguments = erased.tombstone_since(entry.user_id, began_ms=began_ms)
            if batch.select(tombstone, *arguments):
                raise UserErased(
                    "the user was erased while this call was running: nothing more is sent or kept for "
                    "them. A call that begins now is of a new user"
                )
        # A free attempt counts in no budget, even in a full one.
        payer = Payer(entry.user_id, entry.team, labels.from_text(entry.tags))
        windows = self._windows(entry.provider, payer, entry.task) if entry.held_nano else ()
        mine = replace(entry, process=self._lease.id)
        return holds.insert_hold(batch, mine, windows, now_ms=self.now_ms())

    def remaining(self, batch: Batch, *, provider: str, payer: Payer, task: str) -> int:
        """Return the least that a budget that applies to such an attempt has left, in nano-USD."""
        windows = self._windows(provider, payer, task)
        return min(map(batch.room, windows), default=_UNLIMITED)

    def remaining_by_budget(self, providers: Iterable[str], *, payer: Payer, task: str) -> dict[str, int]:
        """Return what each budget that applies to any of the providers has left, in nano-USD."""
        windows = {window.budget: window for name in providers for window in self._windows(name, payer, task)}
        return self._store.read(
            lambda database: {
                name: max(0, holds.remaining(database, window)) for name, window in windows.items()
            }
        )

    def release(self, hold: Hold) -> Future[bool]:
        """Release a hold whose attempt will not be sent."""
        return self.end(hold, End("released", 0, None, Usage(), self.now_ms(), error="Withdrawn"))

    def end(self, hold: Hold, end: End) -> Future[bool]:
        """End the hold; the future is done once that is durable, and False if the hold had ended before.

        A cost that is learnt after the hold became lost still counts. An end that cannot be written is
        pending: it is tried again whenever the lease is renewed, and whenever a ledger of this database is
        opened on this machine. Until then the hold stays.
        """
        reached: list[AlertKey] = []

        def write(batch: Batch) -> bool:
            reached.clear()  # an earlier try was undone
            return unwritten_ends.write_end(batch, (hold, end), check)

        def check(database: Database, windows: list[Spent]) -> None:
            reached.extend(self.check_thresholds(database, windows))

        def committed(done: Future[bool]) -> None:
            ending = self._in_flight.pop(done)
            if error := done.exception():
                self._keep_pending([ending], str(error))
            elif reached:
                self._watch.remember(reached)

        future: Future[bool]
        try:
            future = self._store.write_together(
                _Operation(write, Needs(attempts=(hold.attempt,), window_ids=hold.windows)),
                self._run_together,
            )
        except StoreError as error:  # it is closed
            future = Future()
            future.set_exception(error)
        self._in_flight[future] = (hold, end)
        future.add_done_callback(committed)
        return future

    def save_pending(self, ends: Iterable[Future[bool]]) -> None:
        """Save the ends that the database has not written yet to a file that outlives this process."""
        in_flight = [self._in_flight.get(end) for end in ends]
        self._keep_pending([ending for ending in in_flight if ending], "the database is busy")

    def _keep_pending(self, endings: Sequence[Ending], reason: str) -> bool:
        """Add the ends to the pending ones; return whether that is durable."""
        for hold, _ in endings:
            log.warning("ledger.end.owed", attempt=hold.attempt, reason=reason)
        return self._pending_ends.add(endings)

    def record_cached(self, entry: Entry, *, began_ms: int | None = None) -> Future[bool]:
        """Write the row of an answer from the cache: no provider was asked, and it costs nothing.

        It has no latency and no tokens, because these describe a provider. Arguments are those of ``hold``.
        """

        def operation(batch: Batch) -> bool:
            hold = self.hold(batch, entry, began_ms=began_ms)
            end = End("settled", 0, "cached", Usage(), self.now_ms())
            return holds.end_hold(batch, hold, end) is not None

        return self.write(operation)

    def sweep(self) -> int:
        """Write the pending ends, then mark the holds of dead processes as lost; return how many."""
        self._write_pending()
        return self._store.write(
            lambda database: leases.sweep(database, self.now_ms(), self.check_thresholds)
        ).result()

    def check_thresholds(self, database: Database, windows: list[Spent]) -> list[AlertKey]:
        """Record an alert for each threshold that a window has reached, inside the caller's operation."""
        return self._watch.check(database, windows, now_ms=self.now_ms())

    def close(self) -> None:
        """Write the pending ends, mark what is still held as lost, and release the lease.

        Where the database cannot be used the ends stay pending, and the lease runs out.
        """
        try:
            self._write_pending()
            self._lease.release()
        except StoreError as error:
            log.warning("ledger.lease.not_released", reason=str(error))

    def _write_pending(self) -> None:
        """Write the pending ends of this and other processes; set aside those that the database refuses."""
        endings, files = self._pending_ends.take()

        def operation(database: Database) -> None:
            for ending in endings:
                unwritten_ends.write_or_set_aside(database, ending, self.check_thresholds, self.now_ms())

        try:
            if endings:
                self._store.write(operation).result()
        except Exception as error:
            if not self._keep_pending(endings, str(error)):
                return  # the files are the only durable copy
        self._pending_ends.discard(files)

    def _windows(self, provider: str, payer: Payer, task: str) -> tuple[BudgetWindow, ...]:
        """Return the windows that apply now; they are computed again when one of them ends."""
        now = self._clock()
        key = (provider, payer.user, payer.team, tuple(payer.tags.items()), task)
        budgets, current = self._budgets
        since, until, windows = current.get(key, _NEVER)
        if not since <= now < until:
            windows = tuple(windows_for(budgets, now=now, provider=provider, payer=payer, task=task))
            until = min((window.resets_at.timestamp() for window in windows), default=now)
            if len(current) >= _MOST_REMEMBERED:
                current.clear()
            current[key] = now, until, windows
        return windows


def _pending_file(store: Store | ReadOnlyStore) -> Path:
    """Return the file of pending ends: beside a SQLite file, for a server in the user's data folder."""
    base = store.file or data_folder(read_environ()) / store.id
    return base.with_name(f"{base.name}.owed")


def pending_ends(store: Store | ReadOnlyStore) -> int:
    """Return how many ends wait on this machine until the database can be written."""
    return PendingEnds(_pending_file(store)).count()


def swept_ledger(store: Store, config: Config) -> Ledger:
    """Return the configured ledger, after the holds of dead processes were marked as lost."""
    ledger = Ledger(store, config.all_budgets, thresholds=config.alerts.thresholds)
    ledger.sweep()
    return ledger
