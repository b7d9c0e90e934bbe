from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the user's templates."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    return folder


@pytest.fixture
def write(folder: Path) -> Write:
    """Return a function that writes a user's template with name, version, task, ``header`` and ``body``."""

    def write(name: str, header: str = "", body: str = "Be brief.") -> Path:
        file = folder / f"{name}.md"
        file.write_text(f"---\nname: {name}\nversion: 1\ntask: chat\n{dedent(header)}---\n{body}\n")
        return file

    return write
