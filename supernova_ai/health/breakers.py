"""What is not an attempt: the state of a deployment's breaker, and how its last probe went."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Literal

from peewee import Database

from supernova_ai.store.tables import Health

BreakerState = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class State:
    """A breaker since ``since_ms``; an open one lets nothing through until ``until_ms`` (Unix milliseconds).

    ``failures`` in a row led there, the last with the class ``error``.
    """

    deployment: str
    provider: str
    model: str
    state: BreakerState
    since_ms: int
    until_ms: int | None = None
    failures: int = 0
    error: str | None = None


def record(database: Database, state: State) -> None:
    """Keep the breaker's state; what was known of its probes stays."""
    _keep(database, asdict(state), changes=asdict(state))


def states(database: Database) -> list[State]:
    """Return the state of every breaker that was recorded."""
    columns = [getattr(Health, field.name) for field in fields(State)]
    return [State(*row) for row in Health.select(*columns).tuples().execute(database)]


def record_probe(
    database: Database, deployment: str, *, provider: str, model: str, now_ms: int, result: str
) -> None:
    """Keep how a probe went: ``result`` is "ok" or an error class. The breaker stays as it is."""
    known = {"deployment": deployment, "provider": provider, "model": model}
    said = {"probed_ms": now_ms, "probe": result}
    unbroken = {"state": "closed", "since_ms": now_ms, "failures": 0}
    _keep(database, known | unbroken | said, changes=known | said)


def _keep(database: Database, row: dict[str, object], *, changes: dict[str, object]) -> None:
    insert = Health.insert(**row)
    insert.on_conflict(conflict_target=[Health.deployment], update=changes).execute(database)
