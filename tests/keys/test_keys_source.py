from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from supernova_ai.errors import KeyFormatError, KeyNotFound
from supernova_ai.keys import KeySource, MasterKey, Vault, import_environment, lifecycle
from supernova_ai.keys.source import variable
from supernova_ai.secret import Secret
from supernova_ai.store import Store

KEY, OTHER = "sk-test-00000001", "sk-test-00000002"


def source(vault: Vault, environ: Mapping[str, str], *, allowed: bool = True) -> KeySource:
    name = "development" if allowed else "production"
    return KeySource(vault, environ=environ, allow_environment=allowed, environment_name=name)


def ask(store: Store, keys: KeySource, provider: str, slot: str) -> str | None:
    """Find a key inside a write operation, as an attempt does, and decrypt it afterwards."""
    found = store.write(lambda database: keys.find(database, provider, slot)).result()
    return None if found is None else keys.open(found).reveal()


@pytest.mark.parametrize(
    ("provider", "slot", "name"),
    [
        ("openai", "primary", "OPENAI_API_KEY"),
        ("openai", "backup", "OPENAI_API_KEY_BACKUP"),
        ("anthropic", "primary", "ANTHROPIC_API_KEY"),
        ("huggingface", "primary", "HUGGINGFACE_API_TOKEN"),
        ("huggingface", "backup", "HUGGINGFACE_API_TOKEN_BACKUP"),
        ("together-ai", "primary", "TOGETHER_AI_API_KEY"),
    ],
)
def test_variable_of_each_slot(vault: Vault, store: Store, provider: str, slot: str, name: str) -> None:
    """Each slot has one environment variable, and a key in it is found."""
    assert variable(provider, slot) == name
    key = {"anthropic": "sk-ant-00000001", "huggingface": "hf_00000001"}.get(provider, KEY)
    assert ask(store, source(vault, {name: key}), provider, slot) == key


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, {"HF_TOKEN": "hf_00000000"}])
def test_no_key_anywhere_is_none(vault: Vault, store: Store, environ: dict[str, str]) -> None:
    """A variable that is unset, empty or not ours gives no key."""
    keys = source(vault, environ)
    assert ask(store, keys, "openai", "primary") is None
    assert ask(store, keys, "huggingface", "primary") is None


@pytest.mark.parametrize("allowed", [True, False])
def test_vault_comes_first(
    vault: Vault, store: Store, allowed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A key in the vault is used without a warning, whatever the environment holds."""
    vault.add("openai", "primary", Secret(KEY))
    assert ask(store, source(vault, {"OPENAI_API_KEY": OTHER}, allowed=allowed), "openai", "primary") == KEY
    assert caplog.records == []


def test_environment_key_warns_once_per_provider(
    vault: Vault, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The first use of a provider's variable logs a warning with the remedy and without the key."""
    keys = source(vault, {"OPENAI_API_KEY": KEY, "OPENAI_API_KEY_BACKUP": OTHER, "GROQ_API_KEY": OTHER})
    with caplog.at_level(logging.WARNING):
        for provider, slot in [
            ("openai", "primary"),
            ("openai", "primary"),
            ("openai", "backup"),
            ("groq", "primary"),
        ]:
            assert ask(store, keys, provider, slot) in (KEY, OTHER)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    for message, name in zip(messages, ("OPENAI_API_KEY", "GROQ_API_KEY"), strict=True):
        assert message.startswith("keys.environment.used")
        assert f"variable={name}" in message
        assert "supernova keys import-env" in message
        assert KEY not in message
        assert OTHER not in message


def test_environment_key_is_refused_where_not_allowed(vault: Vault, store: Store) -> None:
    """If environment keys are not allowed, a set variable is an error that names both remedies."""
    keys = source(vault, {"OPENAI_API_KEY": KEY}, allowed=False)
    with pytest.raises(KeyNotFound) as caught:
        ask(store, keys, "openai", "primary")
    for named in ("OPENAI_API_KEY", "production", "supernova keys import-env"):
        assert named in str(caught.value)
    assert KEY not in str(caught.value)
    assert ask(store, keys, "openai", "backup") is None


@pytest.mark.parametrize("text", [KEY, "sk-ant-sécret-0000", "sk-ant-00 000000"])
def test_environment_key_of_a_wrong_format_is_not_used(
    vault: Vault, store: Store, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A text that cannot be a key of the provider is not used: the error names the variable, not the text."""
    keys = source(vault, {"ANTHROPIC_API_KEY": text})
    with pytest.raises(
        KeyNotFound, match=r"ANTHROPIC_API_KEY is not used: .* not a key of anthropic"
    ) as told:
        ask(store, keys, "anthropic", "primary")
    assert text not in str(told.value)
    assert caplog.records == []


def test_key_of_a_custom_endpoint_may_have_any_format(vault: Vault, store: Store) -> None:
    """A custom endpoint's key may have any format that an HTTP header can carry."""
    environ = {"OPENAI_API_KEY": "local-00000001", "OPENAI_API_KEY_BACKUP": "lócal-00000001"}
    keys = KeySource(
        vault, environ=environ, allow_environment=True, environment_name="x", custom_endpoints={"openai"}
    )
    assert ask(store, keys, "openai", "primary") == "local-00000001"
    with pytest.raises(KeyNotFound, match="OPENAI_API_KEY_BACKUP is not used"):
        ask(store, keys, "openai", "backup")
    del environ["OPENAI_API_KEY_BACKUP"]
    ((info,), _) = import_environment(vault, environ, custom_endpoints={"openai"})
    assert vault.reveal("openai", "primary").reveal() == "local-00000001"
    assert info.provider == "openai"


def test_import_moves_keys_into_the_vault(vault: Vault, store: Store) -> None:
    """Import adds every key of the environment and audits each with its variable; the source then uses it."""
    environ = {"OPENAI_API_KEY": KEY, "HUGGINGFACE_API_TOKEN_BACKUP": "hf_00000001"}
    infos, _ = import_environment(vault, environ)
    assert infos == vault.list()[::-1]
    imported = [event for event in vault.audit_events() if event.event == "key.imported"]
    assert [event.subject for event in imported] == ["openai/primary", "huggingface/backup"]
    assert '"variable": "OPENAI_API_KEY"' in imported[0].details
    assert ask(store, source(vault, environ, allowed=False), "openai", "primary") == KEY
    assert vault.verify_audit().ok


def test_import_again_replaces_nothing(vault: Vault) -> None:
    """A key that the vault holds is not added again; a slot with another key is skipped and reported."""
    import_environment(vault, {"OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY}, ["openai", "groq"])
    again = import_environment(vault, {"OPENAI_API_KEY": OTHER, "GROQ_API_KEY": KEY}, ["openai", "groq"])
    assert again == ([], ["OPENAI_API_KEY"])
    assert vault.reveal("openai", "primary").reveal() == KEY


def test_import_does_not_replace_an_expired_key(vault: Vault) -> None:
    """The variable may hold the very key that expired."""
    vault.add("openai", "primary", Secret(KEY))
    lifecycle.set_expiry(vault, "openai", "primary", datetime(2020, 1, 1, tzinfo=UTC))
    assert import_environment(vault, {"OPENAI_API_KEY": KEY}) == ([], ["OPENAI_API_KEY"])


def test_import_is_all_or_nothing_on_wrong_keys(vault: Vault) -> None:
    """If one key has a wrong format, no key is imported; the error names its variable and provider."""
    with pytest.raises(KeyFormatError, match=r"ANTHROPIC_API_KEY .* not a key of anthropic"):
        import_environment(vault, {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY})
    assert vault.list() == []


def test_import_of_nothing_needs_no_master(store: Store) -> None:
    """Without a key in the environment, import needs no master key."""

    def refuse() -> MasterKey:
        raise AssertionError("the master was asked for")

    assert import_environment(Vault(store, refuse), {}) == ([], [])
