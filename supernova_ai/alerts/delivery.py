"""Delivery: a thread takes alerts out of the outbox and sends them to every channel.

    new ──claim──▶ new, leased ──▶ sent      every channel accepted the message
                        ├────────▶ new       a channel did not: retried, after a longer delay each time …
                        └────────▶ failed    … until the last try

A claim is one transaction, so that only one of several processes sends an alert. If that process dies,
another one sends the alert once the claim's lease ends. A message may therefore, rarely, arrive twice; none
is lost.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from peewee import Database, Expression

from supernova_ai.alerts import spikes
from supernova_ai.alerts.channels import Resolve, channels
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.config import Alerts, Budget
from supernova_ai.log import get_logger
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow

log = get_logger(__name__)

Sink = Callable[[AlertEvent], object]
"""A function of the program that is called with each alert."""

TRIES = 8
"""After so many tries, two hours after the first, an alert has failed."""

POLL_S = 60
"""Seconds between two checks of the outbox when nothing wakes the thread."""

STALE_S = 86_400
"""Alerts older than so many seconds are not sent: a first URL must not receive last year's alerts."""

GRACE_S = 10
"""How long ``close`` waits, in seconds, for a message that is being sent."""

_FIRST_DELAY_S = 60
_LONGEST_DELAY_S = 3600
_LEASE_S = 60  # for the sinks, and again for each channel
_SPIKES_S = 300
_SENT = "sent"
_SINKS = "sinks"


class AlertDelivery:
    """Delivers alerts to Apprise URLs and to functions of the program, and checks for spikes.

    Args:
        store: where the outbox is.
        budgets: the budgets in force, for the times at which they reset.
        alerts: the URLs, and what counts as a spike.
        resolve: returns the URL behind ``vault:NAME``; called on the delivery thread, so it may be slow.
        verify_tls: refuse URLs that disable the check of certificates.
        sinks: called with each alert that this process delivers. An exception in a sink is logged.
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
        self._channels = channels(alerts.notify, resolve, verify_tls=verify_tls)
        self._sinks = tuple(sinks)
        self._clock = clock or store.now
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._checked_spikes_s = 0.0

    def start(self) -> None:
        """Start the thread; do nothing if there is no URL and no sink."""
        if self._thread is None and (self._channels or self._sinks):
            # A daemon: a program that forgets to close must still be able to end.
            self._thread = threading.Thread(target=self._run, name="supernova-alerts", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Make the thread check the outbox now. This never blocks."""
        self._woken.set()

    def close(self) -> None:
        """Send what is due, for some seconds at most, and end the thread. Calling it again does nothing."""
        if self._thread is not None:
            self._closing.set()
            self._woken.set()
            self._thread.join(GRACE_S)
            self._thread = None

    def deliver_due(self) -> int:
        """Check for a spike every few minutes, deliver every alert that is due, and return how many were."""
        if self._clock() - self._checked_spikes_s >= _SPIKES_S:
            self._checked_spikes_s = self._clock()
            spikes.record_spike(self._store, self._spike, now_ms=self._now_ms())
        count = 0
        while (row := self._store.write(self._claim).result()) is not None:
            self._deliver(row)
            count += 1
        return count

    def _run(self) -> None:
        last = False
        while not last:
            self._woken.clear()
            last = self._closing.is_set()  # one more round follows: it sends what was recorded until now
            try:
                self.deliver_due()
            except Exception as error:  # the thread must go on: the next round may succeed
                log.warning("alerts.delivery.failed", reason=str(error))
            if not last:
                self._woken.wait(POLL_S)

    def _claim(self, database: Database) -> AlertRow | None:
        """Lease the oldest alert that is due to this process; writing transactions never overlap."""
        now_ms = self._now_ms()
        due: Expression = (
            (AlertRow.state == "new")
            & (AlertRow.next_ms <= now_ms)
            & (AlertRow.at_ms > now_ms - STALE_S * 1000)
        )
        oldest = AlertRow.select(AlertRow.id).where(due).order_by(AlertRow.id).limit(1)
        lease_ms = _LEASE_S * (1 + len(self._channels)) * 1000
        claim = (
            AlertRow.update({AlertRow.tries: AlertRow.tries + 1, AlertRow.next_ms: now_ms + lease_ms})
            .where(AlertRow.id.in_(oldest))
            .returning(AlertRow)
        )
        return next(iter(claim.execute(database)), None)

    def _deliver(self, row: AlertRow) -> None:
        event = AlertEvent.of(row, self._budgets)
        before: dict[str, str] = json.loads(row.detail or "{}")
        if before.get(_SINKS) != _SENT:
            self._call_sinks(event)
        outcome = {_SINKS: _SENT}
        for channel in self._channels:
            # An edit of the configuration between two tries may change an entry's index; so the name has the
            # kind as well. At worst one service gets one alert twice or not at all.
            done = before.get(channel.name) == _SENT
            outcome[channel.name] = _SENT if done else channel.send(event.message()) or _SENT
        self._store.write(lambda database: self._record_outcome(database, row, outcome)).result()
        for name, result in outcome.items():
            if result != _SENT:
                log.warning("alerts.not_sent", alert=row.id, to=name, reason=result, tries=row.tries)

    def _call_sinks(self, event: AlertEvent) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception as error:
                log.warning("alerts.sink.failed", alert=event.id, sink=repr(sink), error=repr(error))

    def _record_outcome(self, database: Database, row: AlertRow, outcome: dict[str, str]) -> None:
        change: dict[Any, Any] = {AlertRow.detail: json.dumps(outcome)}
        if set(outcome.values()) == {_SENT}:
            change[AlertRow.state] = _SENT
        elif row.tries >= TRIES:
            change[AlertRow.state] = "failed"
        else:
            delay_s = min(_FIRST_DELAY_S * 2 ** (row.tries - 1), _LONGEST_DELAY_S)
            change[AlertRow.next_ms] = self._now_ms() + delay_s * 1000
        # Unless the lease ran out and another process has the alert, or a person acknowledged it meanwhile.
        still_ours = (AlertRow.id == row.id) & (AlertRow.tries == row.tries) & (AlertRow.state == "new")
        AlertRow.update(change).where(still_ours).execute(database)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
