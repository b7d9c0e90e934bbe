"""The audit chain: every operation is a row, and an HMAC binds each row to the row before it.

Checking the chain detects rows that were altered, inserted, deleted or reordered. The head of the chain (the
number of rows and the last row's MAC) is stored apart from the rows under a MAC of its own, so that rows cut
off at the end are detected too.

The key of the MACs comes from the store's master key. Before the store has one, rows are chained with a key
that everybody knows; the row ``master.created`` is the first that only a holder of the master can write, and
covers those before it. ``master.rotated`` is the first row under the next master.

If the head is missing while a master or anything sealed remains, the chain is lost: rows can still be added,
but the chain never verifies again.

The chain alone cannot detect that the whole database, or rows and head together, were restored to an earlier
state: the anchor does. Neither detects changes by someone who has the master key.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import HMAC
from typing import Any

from peewee import Database

from supernova_ai.actor import Actor
from supernova_ai.characters import counted
from supernova_ai.mac import mac
from supernova_ai.store import get_meta, set_meta
from supernova_ai.store.bulk import Row
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.tables import AuditRow

Details = Mapping[str, str | int | None]
"""What else an operation's row says. It may contain no secret."""

HEAD = "audit.head"
"""Name of the record of where the chain ends."""

NEW_KEY = ("master.created", "master.rotated")
"""The events that are the first row under another key."""

PUBLIC = hmac.new(b"supernova-ai audit before the first master key", digestmod="sha256")
"""The key of rows before the store has a master key."""

_LOST = "lost"  # no row has this MAC, so a row that follows it never verifies
_COLUMNS = "number, at_ms, event, subject, details, actor, source, outcome, mac"
PAGE = 1_000
"""Rows in memory at a time."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the chain. ``details`` is JSON, as stored. ``actor`` and ``source`` say who and from where.

    ``outcome`` is ``done``, or why the operation failed.
    """

    number: int
    at: datetime
    event: str
    subject: str
    details: str
    actor: str
    source: str
    outcome: str

    @property
    def details_line(self) -> str:
        """The details as one line for people; those of a damaged row are any text."""
        try:
            return "; ".join(f"{name}: {value}" for name, value in json.loads(self.details).items())
        except (ValueError, AttributeError):
            return self.details


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of checking the chain: the number of rows, and the first wrong row with the reason.

    ``anchor`` says what was compared with the end of the chain; None if there is no anchor here.
    """

    rows: int
    ok: bool
    first_bad: int | None = None
    reason: str | None = None
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain of one store.

    Args:
        store: the store's id.
        keys: the keys of the MACs, one per master that the store has had, oldest first.
    """

    store: str
    keys: Sequence[HMAC]

    def append(
        self,
        database: Database,
        at_ms: int,
        actor: Actor,
        event: str,
        subject: str,
        details: Details,
        outcome: str = "done",
        *,
        first: bool = False,
    ) -> None:
        """Add a row in the transaction of the change it records; only one transaction at a time may do so.

        Args:
            first: nothing was ever sealed or recorded in the store, so the chain may start here.
        """
        epochs = (PUBLIC, *self.keys)
        key = epochs[-1]
        number, previous = (
            (0, "") if first else _last_row(database, epochs[-2] if event in NEW_KEY else key, self.store)
        )
        number += 1
        text = json.dumps(details, sort_keys=True)
        row = (at_ms, event, subject, text, actor.name, actor.source, outcome)
        link = _link(key, self.store, (number, *row), previous)
        AuditRow.insert(
            number=number,
            at_ms=at_ms,
            event=event,
            subject=subject,
            details=text,
            actor=actor.name,
            source=actor.source,
            outcome=outcome,
            mac=link,
        ).execute(database)
        set_meta(database, HEAD, f"{number}:{link}:{mac(key, 'head', self.store, number, link)}")

    def verify(self, database: Database) -> AuditReport:
        """Check every row and the head; the report names the first wrong row. Call it in a snapshot."""
        epochs = iter((PUBLIC, *self.keys))
        head = _head(database, self.keys[-1] if self.keys else PUBLIC, self.store)
        ((rows,),) = damaged_rows(database, "SELECT COUNT(*) FROM audit")
        if not rows and get_meta(database, HEAD) is None and not self.keys:
            return AuditReport(0, True)
        key, previous, at_head = next(epochs), "", ""
        for expected, (*row, stored) in enumerate(_rows(database), start=1):
            number, event = row[0], row[2]
            if number != expected:
                return AuditReport(rows, False, expected, f"row {expected} is missing")
            if event in NEW_KEY:
                key = next(epochs, PUBLIC)
            link = _link(key, self.store, row, previous)
            if not hmac.compare_digest(link.encode(), str(stored).encode()):
                after_loss = {_link(key, self.store, row, _LOST) for key in (PUBLIC, *self.keys)}
                reason = (
                    f"the chain was lost: its end was missing or altered when row {expected} was added"
                    if str(stored) in after_loss
                    else f"row {expected} was altered, or does not follow the row before it"
                )
                return AuditReport(rows, False, expected, reason)
            previous = link
            if head is not None and number == head[0]:
                at_head = link
        if head is None:
            reason = "the chain is lost: the record of its end is missing or altered"
            return AuditReport(rows, False, rows + 1, reason)
        count, last = head
        if count > rows:
            return AuditReport(rows, False, rows + 1, f"{counted(count - rows, 'row')} missing at the end")
        if at_head != last:
            return AuditReport(rows, False, count, f"row {count} is not the one the chain's end names")
        if count < rows:
            return AuditReport(
                rows, False, count + 1, f"the chain's end names row {count}, and rows follow it"
            )
        return AuditReport(rows, True)

    def end(self, database: Database) -> str | None:
        """Return the record of the chain's end, for an anchor; None if it is missing or not genuine."""
        text = get_meta(database, HEAD)
        return text if text and self.parse(text) else None

    def parse(self, text: str) -> tuple[int, str] | None:
        """Return the number and the MAC of the row that a record of an end names; None if not genuine."""
        ends = (_parse(text, key, self.store) for key in (PUBLIC, *self.keys))
        return next((end for end in ends if end), None)


def events(
    database: Database, *, after: int | None = None, actor: str | None = None, since_ms: int | None = None
) -> list[AuditEvent]:
    """Return a page of rows, oldest first, without checking them; the next page is ``after`` its last row.

    Args:
        actor: who did it.
        since_ms: Unix milliseconds.
    """
    filters = {"number > ?": after, "actor = ?": actor, "at_ms >= ?": since_ms}
    return [_event(row) for row in _page(database, filters)]


def latest_events(
    database: Database,
    *,
    limit: int,
    before: int | None = None,
    actor: str | None = None,
    event: str | None = None,
    subject: str | None = None,
) -> list[AuditEvent]:
    """Return the latest rows, newest first, without checking them.

    Args:
        before: only rows of a lower number.
        actor: who did it.
    """
    filters = {"number < ?": before, "actor = ?": actor, "event = ?": event, "subject = ?": subject}
    return [_event(row) for row in _page(database, filters, newest=limit)]


def event_names(database: Database) -> list[str]:
    """Return the names of the events that were recorded."""
    return [
        str(name) for (name,) in damaged_rows(database, "SELECT DISTINCT event FROM audit ORDER BY event")
    ]


def link_at(database: Database, number: int) -> str | None:
    """Return the MAC of the row of that number; None if there is none."""
    for (link,) in damaged_rows(database, "SELECT mac FROM audit WHERE number = ?", number):
        return str(link)
    return None


def _rows(database: Database) -> Iterator[Row]:
    after = None
    while page := _page(database, {"number > ?": after}):
        yield from page
        after = page[-1][0]


def _event(row: Row) -> AuditEvent:
    number, at_ms, *texts, _ = row
    return AuditEvent(number, to_datetime(at_ms), *(str(text or "") for text in texts))


def _page(database: Database, filters: Mapping[str, Any], newest: int | None = None) -> list[Row]:
    """Return a page of rows, oldest first; or so many of the newest, newest first."""
    used = {condition: value for condition, value in filters.items() if value is not None}
    where = f"WHERE {' AND '.join(used)} " if used else ""
    order = f"number LIMIT {PAGE}" if newest is None else f"number DESC LIMIT {newest}"
    select = f"SELECT {_COLUMNS} FROM audit {where}ORDER BY {order}"  # noqa: S608 - text of ours
    return damaged_rows(database, select, *used.values())


def to_datetime(at_ms: int) -> datetime:
    """Return Unix milliseconds as a UTC time; a damaged number becomes 1970, so that lists stay readable."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    try:
        return epoch + timedelta(milliseconds=at_ms)
    except (OverflowError, TypeError):
        return epoch


def _link(key: HMAC, store: str, row: Sequence[Any], previous: str) -> str:
    """Return the MAC of a row: number, time, event, subject, details, actor, source, outcome."""
    number, at_ms, event, subject, details, actor, source, outcome = row
    if (actor, source, outcome) == (None, None, None):  # written by a first release
        return mac(key, "row", store, number, at_ms, event, subject, details, previous)
    return mac(
        key, "operation", store, number, at_ms, event, subject, details, actor, source, outcome, previous
    )


def _head(database: Database, key: HMAC, store: str) -> tuple[int, str] | None:
    """Return the number and MAC of the last row; None if their record is missing or not genuine."""
    return _parse(get_meta(database, HEAD) or "", key, store)


def _parse(text: str, key: HMAC, store: str) -> tuple[int, str] | None:
    count, _, rest = text.partition(":")
    link, _, seal = rest.partition(":")
    genuine = mac(key, "head", store, count, link).encode()
    return (int(count), link) if count.isdecimal() and hmac.compare_digest(genuine, seal.encode()) else None


def _last_row(database: Database, key: HMAC, store: str) -> tuple[int, str]:
    """Return the number and MAC that the next row follows; appending must never repair a broken chain."""
    head = _head(database, key, store)
    ((last,),) = damaged_rows(database, "SELECT COALESCE(MAX(number), 0) FROM audit")
    return (last, _LOST) if head is None or last > head[0] else head
