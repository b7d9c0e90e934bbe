"""What a contributor and a program that depends on this package rely on, outside the code itself."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SITE = runpy.run_path(str(ROOT / ".ci" / "docs.py"))
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


def test_contributing_names_what_is_there() -> None:
    """Each file and each name of a table that CONTRIBUTING.md points to exists there."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\.ci|\.github|config|docs|supernova_ai|tests)/[\w./-]+)`", page)
    assert [path for path in named if not re.search("NAME|NNNN", path) and not (ROOT / path).exists()] == []
    rows = re.findall(r"^\| `(supernova_ai/\S+\.py)` \| ((?:`[A-Z_]+`(?:, )?)+):", page, re.MULTILINE)
    inline = re.findall(r"`(\w+)` in `(supernova_ai/\S+\.py)`", page)
    tables = [(file, name) for file, names in rows for name in re.findall(r"\w+", names)]
    tables += [(file, name) for name, file in inline]
    assert len(tables) >= 9
    for file, name in tables:
        assert re.search(rf"^{name}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (file, name)


def test_ci_runs_on_each_python_that_is_promised() -> None:
    """The versions in the classifiers are those of the workflow, from the least that can be installed on."""
    project = _project()["project"]
    promised = [name.rpartition(" ")[2] for name in project["classifiers"] if ":: Python :: 3." in name]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_a_commit_runs_the_quick_checks() -> None:
    """The hooks of pre-commit run the commands of .ci/quick, and download nothing."""
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in settings["repos"]] == ["local"]
    hooks = [hook["entry"].removeprefix("uv run --no-sync ") for hook in settings["repos"][0]["hooks"]]
    quick = (ROOT / ".ci" / "quick").read_text(encoding="utf-8").partition('/.."\n')[2].splitlines()
    assert [re.sub(" --force-exclude$", "", hook) for hook in hooks] == [
        re.sub(r"( --check)? \.$", "", command) for command in quick
    ]


def test_links_of_the_site_lead_to_its_pages_or_to_the_repository() -> None:
    """A link to a page becomes the page's name in the site; one to another file, its address on the web."""
    names = SITE["pages"]() | SITE["pictures"]()

    def relinked(text: str, page: str) -> str:
        given: str = SITE["relinked"](text, page, names, "https://x.example/blob/main")
        return given

    assert relinked("[a](docs/keys.md#the-master-key)", "README.md") == "[a](keys.md#the-master-key)"
    assert relinked("[a](../README.md) [b](keys.md)", "docs/cli.md") == "[a](index.md) [b](keys.md)"
    assert relinked("[a](../config/supernova.yaml)", "docs/cli.md") == (
        "[a](https://x.example/blob/main/config/supernova.yaml)"
    )
    assert relinked("![a](docs/pictures/money.png)", "README.md") == "![a](pictures/money.png)"
    for unchanged in ("[a](https://docs.litellm.ai)", "[a](#keys)", "rows[0](key)"):
        assert relinked(unchanged, "README.md") == unchanged


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """A page that the navigation leaves out would be found by nobody, so the build names it."""
    names = SITE["pages"]()
    settings = (ROOT / ".ci" / "zensical.toml").read_text(encoding="utf-8")
    assert SITE["unlisted"](names, settings) == []
    assert SITE["unlisted"](names | {"docs/new.md": "new.md"}, settings) == ["docs/new.md"]


def test_a_list_that_the_site_shows_as_text_is_found() -> None:
    """A list or table without an empty line before it is a paragraph in the site, though not on GitHub."""
    page = (
        "<p>Not seen:\n- one\n- two</p><ul><li>- three</li></ul><p>a\n1. b</p><p>c\n| d | e |</p><p>1 - 2</p>"
    )
    assert list(SITE["lost_formats"](page)) == ["- one", "- two", "1. b", "| d | e |"]


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
