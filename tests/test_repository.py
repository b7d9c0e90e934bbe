"""What a contributor and a program that depends on this package rely on, outside the code itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

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
