"""Every metric: its name, its type, its meaning and its labels.

Names and units follow Prometheus: seconds, US dollars, ``_total`` for what only grows. Every label has few
values, which come from the configuration or from this package; none is a user, or text of a caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family

from supernova_ai.ledger.rollups import bucket_ms

_MODEL = ("provider", "model", "tier")

BUCKETS = range(12, 37)
"""The buckets of the rollup at which the histograms have a bound: from 64 ms to 262 s."""


class Metric(NamedTuple):
    """One metric. ``name`` is the name that Prometheus shows; a histogram's series end in ``_bucket``."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """One value of a metric; of a histogram, the count in each bucket of the rollup by its number."""

    metric: Metric
    labels: Sequence[str]
    value: float | dict[int, int]


ATTEMPTS = Metric(
    "supernova_attempts_total",
    "counter",
    "Attempts that ended. result: answered; failed, which counts against the provider; other, such as a "
    "refused request or a cancelled call; cached, without a call.",
    (*_MODEL, "result"),
)
FAILURES = Metric(
    "supernova_failures_total",
    "counter",
    "Attempts that ended with an error, by its class.",
    (*_MODEL, "error"),
)
COST = Metric(
    "supernova_cost_dollars_total",
    "counter",
    "Cost of attempts that ended. A lost attempt counts its hold.",
    _MODEL,
)
INPUT_TOKENS = Metric(
    "supernova_input_tokens_total", "counter", "Tokens of prompts, cached ones included.", _MODEL
)
OUTPUT_TOKENS = Metric(
    "supernova_output_tokens_total", "counter", "Tokens of answers, reasoning included.", _MODEL
)
CACHED_TOKENS = Metric(
    "supernova_cached_input_tokens_total",
    "counter",
    "Input tokens that the provider read from its cache.",
    _MODEL,
)
CACHE_WRITE_TOKENS = Metric(
    "supernova_cache_write_tokens_total",
    "counter",
    "Input tokens that the provider wrote to its cache.",
    _MODEL,
)
REASONING_TOKENS = Metric(
    "supernova_reasoning_tokens_total", "counter", "Output tokens of reasoning.", _MODEL
)
DURATION = Metric(
    "supernova_attempt_duration_seconds",
    "histogram",
    "Time from sending to the whole answer.",
    ("provider", "model"),
)
FIRST_TOKEN = Metric(
    "supernova_first_token_seconds",
    "histogram",
    "Time from sending to the first token of a stream.",
    ("provider", "model"),
)
LOST = Metric(
    "supernova_lost_attempts",
    "gauge",
    "Attempts whose cost is unknown; fewer once they are reconciled.",
    _MODEL,
)
HOLDS = Metric("supernova_holds", "gauge", "Attempts that hold money now.", _MODEL)
HELD = Metric("supernova_held_dollars", "gauge", "Money that is held now.", _MODEL)
BUDGET_LIMIT = Metric("supernova_budget_limit_dollars", "gauge", "Limit of a budget.", ("budget", "per"))
BUDGET_USED = Metric(
    "supernova_budget_used_dollars",
    "gauge",
    "What counts against a budget in its current period. state: settled, held, lost. Where each user, team "
    "or tag has the limit, this is the one that has used the most.",
    ("budget", "per", "state"),
)
CIRCUIT = Metric(
    "supernova_circuit_state",
    "gauge",
    "1 for the state that a deployment's circuit breaker is in, else 0. state: closed, open, half-open.",
    (*_MODEL, "key_slot", "state"),
)
KEY_ACTIVE = Metric(
    "supernova_key_active_since_timestamp_seconds",
    "gauge",
    "When the key in a slot became active.",
    ("provider", "key_slot"),
)
KEY_EXPIRES = Metric(
    "supernova_key_expires_timestamp_seconds",
    "gauge",
    "When the key in a slot expires, if it does.",
    ("provider", "key_slot"),
)
ALERTS = Metric("supernova_alerts_open", "gauge", "Alerts that are not acknowledged.", ("kind",))
LEADER = Metric("supernova_jobs_leader", "gauge", "1 if a process runs the scheduled jobs, else 0.")
JOB_SUCCESS = Metric(
    "supernova_job_last_success_timestamp_seconds",
    "gauge",
    "When the last run that succeeded had begun.",
    ("name",),
)
JOB_FAILURES = Metric("supernova_job_failures", "gauge", "Runs in a row that did not succeed.", ("name",))
JOB_INTERVAL = Metric(
    "supernova_job_interval_seconds", "gauge", "Time between the runs of a job that is scheduled.", ("name",)
)
PENDING_ENDS = Metric(
    "supernova_pending_ends",
    "gauge",
    "Ends of attempts that wait on this machine until the database can be written.",
)
SET_ASIDE_ENDS = Metric("supernova_set_aside_ends", "gauge", "Ends of attempts that the database refused.")
BUILD = Metric("supernova_build_info", "gauge", "1; the labels say what runs.", ("version", "database"))

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in this order."""


def families(samples: Iterable[Sample]) -> list[Family]:
    """Return the samples as prometheus-client wants them: every metric, also one without a sample."""
    found: dict[Metric, Any] = {
        metric: _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels) for metric in METRICS
    }
    for metric, labels, value in samples:
        if isinstance(value, dict):
            found[metric].add_metric(labels, _cumulative(value), sum_value=None)  # the rollup has no sum
        else:
            found[metric].add_metric(labels, value)
    return list(found.values())


_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


def _cumulative(counts: dict[int, int]) -> list[tuple[str, float]]:
    """Return how many took at most so many seconds, for each bound."""
    bounds = [
        (f"{bucket_ms(most) / 1000:g}", sum(count for number, count in counts.items() if number <= most))
        for most in BUCKETS
    ]
    return [*bounds, ("+Inf", sum(counts.values()))]
