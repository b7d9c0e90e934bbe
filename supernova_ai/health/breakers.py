"""What is not an attempt: the state of a deployment's breaker, and how its last probe went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peewee import Database

from supernova_ai.health.outcomes import DeploymentIdentity
from supernova_ai.store.tables import HealthRow

BreakerState = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class CircuitState:
    """A breaker since ``since_ms``; an open one lets nothing through until ``until_ms`` (Unix milliseconds).

    ``failures`` in a row led there, the last with the class ``error``.
    """

    place: DeploymentIdentity
    state: BreakerState
    since_ms: int
    until_ms: int | None = None
    failures: int = 0
    error: str | None = None


_CIRCUIT = ("state", "since_ms", "until_ms", "failures", "error")


def record(database: Database, state: CircuitState) -> None:
    """Keep the breaker's state; what was known of its probes stays."""
    circuit = {name: getattr(state, name) for name in _CIRCUIT}
    _keep(database, state.place, circuit, changes=circuit)


def states(database: Database) -> list[CircuitState]:
    """Return the state of every breaker that was recorded."""
    return [
        CircuitState(place_of(row), *(getattr(row, name) for name in _CIRCUIT))
        for row in HealthRow.select().execute(database)
    ]


def place_of(row: HealthRow) -> DeploymentIdentity:
    """Return which deployment a row is about."""
    return DeploymentIdentity(*(getattr(row, name) for name in DeploymentIdentity._fields))


def record_probe(database: Database, place: DeploymentIdentity, *, now_ms: int, result: str) -> None:
    """Keep how a probe went: ``result`` is "ok" or an error class. The breaker stays as it is."""
    said = {"probed_ms": now_ms, "probe": result}
    unbroken = {"state": "closed", "since_ms": now_ms, "failures": 0}
    _keep(database, place, unbroken | said, changes=said)


def _keep(
    database: Database, place: DeploymentIdentity, row: dict[str, object], *, changes: dict[str, object]
) -> None:
    insert = HealthRow.insert(deployment=place.id, **place._asdict(), **row)
    insert.on_conflict(conflict_target=[HealthRow.deployment], update=changes).execute(database)
