"""A store whose operations are audited: each change and its row are one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from peewee import Database

from supernova_ai.audit import AuditEvent, AuditReport, Details, current_actor
from supernova_ai.audit.anchor import Anchors
from supernova_ai.audit.chain import Chain, events
from supernova_ai.errors import MasterKeyError, SupernovaError
from supernova_ai.keys import records
from supernova_ai.keys.current_master import CurrentMaster
from supernova_ai.keys.master import MasterKey, confirm
from supernova_ai.keys.master_history import expire
from supernova_ai.log import get_logger
from supernova_ai.store import Store
from supernova_ai.store.engines import snapshot

log = get_logger(__name__)

T = TypeVar("T")

_ANCHOR_REST_S = 60.0
"""How long operations leave the anchor alone after it could not be moved, so as not to wait each time."""


class Record(Protocol):
    """Adds a row to the audit, in the transaction of the change that it records."""

    def __call__(self, event: str, subject: str, details: Details = ..., outcome: str = ...) -> None: ...


class AuditedStore:
    """Audits changes, signed with the store's master key once it has one.

    Do not call a method inside an operation of the store.

    Args:
        master: the master key, or a function that returns it; it is called when first needed.
        anchor: gives where the end of the audit chain is kept outside the database; None keeps it nowhere.
        clock: returns Unix time in seconds; the store's unless given.
    """

    def __init__(
        self,
        store: Store,
        master: MasterKey | Callable[[], MasterKey],
        *,
        anchor: Anchors | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.store = store
        self._master = CurrentMaster(store, master)
        self._anchor = anchor
        self._anchor_rests_until = 0.0
        self._clock = clock or store.now

    def now_ms(self) -> int:
        """Return the time in Unix milliseconds."""
        return int(self._clock() * 1000)

    def has_master(self) -> bool:
        """Return whether the store has a master key; the key itself is not asked for."""
        return self.store.read(records.master_id) is not None

    def unlock(self) -> MasterKey:
        """Resolve the master key now, because this thread may wait for the keyring, and return it.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return self._master.unlock()

    def following_master(self, action: Callable[[], T]) -> T:
        """Return what the action returns; it runs again if another process rotated the master key meanwhile.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return self._master.during(action)

    def audited(self, change: Callable[[Database, Record], T], *, seals: bool = False) -> T:
        """Make a change that is audited, in one transaction, and return what it returns.

        Retiring keys whose time is over are revoked in the same transaction.

        Args:
            change: called with the database, and with a function that adds a row to the audit. It may change
                nothing without calling that function.
            seals: the change encrypts something, so it needs the master key even if it is the first.

        Raises:
            MasterKeyError: the store has a master key, and it cannot be read: the audit cannot be signed.
        """
        return self._audited(change, with_master=seals or self.has_master())

    def verify_audit(self) -> AuditReport:
        """Check the audit chain; ``supernova_ai.audit.chain`` says what it detects and what it cannot.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's; or the anchor's keyring fails.
            OSError: the anchor's file cannot be read.
        """
        if self.store.read(records.is_unused):
            return AuditReport(rows=0, ok=True)
        anchor = self._anchor and self._anchor(self.store.read(records.master_kind))
        anchored = anchor.place.get() if anchor else None

        def verify(database: Database) -> AuditReport:
            with snapshot(database):
                keyless = records.is_unsealed(database)
                chain = self._chain(None if keyless else self._master.inside(database))
                report = chain.verify(database)
                if anchor is None or anchored is None or not report.ok:
                    return report
                said, problem = anchor.compare(chain, database, anchored)
                return replace(report, anchor=said, ok=problem is None, reason=problem)

        if self.store.read(records.is_unsealed):
            return self.store.read(verify)
        return self._master.during(lambda: self.store.read(verify))

    def audit_events(self, *, actor: str | None = None, since_ms: int | None = None) -> Iterator[AuditEvent]:
        """Yield every operation, oldest first. The rows are not checked, so it needs no master key.

        Args:
            actor: only operations of this user.
            since_ms: only operations since then, in Unix milliseconds.
        """
        after = None
        while page := self.store.read(partial(events, after=after, actor=actor, since_ms=since_ms)):
            yield from page
            after = page[-1].number

    def accept_audit(self) -> None:
        """Accept the state of the database as it is: the anchor is set to the end of the chain. Audited.

        Raises:
            MasterKeyError: the store has a master key, and it cannot be read; or the keyring cannot be used.
            OSError: the anchor's file cannot be written.
        """

        def move(database: Database) -> None:
            if self._anchor:
                chain = self._chain(self._master.inside(database) if with_master else None)
                self._anchor(records.master_kind(database)).accept(chain, database)

        with_master = self.has_master()
        self._audited(
            lambda _, record: record("audit.accepted", self.store.id), with_master=with_master, advance=False
        )
        self.store.read(move)

    def _audited(
        self, change: Callable[[Database, Record], T], *, with_master: bool, advance: bool = True
    ) -> T:
        """As ``audited``. The first change with a master records it as the store's own."""
        actor = current_actor()

        def write(database: Database) -> T:
            master = self._master.inside(database) if with_master else None
            chain = self._chain(master)

            def record(event: str, subject: str, details: Details = {}, outcome: str = "done") -> None:  # noqa: B006
                first = records.is_unused(database)
                chain.append(database, self.now_ms(), actor, event, subject, details, outcome, first=first)

            if master is None:
                if records.master_id(database) is not None:
                    raise MasterKeyError("the store got its master key just now: try again")
            elif confirm(database, master):
                expire(database, self.store.now_ms())
            else:
                record("master.created", master.id)
                records.set_master(database, master.id, master.kind)
            for key in records.all_versions(database):
                if key.is_over(self.now_ms()) and records.end(database, key, "its grace is over"):
                    record("key.revoked", key.place, key.audit_details() | {"reason": "its grace is over"})
            return change(database, record)

        run = self._master.during if with_master else lambda action: action()
        result = run(lambda: self.store.write(write).result())
        if advance:
            self.advance_anchor()
        return result

    def advance_anchor(self) -> None:
        """Move the anchor to the end of the chain. The operation is done: a failure is only a warning."""
        if (place := self._anchor) is None or time.monotonic() < self._anchor_rests_until:
            return

        def advance(database: Database) -> str | None:
            has_master = records.master_id(database) is not None
            chain = self._chain(self._master.inside(database) if has_master else None)
            return place(records.master_kind(database)).advance(chain, database)

        try:
            problem = self.store.read(advance)
        except (OSError, SupernovaError) as error:
            self._anchor_rests_until = time.monotonic() + _ANCHOR_REST_S
            problem = str(error)
        if problem:
            log.warning("audit.anchor.behind", reason=problem, check="supernova audit verify")

    def _chain(self, master: MasterKey | None) -> Chain:
        return Chain(self.store.id, () if master is None else (*master.earlier, master.audit))
