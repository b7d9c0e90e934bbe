"""Traffic: how many requests and attempts there were in each of the last minutes, and what is held now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from peewee import Database

from supernova_ai.health.outcomes import PROVIDER_FAULTS
from supernova_ai.store.bulk import run

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Minute:
    """The requests that had an attempt in one minute, and their attempts that the provider failed."""

    start_ms: int
    requests: int
    attempts: int
    failed: int


class OpenHold(NamedTuple):
    """Money that is held for an attempt, in nano-USD, and by whom.

    ``alive`` is whether the lease of its process is still running; if not, the hold will become lost.
    """

    attempt: str
    user: str | None
    team: str | None
    task: str
    provider: str
    model: str
    amount: int
    started_ms: int
    host: str | None
    pid: int | None
    alive: bool


@dataclass(frozen=True, slots=True)
class Held:
    """All open holds: their number and sum in nano-USD, and the largest of them."""

    count: int
    amount: int
    largest: list[OpenHold]


def minutes(database: Database, *, now_ms: int, count: int = 60) -> list[Minute]:
    """Return the last minutes, oldest first; the last one has not ended."""
    faults = ", ".join("?" * len(PROVIDER_FAULTS))
    last = now_ms // MINUTE_MS
    rows = run(
        database,
        "SELECT started_ms / 60000, COUNT(DISTINCT request), COUNT(*), "  # noqa: S608 - question marks only
        f"SUM(CASE WHEN error_class IN ({faults}) THEN 1 ELSE 0 END) "
        "FROM attempt WHERE started_ms >= ? AND COALESCE(cost_basis, '') <> 'cached' GROUP BY 1",
        *PROVIDER_FAULTS,
        (last - count + 1) * MINUTE_MS,
    )
    found = {int(minute): tuple(map(int, counts)) for minute, *counts in rows.fetchall()}
    return [
        Minute(minute * MINUTE_MS, *found.get(minute, (0, 0, 0)))
        for minute in range(last - count + 1, last + 1)
    ]


def held(database: Database, *, now_ms: int, most: int) -> Held:
    """Return what is held now, with the largest holds, at most ``most``."""
    ((count, amount),) = run(
        database, "SELECT COUNT(*), COALESCE(SUM(held_nano), 0) FROM attempt WHERE state = 'held'"
    ).fetchall()
    rows = run(
        database,
        "SELECT a.id, a.user_id, a.team, a.task, a.provider, a.model, a.held_nano, a.started_ms, "
        "p.host, p.pid, COALESCE(p.lease_ms, 0) FROM attempt a LEFT JOIN process p ON p.id = a.process "
        "WHERE a.state = 'held' ORDER BY a.held_nano DESC, a.id LIMIT ?",
        most,
    )
    largest = [OpenHold._make((*row[:-1], row[-1] >= now_ms)) for row in rows.fetchall()]
    return Held(int(count), int(amount), largest)
