"""Statistics of each deployment from the rows of its latest attempts: rates, errors and latencies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from peewee import Database

from supernova_ai.health.breakers import BreakerState, identity_of
from supernova_ai.health.outcomes import PROVIDER_FAULTS, DeploymentIdentity, is_answered, is_provider_fault
from supernova_ai.store import tables
from supernova_ai.store.bulk import run

MAX_EARLIER = 10_000
"""Attempts before the window that are searched for the last success and the last failure."""


_SHOWN: Mapping[BreakerState, str] = {"closed": "healthy", "open": "cooling down", "half-open": "testing"}


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds by nearest rank; None without measurements."""

    p50: int | None
    p95: int | None
    p99: int | None


@dataclass(frozen=True, slots=True)
class DeploymentHealth:
    """The health of one deployment. Times are Unix milliseconds.

    ``answered`` counts the attempts with a complete answer; the percentiles are theirs. ``errors`` counts
    error classes; ``failed`` counts the attempts whose class counts against the provider. The last success
    and failure may be older than the window. An unknown breaker counts as closed.
    """

    deployment: str
    tier: str
    provider: str
    model: str
    slot: str | None
    address: str | None
    attempts: int
    answered: int
    failed: int
    errors: Mapping[str, int]
    latency: Percentiles
    first_token: Percentiles
    last_success_ms: int | None
    last_failure_ms: int | None
    last_error: str | None
    state: BreakerState
    since_ms: int | None
    until_ms: int | None
    probed_ms: int | None
    probe: str | None

    @property
    def success_rate(self) -> float | None:
        """The share of attempts that the provider did not fail, 0 to 1; None without attempts."""
        return 1 - self.failed / self.attempts if self.attempts else None

    def shown_state(self, *, has_key: bool) -> str:
        """Return "healthy", "cooling down", "testing", or "no key" if it cannot be asked, for people."""
        return "no key" if self.state == "closed" and not has_key else _SHOWN[self.state]


class Sample(NamedTuple):
    """One ended attempt: its deployment, its latencies in milliseconds, and whether it was answered."""

    deployment: str
    latency_ms: int | None
    first_token_ms: int | None
    ok: bool


class _Row(NamedTuple):
    tier: str
    provider: str
    model: str
    slot: str | None
    address: str | None
    state: str
    error: str | None
    latency_ms: int | None
    first_token_ms: int | None
    ended_ms: int

    @property
    def identity(self) -> DeploymentIdentity:
        return DeploymentIdentity._make(self[:5])


# Plain SQL: a busy hour has many rows. Answers from the cache say nothing about the provider.
_ENDED = """
SELECT tier, provider, model, key_slot, address, state, error_class, latency_ms, first_token_ms, ended_ms
FROM attempt WHERE state <> 'held' AND COALESCE(cost_basis, '') <> 'cached' AND started_ms
"""


@dataclass(slots=True)
class _Tally:
    attempts: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[int | None] = field(default_factory=list)
    first_tokens: list[int | None] = field(default_factory=list)
    last_success_ms: int | None = None
    last_failure_ms: int | None = None
    last_error: str | None = None

    def add(self, row: _Row) -> None:
        self.attempts += 1
        if row.error is not None:
            self.errors[row.error] += 1
        if is_answered(row.state, row.error):
            self.latencies.append(row.latency_ms)
            self.first_tokens.append(row.first_token_ms)
        self.update_last(row)

    def update_last(self, row: _Row) -> None:
        """Update the last success and failure only."""
        if is_answered(row.state, row.error):
            self.last_success_ms = max(self.last_success_ms or 0, row.ended_ms)
        elif is_provider_fault(row.error) and row.ended_ms > (self.last_failure_ms or 0):
            self.last_failure_ms, self.last_error = row.ended_ms, row.error


def deployments(database: Database, *, now_ms: int, window_s: int = 3600) -> list[DeploymentHealth]:
    """Return the health of each deployment over the last ``window_s`` seconds, worst first.

    A deployment without attempts in that time, breaker and probe is left out. An attempt counts at the time
    it was sent, after it has ended.
    """
    since_ms = now_ms - window_s * 1000
    known = {row.deployment: row for row in tables.HealthRow.select().execute(database)}
    tallies: defaultdict[DeploymentIdentity, _Tally] = defaultdict(_Tally)
    for row in _rows(database, ">= ?", since_ms):
        tallies[row.identity].add(row)
    for state in known.values():
        tallies.setdefault(identity_of(state), _Tally())  # has a breaker or a probe, and no attempts
    for row in _rows(database, "< ? ORDER BY started_ms DESC LIMIT ?", since_ms, MAX_EARLIER):
        if tally := tallies.get(row.identity):
            tally.update_last(row)
    found = (_health(identity, tally, known, now_ms) for identity, tally in tallies.items())
    return sorted(found, key=_worst_first)


_STATES: tuple[BreakerState, ...] = ("open", "half-open", "closed")


def _worst_first(health: DeploymentHealth) -> tuple[int, float, str]:
    rate = 1.0 if health.success_rate is None else health.success_rate
    return _STATES.index(health.state), rate, health.deployment


def recent(database: Database, *, since_ms: int, limit: int) -> list[Sample]:
    """Return the latest attempts sent since ``since_ms``, at most ``limit``, oldest first.

    Attempts that say nothing about the provider are left out: rejected requests, abandoned calls, and those
    whose process died.
    """
    faults = ", ".join("?" * len(PROVIDER_FAULTS))
    condition = f">= ? AND (error_class IS NULL OR error_class IN ({faults}))"
    latest = f"{condition} ORDER BY started_ms DESC, id DESC LIMIT ?"
    samples = [
        Sample(row.identity.id, row.latency_ms, row.first_token_ms, is_answered(row.state, row.error))
        for row in _rows(database, latest, since_ms, *PROVIDER_FAULTS, limit)
    ]
    return samples[::-1]


def _rows(database: Database, condition: str, *arguments: object) -> Iterator[_Row]:
    """Yield the ended attempts whose start meets the SQL condition, in its order."""
    return map(_Row._make, run(database, _ENDED + condition, *arguments))


def _health(
    identity: DeploymentIdentity, tally: _Tally, states: Mapping[str, tables.HealthRow], now_ms: int
) -> DeploymentHealth:
    known = states.get(identity.id)
    state, since_ms, until_ms = _circuit(known, tally.last_success_ms or 0, now_ms)
    return DeploymentHealth(
        deployment=identity.id,
        **identity._asdict(),
        attempts=tally.attempts,
        answered=len(tally.latencies),
        failed=sum(count for error, count in tally.errors.items() if is_provider_fault(error)),
        errors=dict(sorted(tally.errors.items())),
        latency=_percentiles(tally.latencies),
        first_token=_percentiles(tally.first_tokens),
        last_success_ms=tally.last_success_ms,
        last_failure_ms=tally.last_failure_ms,
        last_error=tally.last_error,
        state=state,
        since_ms=since_ms,
        until_ms=until_ms,
        probed_ms=known.probed_ms if known else None,
        probe=known.probe if known else None,
    )


def _circuit(
    known: tables.HealthRow | None, success_ms: int, now_ms: int
) -> tuple[BreakerState, int | None, int | None]:
    """Return the state of the circuit now, with its beginning and end.

    The stored state is that of the last change: the end of a cooldown is not written.
    """
    if known is None:
        return "closed", None, None
    over_ms = known.until_ms or known.since_ms
    if known.state == "closed" or over_ms > now_ms:
        return cast(BreakerState, known.state), known.since_ms, known.until_ms
    return ("closed", None, None) if success_ms > over_ms else ("half-open", over_ms, None)


def _percentiles(measured: Sequence[int | None]) -> Percentiles:
    ordered = sorted(value for value in measured if value is not None)
    if not ordered:
        return Percentiles(None, None, None)
    return Percentiles(*(ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 95, 99)))
