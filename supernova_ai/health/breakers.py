"""The stored state of each deployment's circuit breaker, and the result of its last probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peewee import Database

from supernova_ai.health.outcomes import DeploymentIdentity
from supernova_ai.store.tables import HealthRow

BreakerState = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class CircuitState:
    """The state of a circuit breaker since ``since_ms``; it is open until ``until_ms`` (Unix milliseconds).

    ``failures`` is the number of failures in a row before it; ``error`` is the class of the last one.
    """

    identity: DeploymentIdentity
    state: BreakerState
    since_ms: int
    until_ms: int | None = None
    failures: int = 0
    error: str | None = None

    def at(self, now_ms: int) -> BreakerState:
        """Return the state at this time: the end of a cooldown is not stored."""
        if self.state == "closed":
            return self.state
        return "open" if (self.until_ms or self.since_ms) > now_ms else "half-open"


_CIRCUIT = ("state", "since_ms", "until_ms", "failures", "error")


def record(database: Database, state: CircuitState) -> None:
    """Store the breaker's state and keep the result of the last probe."""
    circuit = {name: getattr(state, name) for name in _CIRCUIT}
    _upsert(database, state.identity, circuit, changes=circuit)


def states(database: Database) -> list[CircuitState]:
    """Return the stored state of every breaker."""
    return [
        CircuitState(identity_of(row), *(getattr(row, name) for name in _CIRCUIT))
        for row in HealthRow.select().execute(database)
    ]


def identity_of(row: HealthRow) -> DeploymentIdentity:
    """Return the identity of a row's deployment."""
    return DeploymentIdentity(*(getattr(row, name) for name in DeploymentIdentity._fields))


def record_probe(database: Database, identity: DeploymentIdentity, *, now_ms: int, result: str) -> None:
    """Store the result of a probe, "ok" or an error class, and keep the breaker's state."""
    probe = {"probed_ms": now_ms, "probe": result}
    closed = {"state": "closed", "since_ms": now_ms, "failures": 0}
    _upsert(database, identity, closed | probe, changes=probe)


def _upsert(
    database: Database, identity: DeploymentIdentity, row: dict[str, object], *, changes: dict[str, object]
) -> None:
    insert = HealthRow.insert(deployment=identity.id, **identity._asdict(), **row)
    insert.on_conflict(conflict_target=[HealthRow.deployment], update=changes).execute(database)
