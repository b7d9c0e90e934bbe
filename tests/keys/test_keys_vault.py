from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supernova_ai.audit import AuditEvent
from supernova_ai.audit import chain as audit
from supernova_ai.errors import (
    InvalidRequest,
    KeyFormatError,
    KeyNotFound,
    MasterKeyError,
    SupernovaError,
)
from supernova_ai.keys import KeyInfo, MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

FIRST, SECOND = Secret("sk-first-00000001"), Secret("sk-second-0000002")


def no_master() -> MasterKey:
    raise MasterKeyError("the master was asked for")


def test_added_key_is_listed_and_revealed(vault: Vault) -> None:
    """An added key is listed with slot, version, state and fingerprint, and revealed unchanged."""
    info = vault.add("openai", "primary", FIRST)
    created = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    assert info == KeyInfo(
        "openai", "primary", 1, "active", info.fingerprint, created=created, activated=created
    )
    assert re.fullmatch(r"k1:[0-9a-f]{8}", info.fingerprint)
    assert vault.list() == [info]
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()


def test_list_orders_by_provider_slot_and_version(vault: Vault) -> None:
    """The list is ordered by provider, primary before backup, oldest version first."""
    for provider, slot in [("openai", "backup"), ("openai", "primary"), ("groq", "primary")]:
        vault.add(provider, slot, FIRST)
    vault.add("openai", "primary", SECOND)
    assert [(key.provider, key.slot, key.version, key.state) for key in vault.list()] == [
        ("groq", "primary", 1, "active"),
        ("openai", "primary", 1, "revoked"),
        ("openai", "primary", 2, "active"),
        ("openai", "backup", 1, "active"),
    ]


def test_fingerprint_depends_on_the_key_only(vault: Vault) -> None:
    """Equal keys have equal fingerprints in every slot and version; different keys differ."""
    one = vault.add("openai", "primary", FIRST)
    two = vault.add("openai", "backup", Secret(FIRST.reveal()))
    other = vault.add("openai", "primary", SECOND)
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_fingerprint_needs_the_master(vault: Vault, tmp_path: Path) -> None:
    """The fingerprint depends on the master, so a guessed key cannot be checked without it."""
    with Store(tmp_path / "other.db") as store:
        other = Vault(store, MasterKey.of(bytes(32))).add("openai", "primary", FIRST)
    assert vault.add("openai", "primary", FIRST).fingerprint != other.fingerprint


def test_new_version_supersedes_and_wipes_the_old(vault: Vault, store: Store, path: Path) -> None:
    """A new version replaces the active one, and the old record is wiped from the table."""
    vault.add("openai", "primary", FIRST)
    vault.add("openai", "primary", SECOND)
    assert vault.reveal("openai", "primary").reveal() == SECOND.reveal()
    rows = store.read(
        lambda database: list(
            database.execute_sql("SELECT state, length(sealed) FROM api_key ORDER BY version")
        )
    )
    assert rows == [("revoked", 0), ("active", 73 + len(SECOND.reveal()) + 16)]


def test_removed_key_stays_in_the_history(vault: Vault) -> None:
    """After removal the slot is empty, the list keeps the history, and version numbers continue."""
    vault.add("openai", "primary", FIRST)
    vault.remove("openai", "primary")
    with pytest.raises(KeyNotFound, match="supernova keys add"):
        vault.reveal("openai", "primary")
    assert [key.state for key in vault.list()] == ["revoked"]
    assert vault.add("openai", "primary", SECOND).version == 2


def test_absent_key_needs_no_master(store: Store) -> None:
    """Revealing or removing a missing key is an error that needs no master key."""
    vault = Vault(store, no_master)
    for ask in (vault.reveal, vault.remove):
        with pytest.raises(KeyNotFound, match="no backup key of openai"):
            ask("openai", "backup")


def test_list_and_events_need_no_master(vault: Vault, store: Store) -> None:
    """Without the master key, keys and events can be listed, but no key revealed."""
    vault.add("openai", "primary", FIRST)
    locked = Vault(store, no_master)
    assert locked.list() == vault.list()
    assert list(locked.audit_events()) == list(vault.audit_events())
    with pytest.raises(MasterKeyError):
        locked.reveal("openai", "primary")


def test_master_is_asked_for_once(store: Store, master: MasterKey) -> None:
    """The vault resolves the master key once, when it is first needed."""
    asked = []

    def resolve() -> MasterKey:
        asked.append(1)
        return master

    vault = Vault(store, resolve)
    assert vault.list() == []
    assert asked == []
    vault.unlock()
    assert asked == [1]
    vault.add("openai", "primary", FIRST)
    vault.reveal("openai", "primary")
    vault.remove("openai", "primary")
    assert asked == [1]


def test_master_that_failed_is_asked_for_again(store: Store, master: MasterKey) -> None:
    """After a failure the master key is resolved again, so an unlocked keyring needs no restart."""
    answers: list[Callable[[], MasterKey]] = [no_master, lambda: master]
    vault = Vault(store, lambda: answers.pop(0)())
    with pytest.raises(MasterKeyError):
        vault.add("openai", "primary", FIRST)
    assert vault.add("openai", "primary", FIRST).version == 1


def test_wrong_master_is_named(vault: Vault, store: Store) -> None:
    """A vault with a wrong master key cannot open, add or remove a key, and reports the wrong master."""
    vault.add("openai", "primary", FIRST)
    before = vault.list()
    wrong = Vault(store, MasterKey.of(bytes(32)))
    calls: list[Callable[[], object]] = [
        lambda: wrong.reveal("openai", "primary"),
        lambda: wrong.add("openai", "primary", SECOND),
        lambda: wrong.remove("openai", "primary"),
    ]
    for call in calls:
        with pytest.raises(MasterKeyError, match="not the one the store was sealed with"):
            call()
    assert vault.list() == before


def test_second_master_cannot_claim_the_store(store: Store, master: MasterKey) -> None:
    """If two vaults start on an empty store with different masters, only the first to add a key succeeds."""
    one, two = Vault(store, master), Vault(store, MasterKey.of(bytes(32)))
    for vault in (one, two):
        vault.unlock()  # both saw a store without a master
    one.add("openai", "primary", FIRST)
    with pytest.raises(MasterKeyError, match="not the one"):
        two.add("openai", "backup", SECOND)
    assert one.verify_audit().rows == 2


def test_find_inside_an_operation(vault: Vault, store: Store) -> None:
    """``find`` works inside the caller's operation; the key is decrypted afterwards."""
    vault.add("openai", "primary", FIRST)
    sealed = store.write(lambda database: vault.find(database, "openai", "primary")).result()
    assert sealed is not None
    assert vault.open(sealed).reveal() == FIRST.reveal()
    assert store.read(lambda database: vault.find(database, "openai", "backup")) is None


@pytest.mark.parametrize(
    ("provider", "slot"), [("OpenAI", "primary"), ("", "primary"), ("a/b", "primary"), ("openai", "third")]
)
def test_invalid_provider_and_slot_are_refused(vault: Vault, provider: str, slot: str) -> None:
    """An invalid provider or slot name is refused before anything is stored."""
    with pytest.raises(InvalidRequest, match=re.escape(repr(slot if slot == "third" else provider))):
        vault.add(provider, slot, FIRST)
    assert vault.list() == []


def test_wrong_format_is_refused(vault: Vault) -> None:
    """A text that is not a key of the provider is not stored."""
    with pytest.raises(KeyFormatError, match="looks like a key of anthropic"):
        vault.add("openai", "primary", Secret("sk-ant-api03-00000000"))
    assert vault.list() == []


def test_key_and_audit_are_one_transaction(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the audit row cannot be written, the key is not stored either."""
    vault.add("openai", "primary", FIRST)
    before = vault.list()

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(audit.Chain, "append", fail)
        with pytest.raises(SupernovaError, match="no space left"):
            vault.add("openai", "primary", SECOND)
    assert vault.list() == before
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'`"),
        min_size=8,
        max_size=200,
    ).filter(lambda text: not text.startswith("{"))
)
def test_any_key_comes_back(vault: Vault, key: str) -> None:
    """Any printable key is revealed unchanged; one that begins with a brace has several fields."""
    vault.add("other", "primary", Secret(key))
    assert vault.reveal("other", "primary").reveal() == key


def test_concurrent_adds_leave_one_chain(path: Path, master: MasterKey) -> None:
    """Concurrent adds over two open stores number each version once, and the chain verifies."""
    with Store(path) as one, Store(path) as two, ThreadPoolExecutor(8) as pool:
        vaults = [Vault(one, master), Vault(two, master)]
        infos = list(pool.map(lambda number: vaults[number % 2].add("openai", "primary", FIRST), range(24)))
        assert sorted(info.version for info in infos) == list(range(1, 25))
        assert [key.version for key in vaults[0].list() if key.state == "active"] == [24]
        report = vaults[1].verify_audit()
        assert (report.rows, report.ok) == (25, True)


def test_events_are_frozen_records(vault: Vault) -> None:
    """The records that the vault returns are immutable."""
    info = vault.add("openai", "primary", FIRST)
    event: AuditEvent = next(vault.audit_events())
    for record, name in ((info, "state"), (event, "event"), (vault.verify_audit(), "ok")):
        with pytest.raises(AttributeError):
            setattr(record, name, "changed")
