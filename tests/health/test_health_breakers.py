"""States of circuit breakers and results of probes are stored, one row per deployment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supernova_ai.health import (
    CircuitState,
    DeploymentHealth,
    DeploymentIdentity,
    deployments,
    record,
    record_probe,
)
from supernova_ai.store import Store
from tests.health.conftest import NOW, Put

HERE = DeploymentIdentity("standard", "openai", "gpt", "primary")
OPENED = CircuitState(HERE, "open", NOW, NOW + 30_000, 3, "ProviderTimeout")


def keep(store: Store, state: CircuitState) -> None:
    store.write(lambda database: record(database, state)).result()


def probe(store: Store, result: str, now_ms: int = NOW) -> None:
    store.write(lambda database: record_probe(database, HERE, now_ms=now_ms, result=result)).result()


def only(store: Store) -> DeploymentHealth:
    (found,) = store.read(lambda database: deployments(database, now_ms=NOW))
    return found


def test_the_latest_state_is_stored(store: Store) -> None:
    """A breaker that closes has no end of cooldown any more."""
    keep(store, OPENED)
    assert (only(store).state, only(store).since_ms, only(store).until_ms) == ("open", NOW, NOW + 30_000)
    keep(store, CircuitState(HERE, "closed", NOW + 5))
    assert (only(store).state, only(store).since_ms, only(store).until_ms) == ("closed", NOW + 5, None)


def test_probes_and_breakers_are_independent(store: Store) -> None:
    """Storing a probe does not change the breaker's state, nor the state the probe."""
    probe(store, "ok")
    assert (only(store).state, only(store).probe, only(store).probed_ms) == ("closed", "ok", NOW)
    keep(store, OPENED)
    assert (only(store).state, only(store).probe, only(store).probed_ms) == ("open", "ok", NOW)
    probe(store, "AuthenticationFailed", NOW + 7)
    found = only(store)
    assert (found.state, found.since_ms, found.until_ms) == ("open", NOW, NOW + 30_000)
    assert (found.probe, found.probed_ms) == ("AuthenticationFailed", NOW + 7)


def test_a_deployment_without_attempts_is_listed(store: Store) -> None:
    """A breaker or a probe is enough to list a deployment with its whole identity."""
    keep(store, OPENED)
    keep(
        store,
        replace(
            OPENED, identity=DeploymentIdentity("economy", "ollama", "llama", None, "http://elsewhere:1")
        ),
    )
    found = store.read(lambda database: deployments(database, now_ms=NOW))
    assert [(row.tier, row.provider, row.model, row.slot, row.address) for row in found] == [
        ("economy", "ollama", "llama", None, "http://elsewhere:1"),
        ("standard", "openai", "gpt", "primary", None),
    ]
    assert {(row.attempts, row.success_rate, row.last_success_ms) for row in found} == {(0, None, None)}


@pytest.mark.parametrize("other", [{"model": "gpt-next"}, {"address": "https://elsewhere.example"}])
def test_a_breaker_belongs_to_the_deployment(other: dict[str, str], store: Store, put: Put) -> None:
    """Attempts of another model, or at another address, do not change this deployment."""
    keep(store, OPENED)
    put(**other)
    found = store.read(lambda database: deployments(database, now_ms=NOW))
    assert {row.deployment: (row.state, row.attempts) for row in found} == {
        HERE.id: ("open", 0),
        HERE._replace(**other).id: ("closed", 1),
    }


def test_a_circuit_is_not_open_for_ever(store: Store, put: Put) -> None:
    """After its cooldown a circuit is half-open, and after a later answer closed."""
    keep(store, replace(OPENED, since_ms=NOW - 90_000, until_ms=NOW - 60_000))
    put(70)  # it was running when the circuit opened
    assert (only(store).state, only(store).since_ms, only(store).until_ms) == (
        "half-open",
        NOW - 60_000,
        None,
    )
    put(50)
    assert (only(store).state, only(store).since_ms, only(store).until_ms) == ("closed", None, None)
