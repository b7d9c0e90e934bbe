from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a user's own templates are."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    return folder


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a template of the user's own: a header, in which name, version and task are given, and a text."""

    def write(name: str, header: str = "", body: str = "Be brief.") -> Path:
        file = folder / f"{name}.md"
        file.write_text(f"---\nname: {name}\nversion: 1\ntask: chat\n{dedent(header)}---\n{body}\n")
        return file

    return write
