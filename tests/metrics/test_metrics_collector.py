"""The metrics of a small, known ledger, on both engines."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai import __version__, health
from supernova_ai.alerts.outbox import record_notice
from supernova_ai.health import CircuitState, DeploymentIdentity
from supernova_ai.keys import lifecycle
from supernova_ai.ledger import End, Ledger
from supernova_ai.ledger.unwritten_ends import PendingEnds
from supernova_ai.metrics.catalog import METRICS
from supernova_ai.metrics.exposition import Exposition
from supernova_ai.operations.jobs.leader import Leader
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import JobRow, StuckEndRow
from supernova_ai.types import Usage
from tests.clients import vault_of
from tests.holds import OpenLedger, Take, lose, release, settle
from tests.metrics.conftest import CONFIG, Value, parsed

GPT = {"provider": "openai", "model": "gpt", "tier": "standard"}
MINI = {"provider": "openai", "model": "gpt-mini", "tier": "economy"}
HERE = DeploymentIdentity("standard", "openai", "gpt", "primary")


@pytest.fixture
def ledger(open_ledger: OpenLedger) -> Ledger:
    return open_ledger(*CONFIG.budgets)


def test_attempts_are_counted_by_their_result(
    ledger: Ledger, take: Take, value: Value, exposition: Exposition
) -> None:
    """Answers, faults of the provider, other ends and cached answers are told apart; classes are counted."""
    settle(ledger, take(ledger, "1"), "0.5")
    release(ledger, take(ledger, "1"))
    lose(ledger, take(ledger, "1"), "Abandoned")
    settle(ledger, take(ledger, "0"), "0", basis="cached")
    results = {one: value("supernova_attempts_total", **GPT, result=one) for one in ("answered", "failed")}
    assert results == {"answered": 1, "failed": 1}
    assert value("supernova_attempts_total", **GPT, result="other") == 1
    assert value("supernova_attempts_total", **GPT, result="cached") == 1
    assert value("supernova_failures_total", **GPT, error="RateLimited") == 1
    assert value("supernova_failures_total", **GPT, error="Abandoned") == 1
    assert value("supernova_lost_attempts", **GPT) == 1


def test_a_model_that_was_not_asked_has_zeros(value: Value) -> None:
    """Prometheus can take the rate of the first attempt, because the counter was 0 before."""
    assert value("supernova_attempts_total", **MINI, result="failed") == 0
    assert value("supernova_cost_dollars_total", **MINI) == 0
    assert value("supernova_failures_total", **MINI, error="RateLimited") is None


def test_cost_and_tokens(ledger: Ledger, take: Take, value: Value) -> None:
    """Costs are US dollars. Cached and reasoning tokens are metrics of their own, since they are parts."""
    usage = Usage(prompt=100, completion=50, cached=40, cache_write=10, reasoning=20)
    settle(ledger, take(ledger, "1"), "0.25", usage=usage)
    lose(ledger, take(ledger, "2"))
    assert value("supernova_cost_dollars_total", **GPT) == 2.25
    names = ("input", "output", "cached_input", "cache_write", "reasoning")
    assert [value(f"supernova_{name}_tokens_total", **GPT) for name in names] == [100, 50, 40, 10, 20]


def test_a_counter_never_falls(ledger: Ledger, take: Take, value: Value) -> None:
    """A hold that is settled late below its amount leaves the counter where it was, until others add up."""
    lost = lose(ledger, take(ledger, "2"))
    assert value("supernova_cost_dollars_total", **GPT) == 2
    settle(ledger, lost, "0.5")
    assert value("supernova_cost_dollars_total", **GPT) == 2
    assert value("supernova_lost_attempts", **GPT) == 0
    settle(ledger, take(ledger, "2"), "1.75")
    assert value("supernova_cost_dollars_total", **GPT) == 2.25


def test_sums_are_of_all_time(ledger: Ledger, take: Take, value: Value, clock: SimpleNamespace) -> None:
    """Attempts of long ago, of yesterday and of now add up, also after midnight."""
    for days in (40, 1, 0.5, 0):
        clock.now += days * 86_400
        settle(ledger, take(ledger, "1"), "1", latency_ms=900, first_token_ms=70)
        value("supernova_cost_dollars_total", **GPT)
    assert value("supernova_cost_dollars_total", **GPT) == 4
    model = {"provider": "openai", "model": "gpt"}
    assert value("supernova_attempt_duration_seconds_bucket", **model, le="+Inf") == 4


def test_latencies_are_histograms(ledger: Ledger, take: Take, value: Value) -> None:
    """Each bound has the answers that took at most so long; each is √2 times the one before."""
    model = {"provider": "openai", "model": "gpt"}
    for latency_ms in (30, 900, 1_000, 1_030, 1_500, 400_000):
        settle(ledger, take(ledger, "0.01"), "0.01", latency_ms=latency_ms, first_token_ms=20)
    duration = "supernova_attempt_duration_seconds_bucket"
    found = [
        value(duration, **model, le=bound)
        for bound in ("0.064", "1.024", "1.44815", "2.048", "262.144", "+Inf")
    ]
    assert found == [1, 3, 4, 5, 5, 6]
    assert value("supernova_first_token_seconds_bucket", **model, le="0.064") == 6


def test_open_holds(ledger: Ledger, take: Take, value: Value) -> None:
    """Running attempts, and what they hold, by deployment."""
    assert value("supernova_held_dollars", **GPT) == 0
    take(ledger, "1.5")
    take(ledger, "0.25")
    assert (value("supernova_holds", **GPT), value("supernova_held_dollars", **GPT)) == (2, 1.75)


def test_budgets_show_no_user(ledger: Ledger, take: Take, value: Value, exposition: Exposition) -> None:
    """Spent, held and lost are apart. Where each user has the limit, it is the user who used the most."""
    settle(ledger, take(ledger, "1", user_id="ann"), "1")
    settle(ledger, take(ledger, "3", user_id="bob@example.com"), "2")
    take(ledger, "0.5", user_id="ann")
    lose(ledger, take(ledger, "0.25", user_id="bob@example.com"))
    limit = value("supernova_budget_limit_dollars", budget="daily", per="day")
    states = ("settled", "held", "lost")
    used = "supernova_budget_used_dollars"
    assert limit == 10
    assert [value(used, budget="daily", per="day", state=one) for one in states] == [3, 0.5, 0.25]
    assert [value(used, budget="each", per="week", state=one) for one in states] == [2, 0, 0.25]
    assert not re.search("ann|bob", exposition.render()[0])


def test_circuits(store: Store, value: Value, clock: SimpleNamespace) -> None:
    """Each configured deployment is in one state; the end of a cooldown shows without being written."""
    now_ms = int(clock.now * 1000)
    opened = CircuitState(HERE, "open", now_ms, now_ms + 30_000, 3, "ProviderTimeout")
    gone = CircuitState(HERE._replace(model="gone"), "open", now_ms, now_ms + 30_000)
    for circuit in (opened, gone):
        store.write(partial(health.record, state=circuit)).result()
    states = ("closed", "open", "half-open")

    def now(**labels: Any) -> list[float | None]:
        return [value("supernova_circuit_state", **labels, key_slot="primary", state=one) for one in states]

    assert now(**GPT) == [0, 1, 0]
    assert now(**MINI) == [1, 0, 0]
    assert now(**GPT | {"model": "gone"}) == [None, None, None]
    clock.now += 31
    assert now(**GPT) == [0, 0, 1]


def test_keys(store: Store, value: Value, exposition: Exposition) -> None:
    """Active keys of configured slots have the time since when; neither key nor fingerprint shows."""
    vault = vault_of(store)
    expires = datetime(2027, 1, 1, tzinfo=UTC)
    added = vault.add("openai", "primary", Secret("sk-canary-0123456789"))
    lifecycle.set_expiry(vault, "openai", "primary", expires)
    vault.add("anthropic", "primary", Secret("sk-ant-canary-0123456789"))
    slot = {"provider": "openai", "key_slot": "primary"}
    assert added.activated
    assert value("supernova_key_active_since_timestamp_seconds", **slot) == added.activated.timestamp()
    assert value("supernova_key_expires_timestamp_seconds", **slot) == expires.timestamp()
    text = exposition.render()[0]
    assert "canary" not in text
    assert added.fingerprint not in text
    assert "anthropic" not in text


def test_alerts_that_are_open(store: Store, value: Value) -> None:
    """Every kind has a number, also 0."""
    store.write(
        lambda database: record_notice(database, "key", "openai/primary", "v1", title="t", text="x", now_ms=1)
    ).result()
    found = {kind: value("supernova_alerts_open", kind=kind) for kind in ("budget", "key", "config", "job")}
    assert found == {"budget": 0, "key": 1, "config": 0, "job": 0}


def test_jobs(store: Store, value: Value, exposition: Exposition) -> None:
    """The last success of a job, its failures since, and how often it is due; whether a process leads."""
    failed = {"name": "backup", "fence": 1, "started_ms": 9_000, "done_ms": 5_000, "runs": 4, "failures": 2}
    store.write(lambda database: JobRow.insert(**failed).execute(database)).result()
    assert value("supernova_job_last_success_timestamp_seconds", name="backup") == 5
    assert value("supernova_job_failures", name="backup") == 2
    assert value("supernova_job_interval_seconds", name="backup") == 7 * 86_400
    assert value("supernova_job_last_success_timestamp_seconds", name="verify") is None
    assert value("supernova_job_interval_seconds", name="archive") is None  # it is switched off
    assert value("supernova_jobs_leader") == 0
    assert Leader(store).claim()
    assert value("supernova_jobs_leader") == 1


def test_ends_that_are_not_written(
    store: Store, ledger: Ledger, take: Take, value: Value, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends that wait in a file of this machine, and ends that the database refused; counting takes none."""
    assert (value("supernova_pending_ends"), value("supernova_set_aside_ends")) == (0, 0)
    pending: PendingEnds = ledger._pending_ends
    holds = [take(ledger, "1"), take(ledger, "1")]
    pending.add([(hold, End("settled", 1, "exact", Usage(), 1)) for hold in holds])
    row = {"attempt": "a", "at_ms": 1, "ending": "[]", "reason": "x"}
    store.write(lambda database: StuckEndRow.insert(**row).execute(database)).result()
    for _ in range(2):
        assert (value("supernova_pending_ends"), value("supernova_set_aside_ends")) == (2, 1)
    endings, files = pending.take()
    assert value("supernova_pending_ends") == len(endings) == 2  # taken, and not written yet
    pending.discard(files)
    assert value("supernova_pending_ends") == 0


def test_what_runs(store: Store, value: Value) -> None:
    """The version of the package, and the kind of the database."""
    kind = "SQLite" if store.file else "PostgreSQL"
    assert value("supernova_build_info", version=__version__, database=kind) == 1


def test_a_model_of_a_bill_is_no_label(ledger: Ledger, take: Take, value: Value) -> None:
    """A provider's bill may name anything: what is booked from it has one label."""
    settle(ledger, take(ledger, "1", tier="billed", task="billed", model="of a stranger"), "1")
    assert value("supernova_cost_dollars_total", provider="openai", model="billed", tier="billed") == 1


def test_a_scrape_only_reads(exposition: Exposition, caplog: pytest.LogCaptureFixture) -> None:
    """Every statement is a read, and none reads the attempts but by an index."""
    caplog.set_level(logging.DEBUG, "peewee")
    exposition.render()
    texts = [record.getMessage()[2:] for record in caplog.records]  # each is a tuple's repr
    sent = [text for text in texts if "pragma" not in text.lower()]
    assert all(text.startswith("SELECT") for text in sent)
    of_attempts = [text for text in sent if re.search(r"\battempt\b", text)]
    assert of_attempts
    assert all(re.search(r"""WHERE .*"?state"? (=|IN) """, text) for text in of_attempts)


def test_every_metric_is_exposed(ledger: Ledger, take: Take, exposition: Exposition) -> None:
    """Each has its help and type, also without a value; its labels are those of the catalog."""
    settle(ledger, take(ledger, "1"), "1", latency_ms=1, first_token_ms=1, error="RateLimited")
    settle(ledger, take(ledger, "1"), "1", latency_ms=1, first_token_ms=1)
    text = exposition.render()[0]
    labels = {name: {label for label, _ in given} for name, given in parsed(text)}
    for metric in METRICS:
        assert f"# HELP {metric.name} " in text
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        own = f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name
        assert labels.get(own, set(metric.labels)) - {"le"} == set(metric.labels)


def test_openmetrics_on_request(exposition: Exposition) -> None:
    """Prometheus asks for OpenMetrics, and gets it."""
    text, media_type = exposition.render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


def test_litellm_is_not_imported() -> None:
    """The metrics and the routes load without LiteLLM, which takes seconds."""
    imports = "import sys, supernova_ai.metrics.exposition, supernova_ai.metrics.routes"
    code = f"{imports}; sys.exit('litellm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
