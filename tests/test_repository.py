"""What a contributor and a program that depends on this package rely on, outside the code itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

PINNED = {"litellm", "xllamacpp"}
"""Only tested versions of these are taken: their internals, or their whole API, change between versions."""


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_no_dependency_has_an_upper_bound() -> None:
    """A program that needs a newer version of a dependency can have this package too."""
    project = _project()["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    capped = {
        re.split(r"[\[<>=!~ ;]", requirement)[0]
        for requirement in [*project["dependencies"], *extras]
        if re.search(r"<|==|~=", requirement)
    }
    assert capped == PINNED


def test_a_checkout_keeps_to_the_tested_versions() -> None:
    """Each dependency without an upper bound has one in uv's constraints, so ``uv run`` is reproducible."""
    settings = _project()
    constrained = {name.partition("<")[0] for name in settings["tool"]["uv"]["constraint-dependencies"]}
    extras = settings["project"]["optional-dependencies"].values()
    named = [*settings["project"]["dependencies"], *(name for names in extras for name in names)]
    declared = {re.split(r"[\[<>=!~ ;]", requirement)[0] for requirement in named}
    assert constrained == declared - PINNED - {"tzdata"}  # tzdata's versions are dates and hold data only
