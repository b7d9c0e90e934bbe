"""The courier: takes alerts out of the outbox and tells them, on a thread of its own.

    new ──claim──▶ new, leased ──▶ sent      everybody was told
                        ├────────▶ new       somebody was not: tried again, later each time …
                        └────────▶ failed    … and given up in the end

A claim is one transaction, so of several processes one sends. One that dies while it sends is taken over
when its lease ends; so a message may, rarely, come twice, and is never lost for that.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from peewee import Database, Expression

from supernova_ai.alerts import spikes
from supernova_ai.alerts.channels import Resolve, addresses
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.config import Alerts, Budget
from supernova_ai.log import get_logger
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow

log = get_logger(__name__)

Sink = Callable[[AlertEvent], object]

TRIES = 8
"""After so many tries an alert has failed: two hours after the first."""

POLL_S = 60
"""Seconds between looks at the outbox when nothing wakes the courier."""

STALE_S = 86_400
"""Older alerts, in seconds, are not sent: who names a first URL does not want last year's."""

GRACE_S = 10
"""How long ``close`` waits, in seconds, for what is being sent."""

_FIRST_DELAY_S = 60
_LONGEST_DELAY_S = 3600
_LEASE_S = 60  # for the sinks, and as much again for each address
_SPIKES_S = 300
_SENT = "sent"
_SINKS = "sinks"


class AlertDelivery:
    """Delivers alerts to Apprise URLs and to functions of the program, and looks for spikes.

    Args:
        store: where the outbox is.
        budgets: those in force, for when they reset.
        alerts: whom to tell, and what is a spike.
        resolve: gives the URL behind ``vault:NAME``; called on the courier's thread, so it may be slow.
        verify_tls: refuse URLs that switch the check of certificates off.
        sinks: called with each alert that this process delivers. What one raises is logged.
        clock: Unix seconds, the store's unless given.
    """

    def __init__(
        self,
        store: Store,
        budgets: Sequence[Budget],
        alerts: Alerts,
        *,
        resolve: Resolve,
        verify_tls: bool = True,
        sinks: Sequence[Sink] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._budgets = tuple(budgets)
        self._spike = alerts.spike
        self._addresses = addresses(alerts.notify, resolve, verify_tls=verify_tls)
        self._sinks = tuple(sinks)
        self._clock = clock or store.now
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked_s = 0.0

    def start(self) -> None:
        """Start the thread; without anybody to tell, do nothing."""
        if self._thread is None and (self._addresses or self._sinks):
            # A daemon: a program that forgets to close must still be able to end.
            self._thread = threading.Thread(target=self._run, name="supernova-courier", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Let the courier look at the outbox now. It never blocks."""
        self._woken.set()

    def close(self) -> None:
        """Send what is due, waiting some seconds at most, and end. Calling again does nothing."""
        if self._thread is not None:
            self._closing.set()
            self._woken.set()
            self._thread.join(GRACE_S)
            self._thread = None

    def work(self) -> int:
        """Look for a spike if it is time to, deliver every alert that is due, and return how many were."""
        if self._clock() - self._looked_s >= _SPIKES_S:
            self._looked_s = self._clock()
            spikes.look(self._store, self._spike, now_ms=self._now_ms())
        count = 0
        while (row := self._store.write(self._claim).result()) is not None:
            self._deliver(row)
            count += 1
        return count

    def _run(self) -> None:
        last = False
        while not last:
            self._woken.clear()
            last = self._closing.is_set()  # one more round after it: what was recorded until then is sent
            try:
                self.work()
            except Exception as error:  # the thread must live: the next round may go well
                log.warning("alerts.courier.failed", reason=str(error))
            if not last:
                self._woken.wait(POLL_S)

    def _claim(self, database: Database) -> AlertRow | None:
        """Lease the oldest alert that is due to this courier; writing transactions never overlap."""
        now_ms = self._now_ms()
        due: Expression = (
            (AlertRow.state == "new")
            & (AlertRow.next_ms <= now_ms)
            & (AlertRow.at_ms > now_ms - STALE_S * 1000)
        )
        oldest = AlertRow.select(AlertRow.id).where(due).order_by(AlertRow.id).limit(1)
        lease_ms = _LEASE_S * (1 + len(self._addresses)) * 1000
        claim = (
            AlertRow.update({AlertRow.tries: AlertRow.tries + 1, AlertRow.next_ms: now_ms + lease_ms})
            .where(AlertRow.id.in_(oldest))
            .returning(AlertRow)
        )
        return next(iter(claim.execute(database)), None)

    def _deliver(self, row: AlertRow) -> None:
        event = AlertEvent.of(row, self._budgets)
        told: dict[str, str] = json.loads(row.detail or "{}")
        if told.get(_SINKS) != _SENT:
            self._call_sinks(event)
        outcome = {_SINKS: _SENT}
        for address in self._addresses:
            # Places may move when somebody edits the configuration between two tries; so the kind is in
            # the name, and at worst one service hears of one alert twice or not at all.
            done = told.get(address.name) == _SENT
            outcome[address.name] = _SENT if done else address.send(event.message()) or _SENT
        self._store.write(lambda database: self._settle(database, row, outcome)).result()
        for name, said in outcome.items():
            if said != _SENT:
                log.warning("alerts.not_sent", alert=row.id, to=name, reason=said, tries=row.tries)

    def _call_sinks(self, event: AlertEvent) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception as error:
                log.warning("alerts.sink.failed", alert=event.id, sink=repr(sink), error=repr(error))

    def _settle(self, database: Database, row: AlertRow, outcome: dict[str, str]) -> None:
        change: dict[Any, Any] = {AlertRow.detail: json.dumps(outcome)}
        if set(outcome.values()) == {_SENT}:
            change[AlertRow.state] = _SENT
        elif row.tries >= TRIES:
            change[AlertRow.state] = "failed"
        else:
            delay_s = min(_FIRST_DELAY_S * 2 ** (row.tries - 1), _LONGEST_DELAY_S)
            change[AlertRow.next_ms] = self._now_ms() + delay_s * 1000
        # Not if the lease ran out and another courier has it, nor if somebody acknowledged it meanwhile.
        still_ours = (AlertRow.id == row.id) & (AlertRow.tries == row.tries) & (AlertRow.state == "new")
        AlertRow.update(change).where(still_ours).execute(database)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
