"""What a contributor and a program that depends on this package rely on, outside the code itself."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RELEASE = runpy.run_path(str(ROOT / ".ci" / "release_notes.py"))

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


def test_ci_runs_on_each_python_that_is_promised() -> None:
    """The versions in the classifiers are those of the workflow, from the least that can be installed on."""
    project = _project()["project"]
    promised = [name.rpartition(" ")[2] for name in project["classifiers"] if ":: Python :: 3." in name]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"
    assert job["steps"][-1] == {"run": ".ci/run"}


def test_a_commit_runs_the_quick_checks() -> None:
    """The hooks of pre-commit run the commands of .ci/quick, and download nothing."""
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in settings["repos"]] == ["local"]
    hooks = [hook["entry"].removeprefix("uv run --no-sync ") for hook in settings["repos"][0]["hooks"]]
    quick = (ROOT / ".ci" / "quick").read_text(encoding="utf-8").partition('/.."\n')[2].splitlines()
    assert [re.sub(" --force-exclude$", "", hook) for hook in hooks] == [
        re.sub(r"( --check)? \.$", "", command) for command in quick
    ]


CHANGELOG = """# Changelog

## [Unreleased]

- Later.

## [0.2.0] – 2027-01-31

### Added

- Sooner.

## [0.1.0] – 2026-12-01

- First.
"""


def test_release_notes_are_the_section_of_the_version() -> None:
    """The notes have what CHANGELOG says of this version and no other, without its heading."""
    assert RELEASE["notes"](CHANGELOG, "0.2.0") == "### Added\n\n- Sooner."
    assert RELEASE["notes"](CHANGELOG, "0.1.0") == "- First."
    assert RELEASE["notes"](CHANGELOG, "0.2") == ""


def test_a_version_that_is_not_ready_is_not_released() -> None:
    """Another version in pyproject.toml, no section in CHANGELOG, and placeholders for addresses stop it."""
    ready = {"version": "0.2.0", "urls": {"Source": "https://code.test/supernova"}}
    assert RELEASE["obstacles"](ready, CHANGELOG, "0.2.0") == []
    placeholder = {"version": "0.2.0", "urls": {"Source": "https://supernova-ai.example"}}
    assert [found.split()[:2] for found in RELEASE["obstacles"](placeholder, CHANGELOG, "0.3.0")] == [
        ["the", "version"],
        ["CHANGELOG.md", "has"],
        ["[project.urls]", "in"],
    ]
