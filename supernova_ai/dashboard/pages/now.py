"""The page Now: open alerts, the traffic, the state of each provider, what is held, the latest attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from supernova_ai import health
from supernova_ai.alerts.outbox import AlertEvent, list_alerts
from supernova_ai.config import read_environ
from supernova_ai.dashboard.charts import Chart, Series
from supernova_ai.dashboard.page import Page, Part, Reading
from supernova_ai.health import Uptime
from supernova_ai.keys import records
from supernova_ai.operations import key_checks
from supernova_ai.operations.provider_states import ProviderState, provider_states
from supernova_ai.reports import traffic
from supernova_ai.reports.breakdown import lines
from supernova_ai.reports.periods import latest_periods
from supernova_ai.reports.status import latest_attempts

FILTERS = ("provider", "model", "user", "state")

_HOUR_MS = 3_600_000
_HOURS = 24
_ROWS = 25
_ALERTS = 3
_HOLDS = 8
_BACK_MS = 7 * 24 * _HOUR_MS
"""How far back attempts are searched for, where only some are wanted."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of a provider's uptime; ``share`` is None without attempts."""

    start_ms: int
    share: float | None
    attempts: int


@dataclass(frozen=True, slots=True)
class ProviderCard:
    """A provider with its deployments, and its uptime over the last day, hour by hour."""

    provider: ProviderState
    hours: list[Hour]
    uptime: float | None
    attempts: int


def _alerts(reading: Reading) -> Mapping[str, Any]:
    rows = list_alerts(reading.database)[::-1]
    budgets = reading.config.all_budgets
    return {
        "rows": [(row, AlertEvent.of(row, budgets).message()) for row in rows[:_ALERTS]],
        "count": len(rows),
    }


def _traffic(reading: Reading) -> Mapping[str, Any]:
    minutes = traffic.minutes(reading.database, now_ms=reading.now_ms)
    attempts, failed = sum(one.attempts for one in minutes), sum(one.failed for one in minutes)
    (today,) = latest_periods("day", 1, reading.now)
    (whole,) = lines(reading.database, today)
    chart = Chart(
        "Requests in each of the last 60 minutes, and attempts that a provider failed",
        [one.start_ms / 1000 for one in minutes],
        [
            Series("Requests", [one.requests for one in minutes], "c1", "bars"),
            Series("Failed attempts", [one.failed for one in minutes], "bad", "bars"),
        ],
        "count",
    )
    return {
        "chart": chart,
        "requests": sum(one.requests for one in minutes),
        "per_minute": minutes[-2].requests,
        "answered": 1 - failed / attempts if attempts else None,
        "failed": failed,
        "today": whole,
        "held": traffic.held(reading.database, now_ms=reading.now_ms, most=0),
    }


def _providers(reading: Reading) -> Mapping[str, Any]:
    since_ms = reading.now_ms - (_HOURS - 1) * _HOUR_MS
    uptimes = health.uptime(reading.database, since_ms=since_ms, per="hour")
    keys = records.all_versions(reading.database)
    filled = key_checks.filled_slots(reading.config, keys, read_environ(), reading.now_ms)
    found = provider_states(reading.database, reading.config, filled, now_ms=reading.now_ms)
    return {
        "cards": [
            _card(provider, [row for row in uptimes if row.provider == provider.name], since_ms)
            for provider in found
        ],
        "enabled": {name: provider.enabled for name, provider in reading.config.providers.items()},
    }


def _card(provider: ProviderState, uptimes: list[Uptime], since_ms: int) -> ProviderCard:
    attempts = sum(row.attempts for row in uptimes)
    return ProviderCard(
        provider,
        list(_hours(uptimes, since_ms)),
        1 - sum(row.failed for row in uptimes) / attempts if attempts else None,
        attempts,
    )


def _hours(uptimes: list[Uptime], since_ms: int) -> Iterator[Hour]:
    by_hour = {row.start_ms: row for row in uptimes}
    first = since_ms // _HOUR_MS * _HOUR_MS
    for start_ms in range(first, first + _HOURS * _HOUR_MS, _HOUR_MS):
        row = by_hour.get(start_ms)
        yield Hour(start_ms, row.share if row else None, row.attempts if row else 0)


def _held(reading: Reading) -> Mapping[str, Any]:
    return {"held": traffic.held(reading.database, now_ms=reading.now_ms, most=_HOLDS)}


def _feed(reading: Reading) -> Mapping[str, Any]:
    chosen = reading.chosen
    rows = latest_attempts(
        reading.database,
        limit=_ROWS,
        since_ms=reading.now_ms - _BACK_MS if chosen else 0,
        provider=chosen.get("provider"),
        model=chosen.get("model"),
        user=chosen.get("user"),
        state=chosen.get("state"),
    )
    return {"rows": rows[::-1], "filtered": bool(chosen)}


NOW = Page(
    "now",
    "Now",
    (
        Part("alerts", "Alerts", _alerts, controls=frozenset({"acknowledge"})),
        Part("traffic", "Traffic", _traffic),
        Part("providers", "Providers", _providers, controls=frozenset({"provider"})),
        Part("held", "Held now", _held),
        Part("feed", "Latest attempts", _feed, takes=FILTERS),
    ),
    every_s=1.5,
)
