"""The audit chain: what happened to keys, each row bound to the row before it by an HMAC.

It detects a row that was altered, inserted, deleted or reordered, and rows cut off at the end: the head of
the chain (how many rows, and the last one's MAC) is kept apart from them, under a MAC of its own.

A chain starts once, with the store's master key. Where a master or anything sealed is left and the head is
not, the chain is lost: rows can still be added, but it never verifies again.

It cannot detect that the whole database, or both rows and head, were put back to an earlier state, nor
anything done by somebody who holds the master key. Against the first, keep copies elsewhere.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import HMAC
from typing import Literal

from peewee import Database

from supernova_ai.keys.crypto import mac
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.facts import fact, set_fact
from supernova_ai.store.tables import AuditRow

Event = Literal["master.created", "key.added", "key.imported", "key.removed"]
Details = Mapping[str, str | int]

HEAD = "audit.head"
"""The fact that tells where the chain ends."""

_LOST = "lost"  # a previous MAC that no row has: what follows it can never verify
_EVERY = "SELECT number, at_ms, event, subject, details, mac FROM audit ORDER BY number"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the chain. ``details`` is JSON, as it is stored."""

    number: int
    at: datetime
    event: str
    subject: str
    details: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What checking the chain found: how many rows, and the first that is wrong, with the reason.

    It cannot see that the whole database was put back to an earlier state, nor what a holder of the
    master key did.
    """

    rows: int
    ok: bool
    first_bad: int | None = None
    reason: str | None = None


def append(
    database: Database,
    key: HMAC,
    store: str,
    at_ms: int,
    event: Event,
    subject: str,
    details: Details,
    *,
    first: bool = False,
) -> None:
    """Add a row, inside the transaction of the change it tells of; one transaction at a time may do so.

    Args:
        first: nothing was sealed in the store before, so that a chain may start here.
    """
    number, previous = (0, "") if first else _end(database, key, store)
    number += 1
    written = json.dumps(details, sort_keys=True)
    link = mac(key, "row", store, number, at_ms, event, subject, written, previous)
    AuditRow.insert(
        number=number, at_ms=at_ms, event=event, subject=subject, details=written, mac=link
    ).execute(database)
    head = f"{number}:{link}:{mac(key, 'head', store, number, link)}"
    set_fact(database, HEAD, head)


def verify(database: Database, key: HMAC, store: str) -> AuditReport:
    """Check every row and the head; the report names the first row that is wrong."""
    head = _head(database, key, store)  # before the rows: one added meanwhile is then no alarm
    rows = damaged_rows(database, _EVERY)
    links = [""]
    for expected, (number, at_ms, event, subject, details, found) in enumerate(rows, start=1):
        if number != expected:
            return AuditReport(len(rows), False, expected, f"row {expected} is missing")
        link = mac(key, "row", store, number, at_ms, event, subject, details, links[-1])
        if not hmac.compare_digest(link.encode(), str(found).encode()):
            after_loss = mac(key, "row", store, number, at_ms, event, subject, details, _LOST)
            lost = hmac.compare_digest(after_loss.encode(), str(found).encode())
            reason = (
                f"the chain was lost: its end was missing or altered when row {expected} was added"
                if lost
                else f"row {expected} was altered, or does not follow the row before it"
            )
            return AuditReport(len(rows), False, expected, reason)
        links.append(link)
    if head is None:
        reason = "the chain is lost: the record of its end is missing or altered"
        return AuditReport(len(rows), False, len(rows) + 1, reason)
    count, last = head
    if count > len(rows):
        return AuditReport(
            len(rows), False, len(rows) + 1, f"{count - len(rows)} rows at the end are missing"
        )
    if links[count] != last:
        return AuditReport(len(rows), False, count, f"row {count} is not the one the chain's end names")
    return AuditReport(len(rows), True)


def events(database: Database) -> list[AuditEvent]:
    """Return every row, oldest first, unchecked."""
    rows = damaged_rows(database, _EVERY)
    return [AuditEvent(number, moment(at_ms), *map(str, told)) for number, at_ms, *told, _ in rows]


def moment(at_ms: int) -> datetime:
    """Return Unix milliseconds as a UTC time; a damaged number as 1970, so that a list shows the rest."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    try:
        return epoch + timedelta(milliseconds=at_ms)
    except (OverflowError, TypeError):
        return epoch


def _head(database: Database, key: HMAC, store: str) -> tuple[int, str] | None:
    """Return the number and MAC of the last row, or None when the record of them is absent or not genuine."""
    count, _, rest = (fact(database, HEAD) or "").partition(":")
    link, _, seal = rest.partition(":")
    genuine = mac(key, "head", store, count, link).encode()
    return (int(count), link) if count.isdecimal() and hmac.compare_digest(genuine, seal.encode()) else None


def _end(database: Database, key: HMAC, store: str) -> tuple[int, str]:
    """Return the number and MAC that the next row follows; appending must never mend a broken chain."""
    head = _head(database, key, store)
    ((last,),) = damaged_rows(database, "SELECT COALESCE(MAX(number), 0) FROM audit")
    return (last, _LOST) if head is None or last > head[0] else head
