"""Uptime is the share of a provider's attempts that it did not fail."""

from __future__ import annotations

from typing import Any

from supernova_ai.health import Uptime, uptime
from supernova_ai.store import Store
from tests.health.conftest import NOW, Put

HOUR_MS = 3_600_000
TODAY = NOW // (24 * HOUR_MS) * 24 * HOUR_MS


def read(store: Store, **given: Any) -> list[Uptime]:
    return store.read(lambda database: uptime(database, **{"since_ms": NOW - 24 * HOUR_MS} | given))


def test_only_provider_faults_lower_it(store: Store, put: Put) -> None:
    """Of ten attempts one counts as failed; the errors of callers and of our processes do not."""
    put()
    put(error="ProviderUnavailable", state="released")
    for error in ("RequestRejected", "ContextTooLong", "ContentRefused", "Cancelled"):
        put(error=error, state="released")
    put(error="Abandoned", times=3)
    put(error="ProcessDied", state="lost")
    assert read(store) == [Uptime("openai", TODAY, 10, 1)]
    assert read(store)[0].share == 0.9


def test_answers_of_the_cache_do_not_count(store: Store, put: Put) -> None:
    """Cached answers of a provider do not raise its uptime."""
    put(error="ProviderUnavailable", state="released")
    put(basis="cached", times=9)
    put(basis="cached", provider="ollama")
    assert read(store) == [Uptime("openai", TODAY, 1, 1)]


def test_days_are_whole_and_of_utc(store: Store, put: Put) -> None:
    """The first day counts from midnight UTC, whatever the time of ``since_ms``."""
    put(0)  # at 12:30
    put(12 * 3600 + 1800, model="gpt-mini")  # at midnight
    put(12 * 3600 + 1801)  # yesterday
    put(36 * 3600 + 1801)  # the day before
    yesterday = Uptime("openai", TODAY - 24 * HOUR_MS, 1, 0)
    assert read(store) == [yesterday, Uptime("openai", TODAY, 2, 0)]
    assert read(store, since_ms=TODAY) == [Uptime("openai", TODAY, 2, 0)]
    assert read(store, since_ms=NOW) == [Uptime("openai", TODAY, 2, 0)]


def test_hours(store: Store, put: Put) -> None:
    """Each hour with attempts has its own row, and the hour that contains ``since_ms`` is complete."""
    put(1800)  # at 12:00
    put(1801, error="RateLimited", state="released")  # in the hour before
    put(1801)
    noon = NOW - HOUR_MS // 2
    assert read(store, per="hour") == [
        Uptime("openai", noon - HOUR_MS, 2, 1),
        Uptime("openai", noon, 1, 0),
    ]
    assert read(store, per="hour", since_ms=NOW) == [Uptime("openai", noon, 1, 0)]


def test_each_provider_has_its_own(store: Store, put: Put) -> None:
    """Providers are counted separately and sorted by name."""
    put(provider="ollama", error="ProviderTimeout", state="lost")
    put(provider="anthropic")
    assert [(row.provider, row.share) for row in read(store)] == [("anthropic", 1), ("ollama", 0)]
