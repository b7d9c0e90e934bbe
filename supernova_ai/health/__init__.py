"""Health of each deployment: statistics of its attempts, its circuit breaker and its last probe."""

from supernova_ai.health.breakers import BreakerState, CircuitState, record, record_probe, states
from supernova_ai.health.notes import NOTES, Note
from supernova_ai.health.outcomes import DeploymentIdentity, is_provider_fault
from supernova_ai.health.patterns import ErrorClass, PatternSummary, error_classes, fingerprint, patterns
from supernova_ai.health.statistics import DeploymentHealth, Percentiles, Sample, deployments, recent
from supernova_ai.health.uptime import Per, Uptime, uptime

__all__ = [
    "NOTES",
    "BreakerState",
    "CircuitState",
    "DeploymentHealth",
    "DeploymentIdentity",
    "ErrorClass",
    "Note",
    "PatternSummary",
    "Per",
    "Percentiles",
    "Sample",
    "Uptime",
    "deployments",
    "error_classes",
    "fingerprint",
    "is_provider_fault",
    "patterns",
    "recent",
    "record",
    "record_probe",
    "states",
    "uptime",
]
