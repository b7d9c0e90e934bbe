"""Every test here runs in its own folder, without the configuration of the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai.config.environment import NOT_SETTINGS, VARIABLES

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty working folder, with other user folders and without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in {variable.name for variable in VARIABLES} | NOT_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Return a function that writes a text file below the working folder and returns its relative path."""

    def write(name: str, text: str) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return Path(name)

    return write
