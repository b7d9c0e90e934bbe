"""Health: how each deployment does, derived from the attempts, and what its breaker and probes say."""

from supernova_ai.health.breakers import BreakerState, State, record, record_probe, states
from supernova_ai.health.outcomes import Place, is_blamed
from supernova_ai.health.patterns import Pattern, fingerprint, patterns
from supernova_ai.health.standings import Health, Percentiles, Sample, deployments, recent
from supernova_ai.health.uptime import Per, Uptime, uptime

__all__ = [
    "BreakerState",
    "Health",
    "Pattern",
    "Per",
    "Percentiles",
    "Place",
    "Sample",
    "State",
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
