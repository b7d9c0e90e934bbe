"""Versions of the configuration, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai import config as configuration
from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.config import Config, Loaded
from supernova_ai.errors import ConfigError, InvalidRequest, MasterKeyError
from supernova_ai.keys import Vault
from supernova_ai.reload.changes import BASE, changes, summary
from supernova_ai.reload.versions import Version, Versions
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import ConfigVersionRow
from tests import clients

Load = Callable[[str], Loaded]


@pytest.fixture
def vault(store: Store) -> Vault:
    """The vault of a store that has a master key."""
    vault = Vault(store, clients.MASTER)
    vault.add("openai", "primary", Secret("sk-test-0123456789abcdef"))
    return vault


@pytest.fixture
def versions(store: Store, vault: Vault) -> Versions:
    return Versions(store, vault)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a base file with this text, and load it."""
    file = tmp_path / "mine.yaml"

    def load(text: str) -> Loaded:
        file.write_bytes(text.encode(errors="surrogateescape"))
        return configuration.load(file, environ={"SUPERNOVA_HOME": str(tmp_path)})

    return load


def recorded(version: Version | None) -> Version:
    assert version is not None
    return version


def test_an_applied_configuration_is_a_version(versions: Versions, load: Load) -> None:
    """A version has its number, cause, settings and the exact text; the next one knows what changed."""
    first = recorded(versions.record(load("# hi\r\nstreaming: false\n"), "start"))
    second = recorded(versions.record(load("streaming: true\n"), "watch"))
    assert (first.number, first.cause, second.number, second.cause) == (1, "start", 2, "watch")
    assert [str(one) for one in changes(first.settings, second.settings)] == ["streaming: false → true"]
    assert versions.texts(first) == {BASE: b"# hi\r\nstreaming: false\n"}
    assert versions.latest() == second
    assert versions.newest(9) == [second, first]
    assert versions.get(1) == first


def test_an_equal_configuration_is_no_new_version(versions: Versions, load: Load) -> None:
    """The same files are the same version; with other comments they are another one, but not at a start."""
    versions.record(load("streaming: true\n"), "start")
    assert versions.record(load("streaming: true\n"), "reload") is None
    assert versions.record(load("streaming: true # yes\n"), "start") is None
    assert versions.record(load("streaming: true # yes\n"), "reload")
    latest = versions.newest(2)
    assert summary(changes(latest[1].settings, latest[0].settings)) == (
        "only comments, or values that are hidden"
    )


def test_templates_belong_to_a_version(versions: Versions, load: Load, tmp_path: Path) -> None:
    """Templates are in the text, and a changed one is named in the changes by its hash."""
    first = recorded(versions.record(load(""), "start"))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "mine.md").write_text("text")
    second = recorded(versions.record(load(""), "reload"))
    [change] = changes(first.settings, second.settings)
    assert change.setting == "prompts.mine"
    assert versions.texts(second) == {BASE: b"", "prompts/mine.md": b"text"}


def test_a_version_is_bound_to_its_place(versions: Versions, load: Load, store: Store) -> None:
    """A text that was altered, or moved to another number, does not open."""
    first = recorded(versions.record(load("streaming: true\n"), "start"))
    versions.record(load("streaming: false\n"), "reload")
    store.write(
        lambda database: (
            ConfigVersionRow.update(sealed=first.sealed).where(ConfigVersionRow.number == 2).execute(database)
        )
    ).result()
    with pytest.raises(ConfigError, match="version 2 does not open"):
        versions.texts(versions.get(2))


def test_secrets_are_only_in_the_sealed_text(versions: Versions, load: Load, store: Store) -> None:
    """A password is in no column but the encrypted one, in no audit row and in no notice."""
    loaded = load("redis: redis://:hunter22@cache/0\n")
    versions.record(load(""), "start")
    version = recorded(versions.record(loaded, "reload"))
    assert b"hunter22" in versions.texts(version)[BASE]
    rows = store.read(lambda database: list(ConfigVersionRow.select().dicts().execute(database)))
    assert "hunter22" not in repr(rows)
    assert "hunter22" not in repr(list(Vault(store, clients.MASTER).audit_events()))
    assert "hunter22" not in repr([row.message for row in store.read(list_alerts)])


def test_without_a_master_there_are_settings_only(store: Store, load: Load) -> None:
    """A store without a master key gets versions without asking for one; their text cannot come back."""

    def no_master() -> None:
        raise AssertionError("the master key was asked for")

    versions = Versions(store, Vault(store, no_master))  # type: ignore[arg-type]
    version = recorded(versions.record(load("streaming: true\n"), "start"))
    assert versions.record(load("streaming: true # yes\n"), "reload") is None
    with pytest.raises(ConfigError, match="the store had no master key then"):
        versions.texts(version)


def test_a_missing_master_refuses_the_version(vault: Vault, store: Store, load: Load) -> None:
    """If the store's master key cannot be read, nothing is recorded, because nothing can be signed."""

    def missing() -> None:
        raise MasterKeyError("it is gone")

    versions = Versions(store, Vault(store, missing))  # type: ignore[arg-type]
    with pytest.raises(MasterKeyError, match="it is gone"):
        versions.record(load("streaming: true\n"), "reload")
    assert versions.latest() is None


def test_a_configuration_made_in_code(versions: Versions) -> None:
    """It is a version too, without text."""
    version = recorded(versions.record(Loaded.of(Config()), "start"))
    assert versions.record(Loaded.of(Config()), "reload") is None
    with pytest.raises(ConfigError, match="made in code"):
        versions.texts(version)


def test_refusals_are_audited_and_alerted_once(versions: Versions, load: Load, store: Store) -> None:
    """Each refusal is in the audit; one problem is one notice a day, even if many processes refuse it."""
    versions.record(load(""), "start")
    for error in ("streaming is 7", "streaming is 7", "streaming is 8"):
        versions.refused(ConfigError(error), "watch")
    events = [
        event for event in Vault(store, clients.MASTER).audit_events() if event.event == "config.refused"
    ]
    assert [(event.subject, event.outcome) for event in events] == [
        ("version 1", "streaming is 7"),
        ("version 1", "streaming is 7"),
        ("version 1", "streaming is 8"),
    ]
    assert len(store.read(list_alerts)) == 2


def test_an_unknown_number(versions: Versions) -> None:
    """A number that no version has is refused with the latest one."""
    with pytest.raises(InvalidRequest, match="none was applied yet"):
        versions.get(7)
