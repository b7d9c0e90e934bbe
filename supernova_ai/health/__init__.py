"""Health: how each deployment does, derived from the attempts, and what its breaker and probes say."""

from supernova_ai.health.breakers import BreakerState, CircuitState, record, record_probe, states
from supernova_ai.health.outcomes import DeploymentIdentity, is_blamed
from supernova_ai.health.patterns import PatternSummary, fingerprint, patterns
from supernova_ai.health.standings import DeploymentHealth, Percentiles, Sample, deployments, recent
from supernova_ai.health.uptime import Per, Uptime, uptime

__all__ = [
    "BreakerState",
    "CircuitState",
    "DeploymentHealth",
    "DeploymentIdentity",
    "PatternSummary",
    "Per",
    "Percentiles",
    "Sample",
    "Uptime",
    "deployments",
    "fingerprint",
    "is_blamed",
    "patterns",
    "recent",
    "record",
    "record_probe",
    "states",
    "uptime",
]
