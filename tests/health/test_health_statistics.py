"""Statistics of a deployment are computed exactly from its attempts."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

from supernova_ai.health import (
    DeploymentHealth,
    DeploymentIdentity,
    Percentiles,
    Sample,
    deployments,
    recent,
)
from supernova_ai.store import Store
from tests.health.conftest import NOW, Put
from tests.holds import entry, insert_hold

PRIMARY, BACKUP = (DeploymentIdentity("standard", "openai", "gpt", slot).id for slot in ("primary", "backup"))


def read(store: Store, **given: Any) -> dict[str, DeploymentHealth]:
    found = store.read(lambda database: deployments(database, now_ms=NOW, **given))
    return {row.deployment: row for row in found}


def test_an_empty_ledger_has_no_deployments(store: Store) -> None:
    """Without attempts and breakers the list is empty."""
    assert read(store) == {}


def test_attempts_are_counted_by_outcome(store: Store, put: Put) -> None:
    """Answers and errors are counted by class; errors of the caller do not lower the success rate."""
    put(times=5)
    put(error="RateLimited", state="released", times=2)
    put(error="ContextTooLong", state="released")
    put(error="Abandoned", times=2)
    put(error="ProcessDied", state="lost")
    (found,) = read(store).values()
    assert (found.attempts, found.answered, found.failed) == (11, 5, 2)
    assert found.errors == {"Abandoned": 2, "ContextTooLong": 1, "ProcessDied": 1, "RateLimited": 2}
    assert found.success_rate == 1 - 2 / 11


def test_each_model_tier_and_key_slot_is_separate(store: Store, put: Put) -> None:
    """Failures with one key slot do not count for another."""
    put()
    put(key_slot="backup", error="AuthenticationFailed", state="released")
    put(provider="ollama", model="llama", key_slot=None)
    put(tier="premium", model="gpt-large")
    found = read(store)
    assert {name: (row.slot, row.model, row.success_rate) for name, row in found.items()} == {
        PRIMARY: ("primary", "gpt", 1),
        BACKUP: ("backup", "gpt", 0),
        "standard/ollama/llama/no-key": (None, "llama", 1),
        "premium/openai/gpt-large/primary": ("primary", "gpt-large", 1),
    }


def test_percentiles_are_of_the_nearest_rank(store: Store, put: Put, seed: int) -> None:
    """Of 1 to 100 ms in any order they are 50, 95 and 99; failed attempts do not count."""
    times = list(range(1, 101))
    random.Random(seed).shuffle(times)
    for took in times:
        put(latency_ms=took, first_token_ms=took * 2)
    put(error="ProviderTimeout", state="lost", latency_ms=60_000, times=50)
    (found,) = read(store).values()
    assert found.latency == Percentiles(50, 95, 99)
    assert found.first_token == Percentiles(100, 190, 198)
    assert abs(statistics.quantiles(times, n=100)[94] - 95) <= 1  # another definition, as a cross-check


def test_one_answer_is_every_percentile_and_none_is_none(store: Store, put: Put) -> None:
    """One answer is every percentile; without a first token there is no percentile of it."""
    put(latency_ms=70)
    (found,) = read(store).values()
    assert (found.latency, found.first_token) == (Percentiles(70, 70, 70), Percentiles(None, None, None))


def test_only_what_was_sent_in_the_window_counts(store: Store, put: Put) -> None:
    """The window ends now and includes its first moment."""
    put(59)
    put(60)
    put(61)
    put(61, key_slot="backup")
    assert {name: row.attempts for name, row in read(store, window_s=60).items()} == {PRIMARY: 2}
    assert {name: row.attempts for name, row in read(store, window_s=61).items()} == {PRIMARY: 3, BACKUP: 1}


def test_open_holds_and_answers_of_the_cache_do_not_count(store: Store, put: Put) -> None:
    """Open holds and answers from the cache are not counted."""
    put(basis="cached", latency_ms=1)
    wanted = entry("open", 0, NOW - 1000)
    store.write(lambda database: insert_hold(database, wanted, now_ms=NOW)).result()
    assert read(store) == {}
    assert store.read(lambda database: recent(database, since_ms=0, limit=9)) == []


def test_the_last_success_and_failure_may_be_older(store: Store, put: Put, monkeypatch: Any) -> None:
    """Both are searched for in a limited number of attempts before the window."""
    put(9_000, error="AuthenticationFailed", state="released")
    put(8_000)
    put(7_000, error="RateLimited", state="released")
    put(6_000, error="Cancelled")  # does not count
    put(10, error="ContextTooLong", state="released")
    (found,) = read(store).values()
    assert (found.attempts, found.last_success_ms) == (1, NOW - 7_999_000)
    assert (found.last_failure_ms, found.last_error) == (NOW - 6_999_000, "RateLimited")
    monkeypatch.setattr("supernova_ai.health.statistics.MAX_EARLIER", 2)
    (found,) = read(store).values()
    assert (found.last_success_ms, found.last_error) == (None, "RateLimited")


def test_recent_attempts_come_oldest_first(store: Store, put: Put) -> None:
    """The latest attempts are returned, without those that say nothing about the provider."""
    put(50, latency_ms=1)
    put(40, latency_ms=2, first_token_ms=1)
    put(30, error="ContentRefused", state="released")
    put(20, error="ProviderUnavailable", state="released", latency_ms=None, key_slot=None)
    put(10, latency_ms=3, key_slot="backup")
    latest = [
        Sample(PRIMARY, 2, 1, ok=True),
        Sample("standard/openai/gpt/no-key", None, None, ok=False),
        Sample(BACKUP, 3, None, ok=True),
    ]
    assert store.read(lambda database: recent(database, since_ms=0, limit=3)) == latest
    since = NOW - 20_000
    assert store.read(lambda database: recent(database, since_ms=since, limit=9)) == latest[1:]


def test_the_window_is_found_by_an_index(path: Path) -> None:
    """SQLite's query plan uses the index, so no query scans a ledger of a million attempts."""
    asked: list[str] = []

    def plans(database: Any) -> list[str]:
        database.connection().set_trace_callback(asked.append)
        deployments(database, now_ms=NOW)
        recent(database, since_ms=NOW, limit=5)
        database.connection().set_trace_callback(None)
        return [
            str(database.execute_sql(f"EXPLAIN QUERY PLAN {statement}").fetchall())
            for statement in asked
            if "FROM attempt" in statement
        ]

    with Store(path) as store:
        found = store.read(plans)
    assert len(found) == 3
    assert all("USING INDEX attempt_started_ms" in plan for plan in found)
