"""Uptime: the share of a provider's attempts that it did not fail, from the hourly rollup."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from peewee import Database, fn

from supernova_ai.health.outcomes import is_provider_fault
from supernova_ai.store.tables import UsageRow

_HOUR_MS = 3_600_000
_HOURS = {"hour": 1, "day": 24}

Per = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class Uptime:
    """A provider's attempts, and those it failed, in the hour or day (UTC) that begins at ``start_ms``."""

    provider: str
    start_ms: int
    attempts: int
    failed: int

    @property
    def share(self) -> float:
        """The share of attempts that the provider did not fail, 0 to 1."""
        return 1 - self.failed / self.attempts


def uptime(database: Database, *, since_ms: int, per: Per = "day") -> list[Uptime]:
    """Return each provider's full hours or days with attempts, from the one that contains ``since_ms``.

    An attempt counts at the time it was sent, after it has ended. Answers from the cache do not count.
    """
    hours = _HOURS[per]
    first = since_ms // (hours * _HOUR_MS) * hours
    query = (
        UsageRow.select(
            UsageRow.provider, UsageRow.hour, UsageRow.error, fn.SUM(UsageRow.attempts - UsageRow.cached)
        )
        # Late settlements may leave a row with zero attempts.
        .where((UsageRow.hour >= first) & (UsageRow.attempts > UsageRow.cached))
        .group_by(UsageRow.provider, UsageRow.hour, UsageRow.error)
    )
    attempts: Counter[tuple[str, int]] = Counter()
    failed: Counter[tuple[str, int]] = Counter()
    for provider, hour, error, count in query.tuples().execute(database):
        key = (provider, hour // hours * hours * _HOUR_MS)
        attempts[key] += int(count)
        failed[key] += int(count) if is_provider_fault(error) else 0
    return [Uptime(*key, count, failed[key]) for key, count in sorted(attempts.items())]
