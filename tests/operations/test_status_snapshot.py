"""The status over an empty and a full ledger, on both engines, through a store that is only read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from peewee import Database

from supernova_ai import health
from supernova_ai.alerts.outbox import record_notice
from supernova_ai.config import Budget, Config
from supernova_ai.health import CircuitState, DeploymentIdentity
from supernova_ai.ledger import End, Hold, Ledger
from supernova_ai.money import to_nano
from supernova_ai.operations.jobs.leader import Leader
from supernova_ai.operations.status import Status, read_status
from supernova_ai.store import ReadOnlyStore, Store
from supernova_ai.store.tables import StuckEndRow
from supernova_ai.types import Usage
from tests.holds import lose, place_hold, settle

CONFIG = Config(
    budgets=(
        Budget(name="firm", limit=Decimal(10), per="month"),
        Budget(name="each-user", limit=Decimal(1), per="day", user="*"),
    )
)
ENVIRON = {"OPENAI_API_KEY": "sk-test-0123456789abcdef"}


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store(where) as store:
        yield store


@pytest.fixture
def read(store: Store, where: str) -> Callable[..., Status]:
    """Read the status with a key of OpenAI in the environment."""
    reader = ReadOnlyStore(where)

    def read_(subjects: int = 3) -> Status:
        now = datetime.fromtimestamp(reader.now(), ZoneInfo("Europe/Paris"))
        return reader.read(
            lambda database: read_status(database, CONFIG, ENVIRON, now=now, subjects=subjects)
        )

    return read_


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store, CONFIG.all_budgets)


def test_an_empty_ledger(read: Callable[..., Status]) -> None:
    """Before the first attempt nothing is spent, held or open, and what is missing is named with a remedy."""
    status = read()
    states = {provider.name: provider.state for provider in status.providers}
    assert states["openai"] == "not asked yet"
    assert states["anthropic"] == "no key"
    assert set(status.spent.values()) == {0}
    assert [row.used for row in status.budgets] == [0, 0]
    assert (status.held.count, status.alerts, status.jobs.leader) == (0, [], None)
    remedies = {finding.text: finding.remedy for finding in status.findings}
    assert remedies["anthropic has no key, so it is not asked"] == "supernova keys add anthropic"
    assert "supernova run" in remedies["no job has run yet"]
    assert "ok" not in {finding.severity for finding in status.findings}


def test_held_and_lost_money_is_apart_from_spent(read: Callable[..., Status], ledger: Ledger) -> None:
    """What is held counts to its budget and not to what was spent; what is lost counts to both."""

    def take(name: str, usd: str) -> Hold:
        return ledger.write(place_hold(ledger, name, to_nano(usd), user_id="ann", request=name)).result()

    settle(ledger, take("settled", "0.25"), "0.20")
    lose(ledger, take("lost", "0.10"))
    take("held", "0.05")
    status = read()
    assert status.spent == {per: to_nano("0.30") for per in ("day", "week", "month")}
    assert status.lost == to_nano("0.10")
    firm, user = status.budgets
    for row in (firm, user):
        assert (row.settled, row.lost, row.held) == (to_nano("0.20"), to_nano("0.10"), to_nano("0.05"))
    assert user.subject == "ann"
    (largest,) = status.held.largest
    assert (status.held.count, largest.attempt, largest.user) == (1, "held", "ann")
    assert sum(minute.requests for minute in status.minutes) == 3


def test_the_users_with_the_fullest_windows(read: Callable[..., Status], ledger: Ledger) -> None:
    """Of a budget of each user, the most used windows are read, and all of them are counted."""
    for user, usd in (("ann", "0.10"), ("ben", "0.30"), ("eva", "0.20")):
        ledger.write(place_hold(ledger, user, to_nano(usd), user_id=user)).result()
    _, *users = read(subjects=2).budgets
    assert [(row.subject, row.subjects) for row in users] == [("ben", 3), ("eva", 3)]


def test_what_needs_a_person(read: Callable[..., Status], store: Store) -> None:
    """Cooldowns of all providers, refused ends and open alerts are there, and who leads."""
    now_ms = store.now_ms()

    def break_(database: Database) -> None:
        identity = DeploymentIdentity("standard", "openai", "gpt", "primary")
        health.record(database, CircuitState(identity, "open", now_ms, now_ms + 60_000, 3, "ProviderTimeout"))
        StuckEndRow.insert(attempt="a", at_ms=now_ms, ending="{}", reason="odd").execute(database)
        record_notice(database, "job", "backup", "today", title="It failed", text="It did", now_ms=now_ms)

    store.write(break_).result()
    leader = Leader(store)
    assert leader.claim()
    status = read()
    openai = next(provider for provider in status.providers if provider.name == "openai")
    assert openai.state == "cooling down"
    stuck = next(finding for finding in status.findings if "end could not be written" in finding.text)
    assert stuck.remedy == "supernova ledger lost"
    assert [event.message().title for event in status.alerts] == ["It failed"]
    assert status.jobs.leader == leader.holder
    assert status.next_job is not None
    assert status.next_job.next == min(job.next for job in status.jobs.jobs if job.next)


def test_all_providers_in_cooldown(read: Callable[..., Status], store: Store) -> None:
    """If every provider that has a key is in cooldown, that is an error; a local one may still answer."""
    now_ms = store.now_ms()

    def open_(*providers: str) -> None:
        for name in providers:
            slot = None if name == "ollama" else "primary"
            state = CircuitState(
                DeploymentIdentity("standard", name, "m", slot), "open", now_ms, now_ms + 60_000, 3, "Odd"
            )
            store.write(partial(health.record, state=state)).result()

    open_("openai")
    assert not [finding for finding in read().findings if finding.severity == "error"]
    open_("ollama")
    (finding,) = (finding for finding in read().findings if finding.severity == "error")
    assert (finding.text, finding.remedy) == ("all providers are in cooldown", "supernova health check")


def test_failures_and_speed_of_a_deployment(read: Callable[..., Status], ledger: Ledger) -> None:
    """A deployment has its state, its success rate, its percentiles and its last failure."""
    hold = ledger.write(place_hold(ledger, "good", 0)).result()
    assert ledger.end(hold, End("settled", 0, "exact", Usage(), ledger.now_ms(), 900, 200)).result()
    hold = ledger.write(place_hold(ledger, "bad", 0)).result()
    failure = health.fingerprint("openai", "ProviderUnavailable", 503, "overloaded")
    end = End("released", 0, None, Usage(), ledger.now_ms(), error=failure.error, failure=failure)
    assert ledger.end(hold, end).result()
    openai = next(provider for provider in read().providers if provider.name == "openai")
    ((row, state),) = openai.deployments
    assert (state, openai.state, row.success_rate) == ("healthy", "healthy", 0.5)
    assert (row.latency.p50, row.last_error) == (900, "ProviderUnavailable")
