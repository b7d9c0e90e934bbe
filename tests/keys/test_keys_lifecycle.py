"""The life of a key: its states, what each step audits, and which versions may be sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from supernova_ai.errors import InvalidRequest, KeyFormatError, KeyNotFound
from supernova_ai.keys import (
    KeyInfo,
    KeySource,
    MasterKey,
    SealedKey,
    Vault,
    import_environment,
    lifecycle,
    records,
)
from supernova_ai.keys.source import FRESH_S
from supernova_ai.secret import Secret
from supernova_ai.store import Store

FIRST, SECOND, THIRD = (Secret(f"sk-number-0000000{n}") for n in (1, 2, 3))
HOUR_MS = 3_600_000


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(now=1_790_000_000.0)


@pytest.fixture
def vault(store: Store, master: MasterKey, clock: SimpleNamespace) -> Vault:
    return Vault(store, master, clock=lambda: clock.now)


def states(vault: Vault) -> list[tuple[int, str]]:
    return [(key.version, key.state) for key in vault.list()]


def events(vault: Vault) -> list[str]:
    return [event.event for event in vault.audit_events()]


def rotate(vault: Vault, secret: Secret) -> KeyInfo:
    started = lifecycle.start_rotation(vault, "openai", "primary", secret)
    lifecycle.activate(vault, started, grace_ms=HOUR_MS)
    return started


def find(vault: Vault, store: Store) -> SealedKey:
    found = store.read(lambda database: vault.find(database, "openai", "primary"))
    assert found is not None
    return found


def test_the_steps_of_a_rotation(vault: Vault, clock: SimpleNamespace) -> None:
    """Pending is not used; activated, it is used, and the one before retires until its grace is over."""
    vault.add("openai", "primary", FIRST)
    started = lifecycle.start_rotation(vault, "openai", "primary", SECOND)
    assert states(vault) == [(1, "active"), (2, "pending")]
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()
    retiring = lifecycle.activate(vault, started, grace_ms=HOUR_MS)
    assert retiring is not None
    assert retiring.version == 1
    assert states(vault) == [(1, "retiring"), (2, "active")]
    assert vault.reveal("openai", "primary").reveal() == SECOND.reveal()
    assert vault.list()[0].until == datetime.fromtimestamp(clock.now, UTC) + timedelta(hours=1)
    clock.now += 3601
    vault.add("openai", "backup", THIRD)  # whoever changes something next revokes it
    assert states(vault)[0] == (1, "revoked")
    assert events(vault) == [
        "master.created",
        "key.added",
        "key.rotation.started",
        "key.activated",
        "key.revoked",
        "key.added",
    ]
    assert vault.verify_audit().ok


def test_a_failed_rotation_says_why_and_changes_nothing(vault: Vault, store: Store) -> None:
    """The failed version has its reason and an empty record; the active one goes on."""
    vault.add("openai", "primary", FIRST)
    started = lifecycle.start_rotation(vault, "openai", "primary", SECOND)
    lifecycle.fail_rotation(vault, started, "openai refused the key")
    failed = vault.list()[-1]
    assert (failed.state, failed.reason) == ("failed", "openai refused the key")
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()
    rows = store.read(
        lambda database: database.execute_sql(
            "SELECT length(sealed) FROM api_key WHERE version = 2"
        ).fetchall()
    )
    assert rows == [(0,)]
    assert list(vault.audit_events())[-1].outcome == "openai refused the key"


def test_a_rotation_replaces_one_that_did_not_finish(vault: Vault) -> None:
    """The pending version of a killed process fails when the next rotation starts, and cannot come back."""
    vault.add("openai", "primary", FIRST)
    left = lifecycle.start_rotation(vault, "openai", "primary", SECOND)
    rotate(vault, THIRD)
    assert states(vault) == [(1, "retiring"), (2, "failed"), (3, "active")]
    assert vault.list()[1].reason == "replaced by version 3"
    with pytest.raises(KeyNotFound, match="version 2 of openai/primary is not pending any more"):
        lifecycle.activate(vault, left, grace_ms=HOUR_MS)
    assert vault.reveal("openai", "primary").reveal() == THIRD.reveal()


def test_an_empty_slot_can_be_rotated(vault: Vault) -> None:
    """After an emergency the checked way is open too: nothing retires."""
    started = lifecycle.start_rotation(vault, "openai", "primary", FIRST)
    assert lifecycle.activate(vault, started, grace_ms=HOUR_MS, check_result="ok") is None
    assert states(vault) == [(1, "active")]
    assert vault.list()[0].check_result == "ok"


def test_the_same_key_is_no_rotation(vault: Vault) -> None:
    """Pasting the key that is in use is refused by its fingerprint, and leaves nothing behind."""
    vault.add("openai", "primary", FIRST)
    with pytest.raises(InvalidRequest, match=r"has already \(version 1"):
        lifecycle.start_rotation(vault, "openai", "primary", Secret(FIRST.reveal()))
    with pytest.raises(KeyFormatError):
        lifecycle.start_rotation(vault, "openai", "primary", Secret("hf_0000000000"))
    assert states(vault) == [(1, "active")]


@pytest.mark.parametrize("version", [None, 1, 2, 3])
def test_revoking(version: int | None, vault: Vault) -> None:
    """One version is revoked, or all of the slot: active, retiring and pending; each has its audit row."""
    vault.add("openai", "primary", FIRST)
    rotate(vault, SECOND)
    lifecycle.start_rotation(vault, "openai", "primary", THIRD)
    revoked = lifecycle.revoke(vault, "openai", "primary", version=version)
    expected = [1, 2, 3] if version is None else [version]
    assert [key.version for key in revoked] == expected
    assert [key.version for key in vault.list() if key.state == "revoked"] == expected
    assert events(vault).count("key.revoked") == len(expected)
    with pytest.raises(KeyNotFound, match="that could be revoked"):
        lifecycle.revoke(vault, "openai", "primary", version=version)


def test_the_key_of_a_failed_rotation_can_be_added_after_an_emergency(vault: Vault) -> None:
    """It was never in use: revoking the slot leaves its version failed, and it may replace the leaked key."""
    vault.add("openai", "primary", FIRST)
    started = lifecycle.start_rotation(vault, "openai", "primary", SECOND)
    lifecycle.fail_rotation(vault, started, "openai cannot be reached")
    assert [key.version for key in lifecycle.revoke(vault, "openai", "primary")] == [1]
    assert states(vault) == [(1, "revoked"), (2, "failed")]
    vault.add("openai", "primary", SECOND)
    assert vault.reveal("openai", "primary").reveal() == SECOND.reveal()


def test_a_revoked_key_does_not_come_back(vault: Vault, store: Store) -> None:
    """It cannot be stored again, in any slot or way, and a variable that may hold it is not used."""
    vault.add("openai", "primary", FIRST)
    lifecycle.revoke(vault, "openai", "primary")
    leaked = Secret(FIRST.reveal())
    with pytest.raises(InvalidRequest, match=r"revoked by hand \(version 1 of openai/primary\)"):
        vault.add("openai", "backup", leaked)
    with pytest.raises(InvalidRequest, match="create a new one at the provider"):
        lifecycle.start_rotation(vault, "openai", "primary", leaked)
    environ = {"OPENAI_API_KEY": FIRST.reveal()}
    assert import_environment(vault, environ) == ([], ["OPENAI_API_KEY"])
    keys = KeySource(vault, environ=environ, allow_environment=True, environment_name="test")
    with pytest.raises(KeyNotFound, match="OPENAI_API_KEY is not used instead"):
        store.read(lambda database: keys.find(database, "openai", "primary"))
    assert states(vault) == [(1, "revoked")]
    vault.add("openai", "primary", SECOND)
    assert find(vault, store)


def test_an_expired_key_is_not_used(vault: Vault, store: Store, clock: SimpleNamespace) -> None:
    """After its date the slot counts as empty, with the command that helps, until the date is moved."""
    vault.add("openai", "primary", FIRST)
    at = datetime.fromtimestamp(clock.now + 60, UTC)
    lifecycle.set_expiry(vault, "openai", "primary", at)
    keys = KeySource(
        vault, environ={"OPENAI_API_KEY": SECOND.reveal()}, allow_environment=True, environment_name="test"
    )
    before = find(vault, store)
    clock.now += 60
    with pytest.raises(
        KeyNotFound, match=r"expired on 2026-09-21 at 14:14 UTC: run 'supernova keys rotate"
    ) as caught:
        store.read(lambda database: keys.find(database, "openai", "primary"))  # nor the environment's instead
    assert caught.value.remedy == "supernova keys rotate openai"
    assert not vault.may_be_sent(before)
    with pytest.raises(KeyNotFound, match="expired"):
        vault.reveal("openai", "primary")
    lifecycle.set_expiry(vault, "openai", "primary", None)
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()
    with pytest.raises(KeyNotFound, match="no active key"):
        lifecycle.set_expiry(vault, "openai", "backup", at)


def test_which_versions_may_be_sent(vault: Vault, store: Store, clock: SimpleNamespace) -> None:
    """An attempt may send the version it took while that is active or in its grace, swept or not."""
    vault.add("openai", "primary", FIRST)
    taken = find(vault, store)
    rotate(vault, SECOND)
    assert vault.may_be_sent(taken)
    clock.now += 3600
    assert states(vault)[0] == (1, "retiring")
    assert not vault.may_be_sent(taken)
    taken = find(vault, store)
    lifecycle.revoke(vault, "openai", "primary")
    assert not vault.may_be_sent(taken)


async def test_a_key_that_waited_is_read_again(vault: Vault, store: Store) -> None:
    """A key that was just read is sent; one that waited is read again, and again if that took long."""
    vault.add("openai", "primary", FIRST)
    taken = find(vault, store)
    times: Iterator[float] = iter([taken.read_s + FRESH_S])
    keys = KeySource(
        vault, environ={}, allow_environment=False, environment_name="test", timer=lambda: next(times)
    )
    lifecycle.revoke(vault, "openai", "primary")
    assert await keys.may_be_sent(taken)
    late = taken.read_s + FRESH_S + 0.1
    times = iter([late, late])
    assert not await keys.may_be_sent(taken)
    vault.add("openai", "primary", SECOND)
    taken = find(vault, store)
    late = taken.read_s + FRESH_S + 0.1
    times = iter([late, late, late + 2, late + 2, late + 2])  # the second reading is in time
    assert await keys.may_be_sent(taken)
    assert await keys.may_be_sent(FIRST)  # of the environment


def test_the_last_use_is_written_once_a_minute(vault: Vault, store: Store, clock: SimpleNamespace) -> None:
    """The time of use is stored at once, and not again within a minute."""
    vault.add("openai", "primary", FIRST)
    timer = SimpleNamespace(now=0.0)
    keys = KeySource(
        vault, environ={}, allow_environment=False, environment_name="test", timer=lambda: timer.now
    )
    taken = find(vault, store)
    seen = []
    for seconds in (0, 59, 1):
        timer.now += seconds
        clock.now += seconds
        keys.note_use(taken)
        store.write(lambda _: None).result()  # the note before it is written too
        seen.append(vault.list()[0].used)
    assert seen[0] == seen[1] != seen[2] == datetime.fromtimestamp(clock.now, UTC)
    store.close()
    timer.now += 60
    keys.note_use(taken)  # closed: no error


def test_a_check_is_audited_when_its_result_is_new(vault: Vault) -> None:
    """Each check is stored; the audit has the results that differ from the one before."""
    vault.add("openai", "primary", FIRST)
    for result in ("ok", "ok", "AuthenticationFailed"):
        lifecycle.note_check(vault, vault.list()[0], result)
    assert vault.list()[0].check_result == "AuthenticationFailed"
    checked = [event for event in vault.audit_events() if event.event == "key.checked"]
    assert [event.outcome for event in checked] == ["done", "AuthenticationFailed"]


def test_no_step_without_its_audit_row(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the audit row of a step cannot be written, the step is undone."""
    vault.add("openai", "primary", FIRST)
    started = lifecycle.start_rotation(vault, "openai", "primary", SECOND)
    before = vault.list()

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("supernova_ai.audit.chain.Chain.append", fail)
    for step in (
        lambda: lifecycle.activate(vault, started, grace_ms=HOUR_MS),
        lambda: lifecycle.fail_rotation(vault, started, "why"),
        lambda: lifecycle.start_rotation(vault, "openai", "backup", THIRD),
        lambda: lifecycle.revoke(vault, "openai", "primary"),
        lambda: lifecycle.set_expiry(vault, "openai", "primary", datetime(2030, 1, 1, tzinfo=UTC)),
    ):
        with pytest.raises(Exception, match="no space left"):
            step()
        assert vault.list() == before


def test_find_ignores_what_is_not_active(vault: Vault, store: Store) -> None:
    """A slot with pending, failed and retiring versions only is empty."""
    vault.add("openai", "primary", FIRST)
    rotate(vault, SECOND)
    lifecycle.revoke(vault, "openai", "primary", version=2)
    lifecycle.start_rotation(vault, "openai", "primary", THIRD)
    assert states(vault) == [(1, "retiring"), (2, "revoked"), (3, "pending")]
    assert store.read(lambda database: vault.find(database, "openai", "primary")) is None
    assert store.read(records.providers) == []
