"""The audit chain: every change to a key is a row, and an HMAC binds each row to the row before it.

Checking the chain detects rows that were altered, inserted, deleted or reordered. The head of the chain (the
number of rows and the last row's MAC) is stored apart from the rows under a MAC of its own, so that rows cut
off at the end are detected too.

A chain starts once, with the store's master key. If the head is missing while a master or anything sealed
remains, the chain is lost: rows can still be added, but the chain never verifies again.

The chain cannot detect that the whole database, or rows and head together, were restored to an earlier state:
keep copies elsewhere against that. Nor can it detect changes by someone who has the master key.
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
from supernova_ai.store import get_meta, set_meta
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.tables import AuditRow

EventName = Literal["master.created", "key.added", "key.imported", "key.removed"]
Details = Mapping[str, str | int]

HEAD = "audit.head"
"""Name of the record of where the chain ends."""

_LOST = "lost"  # no row has this MAC, so a row that follows it never verifies
_SELECT = "SELECT number, at_ms, event, subject, details, mac FROM audit ORDER BY number"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the chain. ``details`` is JSON, as stored."""

    number: int
    at: datetime
    event: str
    subject: str
    details: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of checking the chain: the number of rows, and the first wrong row with the reason."""

    rows: int
    ok: bool
    first_bad: int | None = None
    reason: str | None = None


def append(
    database: Database,
    key: HMAC,
    store: str,
    at_ms: int,
    event: EventName,
    subject: str,
    details: Details,
    *,
    first: bool = False,
) -> None:
    """Add a row in the transaction of the change it records; only one transaction at a time may do so.

    Args:
        first: nothing was ever sealed in the store, so the chain may start here.
    """
    number, previous = (0, "") if first else _last_row(database, key, store)
    number += 1
    details_json = json.dumps(details, sort_keys=True)
    link = mac(key, "row", store, number, at_ms, event, subject, details_json, previous)
    AuditRow.insert(
        number=number, at_ms=at_ms, event=event, subject=subject, details=details_json, mac=link
    ).execute(database)
    head = f"{number}:{link}:{mac(key, 'head', store, number, link)}"
    set_meta(database, HEAD, head)


def verify(database: Database, key: HMAC, store: str) -> AuditReport:
    """Check every row and the head; the report names the first wrong row."""
    head = _head(database, key, store)  # before the rows: a row added meanwhile is no alarm
    rows = damaged_rows(database, _SELECT)
    links = [""]
    for expected, (number, at_ms, event, subject, details, stored) in enumerate(rows, start=1):
        if number != expected:
            return AuditReport(len(rows), False, expected, f"row {expected} is missing")
        link = mac(key, "row", store, number, at_ms, event, subject, details, links[-1])
        if not hmac.compare_digest(link.encode(), str(stored).encode()):
            after_loss = mac(key, "row", store, number, at_ms, event, subject, details, _LOST)
            reason = (
                f"the chain was lost: its end was missing or altered when row {expected} was added"
                if hmac.compare_digest(after_loss.encode(), str(stored).encode())
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
    """Return every row, oldest first, without checking it."""
    rows = damaged_rows(database, _SELECT)
    return [AuditEvent(number, to_datetime(at_ms), *map(str, texts)) for number, at_ms, *texts, _ in rows]


def to_datetime(at_ms: int) -> datetime:
    """Return Unix milliseconds as a UTC time; a damaged number becomes 1970, so that lists stay readable."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    try:
        return epoch + timedelta(milliseconds=at_ms)
    except (OverflowError, TypeError):
        return epoch


def _head(database: Database, key: HMAC, store: str) -> tuple[int, str] | None:
    """Return the number and MAC of the last row; None if their record is missing or not genuine."""
    count, _, rest = (get_meta(database, HEAD) or "").partition(":")
    link, _, seal = rest.partition(":")
    genuine = mac(key, "head", store, count, link).encode()
    return (int(count), link) if count.isdecimal() and hmac.compare_digest(genuine, seal.encode()) else None


def _last_row(database: Database, key: HMAC, store: str) -> tuple[int, str]:
    """Return the number and MAC that the next row follows; appending must never repair a broken chain."""
    head = _head(database, key, store)
    ((last,),) = damaged_rows(database, "SELECT COALESCE(MAX(number), 0) FROM audit")
    return (last, _LOST) if head is None or last > head[0] else head
