"""Every test here runs in a folder of its own, with no configuration of the machine in reach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai.config.environment import OTHERS, VARIABLES

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty working folder, with the user's own folders moved away and no variable set."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in {variable.name for variable in VARIABLES} | OTHERS:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Return a function that writes a text file under the working folder, and returns its relative path."""

    def write(name: str, text: str) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return Path(name)

    return write
