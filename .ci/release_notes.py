"""Print what CHANGELOG.md says of a version; fail where the version is not ready to be released.

python .ci/release_notes.py v0.2.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def notes(changelog: str, version: str) -> str:
    """Return the section of a version, without its heading; empty if there is none."""
    heading = rf"^## \[{re.escape(version)}\][^\n]*\n"
    found = re.search(rf"{heading}(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def obstacles(project: Mapping[str, Any], changelog: str, version: str) -> list[str]:
    """Return what keeps the version from being released."""
    found = []
    if project["version"] != version:
        found.append(f"the version in pyproject.toml is {project['version']}, not {version}")
    if not notes(changelog, version):
        found.append(f"CHANGELOG.md has no section '## [{version}]', or nothing in it")
    if any(".example" in url for url in project["urls"].values()):
        found.append("[project.urls] in pyproject.toml has placeholders: give the project's real addresses")
    return found


def main() -> int:
    """Print the notes, or what is wrong on standard error; return the exit status."""
    version = sys.argv[1].removeprefix("v")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if wrong := obstacles(project, changelog, version):
        print("\n".join(wrong), file=sys.stderr)  # noqa: T201
        return 1
    print(notes(changelog, version))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
