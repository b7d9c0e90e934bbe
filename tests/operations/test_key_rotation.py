"""Rotations with their check, revoking, checks of all keys, and reminders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai.alerts.outbox import AlertEvent, list_alerts
from supernova_ai.config import Config
from supernova_ai.errors import AuthenticationFailed, KeyNotFound, ProviderUnavailable
from supernova_ai.keys import MasterKey, Vault, lifecycle
from supernova_ai.keys.source import FRESH_S
from supernova_ai.operations import key_checks, key_rotation
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import KeyRow
from supernova_ai.testing import Failure, StubProvider
from supernova_ai.testing.answers import Received

Stub = Callable[..., StubProvider]

FIRST, SECOND = Secret("sk-number-00000001"), Secret("sk-number-00000002")
DAY_MS = 86_400_000


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(now=1_790_000_000.0)


@pytest.fixture
def vault(store: Store, clock: SimpleNamespace) -> Vault:
    return Vault(store, MasterKey.of(bytes(32)), clock=lambda: clock.now)


def config(url: str = "https://example.com", **settings: Any) -> Config:
    openai = {"api_base": f"{url}/v1", "models": {"standard": "gpt-4o-mini"}}
    return Config.model_validate(
        {"providers": {"openai": openai}, "routing": {"priority": ["openai"]}, **settings}
    )


def states(vault: Vault) -> list[tuple[int, str]]:
    return [(key.version, key.state) for key in vault.list()]


def test_a_rotation_checks_the_new_key_first(vault: Vault, stub_provider: Stub) -> None:
    """The free request has the new key; then it is active, and the one before retires."""
    stub = stub_provider()
    vault.add("openai", "primary", FIRST)
    done = key_rotation.rotate(vault, config(stub.url), "openai", "primary", SECOND)
    assert [request.key for request in stub.requests] == [SECOND.reveal()]
    assert states(vault) == [(1, "retiring"), (2, "active")]
    assert (done.active.version, done.retiring and done.retiring.version, done.grace_s) == (2, 1, 600)
    assert vault.list()[1].check_result == "ok"


@pytest.mark.parametrize(
    ("probe", "error", "words"),
    [
        (Failure(401), AuthenticationFailed, "openai refused the key"),
        (Failure(403), ProviderUnavailable, "no permission to list models"),
        (Failure(503), ProviderUnavailable, "HTTP 503"),
    ],
)
def test_a_key_that_fails_its_check_does_not_take_over(
    probe: Failure, error: type[Exception], words: str, vault: Vault, stub_provider: Stub
) -> None:
    """The rotation is parked with the reason, the old key goes on, and the next rotation works."""
    stub = stub_provider()
    stub.probe = probe
    vault.add("openai", "primary", FIRST)
    with pytest.raises(error, match=f"openai/primary was not rotated: .*{words}.*stays as it was"):
        key_rotation.rotate(vault, config(stub.url), "openai", "primary", SECOND)
    assert states(vault) == [(1, "active"), (2, "failed")]
    assert words in str(vault.list()[1].reason)
    key_rotation.rotate(vault, config(stub.url), "openai", "primary", SECOND, check=False)
    assert states(vault) == [(1, "retiring"), (2, "failed"), (3, "active")]
    assert vault.list()[2].check_result is None


@pytest.mark.parametrize(("asked", "given"), [(1, 900), (899, 900), (1200, 1200)])
def test_the_grace_is_at_least_the_longest_call(asked: int, given: int, vault: Vault) -> None:
    """A grace shorter than the deadline of a call would revoke the key of calls under way."""
    long = config(routing={"priority": ["openai"], "deadline": 900})
    done = key_rotation.rotate(vault, long, "openai", "primary", FIRST, grace_s=asked, check=False)
    assert done.grace_s == given


def test_revoking_waits_until_no_request_can_be_sent(vault: Vault) -> None:
    """It returns after the time for which a key that was read may still be sent."""
    vault.add("openai", "primary", FIRST)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        assert states(vault) == [(1, "revoked")]
        waited.append(seconds)

    key_rotation.revoke(vault, "openai", "primary", wait=wait)
    assert waited == [key_rotation.SETTLE_S]
    assert key_rotation.SETTLE_S > FRESH_S
    with pytest.raises(KeyNotFound):
        key_rotation.revoke(vault, "openai", "primary", wait=wait)


def test_expired_versions_are_revoked_once(vault: Vault, clock: SimpleNamespace) -> None:
    """The job revokes what is over, says how many, and writes nothing when there are none."""
    for secret in (FIRST, SECOND):
        key_rotation.rotate(vault, config(), "openai", "primary", secret, check=False)
    assert key_rotation.revoke_expired(vault) == 0
    clock.now += 600
    assert [key_rotation.revoke_expired(vault) for _ in range(2)] == [1, 0]
    assert states(vault) == [(1, "revoked"), (2, "active")]
    assert [event.event for event in vault.audit_events()].count("key.revoked") == 1


def test_checks_of_all_keys(vault: Vault, stub_provider: Stub) -> None:
    """Each active key is checked and its result stored; a provider without a free endpoint is named."""

    def only_the_first(request: Received) -> Any:
        return "healthy" if request.key == FIRST.reveal() else Failure(401)

    stub = stub_provider()
    stub.probe = only_the_first
    vault.add("openai", "primary", FIRST)
    vault.add("openai", "backup", SECOND)
    vault.add("groq", "primary", SECOND)
    some = key_checks.check_keys(vault, config(stub.url))
    assert {(each.key.slot, each.result, each.reason) for each in some} == {
        ("primary", "ok", None),
        ("backup", "AuthenticationFailed", "openai refused the key"),
    }
    every = key_checks.check_keys(vault, config(stub.url), everything=True)
    assert (every[0].key.provider, every[0].result) == ("groq", None)
    assert "no free endpoint" in str(every[0].reason)
    stored = {key.place: key.check_result for key in vault.list()}
    assert stored == {"openai/primary": "ok", "openai/backup": "AuthenticationFailed", "groq/primary": None}


def reminded(store: Store, now_ms: int, settings: Config) -> list[str]:
    """Record the reminders of this time; return the text of all that were ever recorded."""
    key_checks.remind(store, settings, now_ms)
    rows = store.read(list_alerts)
    return [AlertEvent.of(row, []).message().text for row in rows]


def test_reminders_by_age(vault: Vault, store: Store, clock: SimpleNamespace) -> None:
    """Two notices remind of an old key, each once: some days before it is due, and then an urgent one."""
    vault.add("openai", "primary", FIRST)
    vault.add("groq", "primary", FIRST)  # not in the configuration
    now_ms = int(clock.now * 1000)
    settings = config(keys={"rotate_after_days": 30, "remind_days": 5})
    (key,) = [key for key in vault.list() if key.provider == "openai"]
    counts = []
    for days in (24, 25, 26, 30, 40):
        counts.append(len(reminded(store, now_ms + days * DAY_MS, settings)))
    assert counts == [0, 1, 1, 2, 2]
    assert [AlertEvent.of(row, []).message().urgent for row in store.read(list_alerts)] == [False, True]
    assert "supernova keys rotate openai" in reminded(store, now_ms, settings)[0]
    ahead = key_checks.next_reminder(key, settings, now_ms)
    assert ahead == key.created + timedelta(days=25)
    assert key_checks.next_reminder(key, settings, now_ms + 60 * DAY_MS) is None
    assert key_checks.next_reminder(key, config(keys={"rotate_after_days": None}), now_ms) is None


def test_an_old_key_is_reminded_of_once(vault: Vault, store: Store, clock: SimpleNamespace) -> None:
    """Of a key that is long overdue there is one notice, and a rotation ends its reminders."""
    vault.add("openai", "primary", FIRST)
    settings = config(keys={"rotate_after_days": 30, "remind_days": 5})
    clock.now += 100 * 86_400
    assert len(reminded(store, int(clock.now * 1000), settings)) == 1
    key_rotation.rotate(vault, settings, "openai", "primary", SECOND, check=False)
    assert len(reminded(store, int(clock.now * 1000), settings)) == 1


def test_reminders_of_an_expiry(vault: Vault, store: Store, clock: SimpleNamespace) -> None:
    """A key that expires is reminded of before and then; another date has its own reminders."""
    vault.add("openai", "primary", FIRST)
    settings = config(keys={"rotate_after_days": None, "remind_days": 5})
    now_ms = int(clock.now * 1000)
    for days in (10, 20):
        at = datetime.fromtimestamp(clock.now, UTC) + timedelta(days=days)
        lifecycle.set_expiry(vault, "openai", "primary", at)
        counts = [len(reminded(store, now_ms + day * DAY_MS, settings)) for day in (1, days - 5, days)]
        assert counts == ([0, 1, 2] if days == 10 else [2, 3, 4])
    assert "is not used after that" in reminded(store, now_ms, settings)[0]


@pytest.mark.parametrize("at_ms", [253_402_300_799_999, -62_135_596_800_000])
def test_a_damaged_date_does_not_stop_reminders(at_ms: int, vault: Vault, store: Store) -> None:
    """Dates at the ends of the calendar, which have no days before or after, are compared as they are."""
    vault.add("openai", "primary", FIRST)
    store.write(
        lambda database: KeyRow.update(activated_ms=at_ms, expires_ms=at_ms).execute(database)
    ).result()
    assert key_checks.remind(store, config(), vault.now_ms()) == (2 if at_ms < 0 else 0)


def test_nothing_is_recorded_without_keys(store: Store) -> None:
    """An empty vault has no reminders."""
    assert key_checks.remind(store, config(), 0) == 0


def test_the_check_needs_no_engine(stub_provider: Stub, tmp_path: Path) -> None:
    """One key is checked with a configuration alone."""
    assert key_rotation.check_key(config(stub_provider().url), "openai", FIRST) is None
    assert list(tmp_path.iterdir()) == []
