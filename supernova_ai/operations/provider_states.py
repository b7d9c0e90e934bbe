"""Which providers can be asked now: each with its deployments, by circuit breaker and key."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from peewee import Database

from supernova_ai import health
from supernova_ai.config import Config
from supernova_ai.health import DeploymentHealth, DeploymentIdentity
from supernova_ai.operations import key_checks


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider, and the deployments that it had in the last hour, each with its state.

    A deployment is healthy, cooling down, testing, or has no key. The provider is what they all are, else
    partly healthy or cooling down; without any it is not asked yet.
    """

    name: str
    state: str
    deployments: list[tuple[DeploymentHealth, str]]


def provider_states(
    database: Database, config: Config, filled: Collection[tuple[str, str]], *, now_ms: int
) -> list[ProviderState]:
    """Return the active providers in the order they are asked, then others that were asked.

    Args:
        filled: the provider and slot of each key that a call can use.
    """
    found = health.deployments(database, now_ms=now_ms)
    without_key = key_checks.providers_without_key(config, filled)
    names = dict.fromkeys([*config.active_providers, *(row.provider for row in found)])
    states = [
        (row, row.shown_state(has_key=row.slot is None or (row.provider, row.slot) in filled))
        for row in found
    ]
    return [
        _provider(
            name,
            [(row, state) for row, state in states if row.provider == name],
            has_key=name not in without_key,
        )
        for name in names
    ]


def configured_deployments(config: Config) -> Iterator[DeploymentIdentity]:
    """Yield every deployment that calls may use."""
    for name in config.asked_providers:
        provider = config.providers[name]
        for tier, model in provider.models.items():
            for slot in provider.keys or (None,):
                yield DeploymentIdentity(tier, name, model, slot, provider.api_base)


def _provider(name: str, deployments: list[tuple[DeploymentHealth, str]], *, has_key: bool) -> ProviderState:
    states = {state for _, state in deployments}
    if not has_key:
        state = "no key"
    elif not states:
        state = "not asked yet"
    elif len(states) == 1:
        (state,) = states
    else:
        state = "partly healthy" if "healthy" in states else "cooling down"
    return ProviderState(
        name, state, sorted(deployments, key=lambda found: (found[0].tier, found[0].deployment))
    )
