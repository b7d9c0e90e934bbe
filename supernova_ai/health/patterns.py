"""Failure patterns: failures that differ only in ids, numbers and names count as one kind."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from peewee import Database, fn

from supernova_ai.secret import redact
from supernova_ai.store import tables
from supernova_ai.store.bulk import run
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import FailurePattern

MAX_LENGTH = 200
"""Characters of a message that are stored."""

_MAX_INPUT = 2_000  # a failing provider may answer with megabytes

# One placeholder for all: the id of the next failure may look like a number.
_PLACEHOLDER = "<*>"
_VARIABLE = re.compile(
    r"""
      (?<![\w+.\-]) [A-Za-z][A-Za-z0-9+.\-]* :// [^\s"'`<>]+       # a link
    | (\[redacted\] | (?<![\w\-]) [\w\-]*) \*{3,} [\w*\-]*         # the ends of a key
    | (?<!\w) (?P<quote>["'`]) [^\s"'`]+ (?P=quote) (?!\w)         # a quoted name
    | \b [0-9a-fA-F]{8} (-[0-9a-fA-F]{4}){3} - [0-9a-fA-F]{12} \b  # an id: a UUID,
    | \b (0x[0-9a-fA-F]+ | [0-9a-fA-F]{16,}) \b                    # hexadecimal,
    | \b [a-z]{2,9} [_\-] [A-Za-z0-9]{16,} \b                      # with a prefix,
    | (?<![\w\-]) (?=[\w\-]*\d) (?=[\w\-]*[A-Za-z]) [\w\-]{8,}     # or of letters and digits
    | (?<![\w.\-]) (\d+ ([.,:]\d+)* (ms|[dhms]))+ \b               # a time, as 6m0s
    | ((?<!\w)-)? \d+ ([.,:]\d+)*                                  # a number
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class PatternSummary:
    """One kind of failure, with its count and rate in a period. Times are Unix milliseconds.

    ``seen``, ``first_ms`` and ``last_ms`` cover all time; ``model`` is that of the latest failure.
    ``users`` is how many it affected in the period.
    """

    fingerprint: str
    provider: str
    model: str
    error: str
    status: int | None
    message: str
    count: int
    per_hour: float
    users: int
    seen: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """The attempts of a period that ended with this error class, and how many users they affected.

    Times are Unix milliseconds.
    """

    error: str
    count: int
    users: int
    first_ms: int
    last_ms: int


def fingerprint(provider: str, error: str, status: int | None, message: str) -> FailurePattern:
    """Return the failure with a generalised message, and a fingerprint that equal failures share.

    Args:
        error: the name of our error class.
        status: the HTTP status, None if there was no response.
        message: the provider's message; keys and known secrets in it are removed.

    >>> fingerprint("openai", "RateLimited", 429, "Limit 500, try again in 6m0s (req_7Fy1Zw).").message
    'Limit <*>, try again in <*> (<*>).'
    """
    text = _VARIABLE.sub(_PLACEHOLDER, redact(message)[:_MAX_INPUT])
    # Redacted again, because collapsing spaces may complete a secret.
    text = redact(" ".join(text.split()))[:MAX_LENGTH]
    identity = "\0".join([provider, error, "" if status is None else str(status), text])
    return FailurePattern(hashlib.sha256(identity.encode()).hexdigest()[:12], error, status, text)


def patterns(database: Database, *, since_ms: int, now_ms: int) -> list[PatternSummary]:
    """Return the failure patterns of the attempts sent since ``since_ms``, most frequent first."""
    users = fn.COUNT(AttemptRow.user.distinct())
    counts = (
        AttemptRow.select(AttemptRow.fingerprint, fn.COUNT(AttemptRow.id), users)
        .where((AttemptRow.started_ms >= since_ms) & AttemptRow.fingerprint.is_null(False))
        .group_by(AttemptRow.fingerprint)
    )
    counted = {mark: (count, users) for mark, count, users in counts.tuples().execute(database)}
    kinds = tables.PatternRow.select().where(tables.PatternRow.fingerprint.in_(list(counted)))
    hours = (now_ms - since_ms) / 3_600_000
    found = []
    for row in kinds.dicts().execute(database):
        count, affected = counted[row["fingerprint"]]
        found.append(PatternSummary(count=count, per_hour=count / hours, users=affected, **row))
    return sorted(found, key=lambda row: (-row.count, row.fingerprint))


def error_classes(database: Database, *, since_ms: int) -> list[ErrorClass]:
    """Return the error classes of the attempts sent since ``since_ms``, most frequent first."""
    rows = run(
        database,
        "SELECT error_class, COUNT(*), COUNT(DISTINCT user_id), MIN(started_ms), MAX(started_ms) "
        "FROM attempt WHERE started_ms >= ? AND error_class IS NOT NULL "
        "GROUP BY error_class ORDER BY 2 DESC, 1",
        since_ms,
    )
    return [ErrorClass(*row) for row in rows.fetchall()]
