"""Edits of the configuration's files that are only tried, and settings that change together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supernova_ai.errors import ConfigError
from supernova_ai.operations.editing import Edited, Editor, holds_secret
from supernova_ai.secret import Secret

YAML = "# ours\nstreaming: false\n"


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Editor]:
    """An editor of a file in a store that has a master key, and two versions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "5e" * 32)
    file = tmp_path / "supernova.yaml"
    file.write_text(YAML)
    with Editor.open(file) as editor:
        editor.vault.add("openai", "primary", Secret("sk-test-0123456789abcdef"))
        editor.set({"routing.retries": "3"})
        yield editor


TRIED: dict[str, Callable[[Editor], Edited]] = {
    "streaming: false → true": lambda editor: editor.set({"streaming": "true"}, write=False),
    "routing.retries: 3 → 2": lambda editor: editor.apply(b"# nothing\n", "the text", write=False),
    "routing.retries: 3 → 2 ": lambda editor: editor.rollback(1, write=False),
}


@pytest.mark.parametrize("change", TRIED)
def test_an_edit_that_is_tried_changes_nothing(editor: Editor, change: str) -> None:
    """It says what would change, also of a file that was edited by hand before, and records nothing."""
    base = editor.loaded.base
    assert base
    base.write_text(f"{base.read_text()}cache: {{ttl: 60}}\n")
    before = base.read_bytes(), editor.versions.newest(9), list(editor.vault.audit_events())
    tried = TRIED[change](editor)
    assert change.strip() in map(str, tried.changes)
    assert (tried.version, tried.files) == (None, (base,))
    assert (base.read_bytes(), editor.versions.newest(9), list(editor.vault.audit_events())) == before


def test_a_tried_edit_is_checked(editor: Editor) -> None:
    """What would not be valid is refused as the edit itself would be; an error names the text."""
    with pytest.raises(ConfigError, match="must be less than or equal to 10"):
        editor.set({"routing.retries": "99"}, write=False)
    with pytest.raises(ConfigError, match=r"the text:1: streaming"):
        editor.apply(b"streaming: 3\n", "the text", write=False)


def test_settings_change_together(editor: Editor) -> None:
    """All are one version, also where the first one writes the default budgets into the file."""
    settings = {"budgets.daily.limit": "60", "budgets.monthly.limit": "700", "streaming": "true"}
    edited = editor.set(settings)
    assert sorted(map(str, edited.changes)) == [
        "budgets.daily.limit: 50 → 60",
        "budgets.monthly.limit: 1000 → 700",
        "streaming: false → true",
    ]
    assert edited.version
    assert edited.version.number == 3


@pytest.mark.parametrize(
    ("key", "value", "held"),
    [
        ("routing.retries", "3", False),
        ("providers.openai.api_base", "https://llm.example.com/v1", False),
        ("alerts.notify", "[vault:slack]", False),
        ("alerts.notify", "[slack://a/b/c]", True),
        ("environments.production", "{alerts: {notify: ['slack://a/b/c']}}", True),
        ("database", "postgresql://ann:pw@db/nova", True),
        ("logs.file", "sk-test-0123456789abcdef", True),
    ],
)
def test_secrets_in_values(key: str, value: str, held: bool) -> None:
    """A password, a token of a URL and a key are found wherever they stand."""
    assert holds_secret(key, value) is held
