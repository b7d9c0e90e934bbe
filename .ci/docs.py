"""Build the documentation site into ``site/``. A link or an anchor that leads nowhere fails the build.

    python .ci/docs.py

README is the first page; then come the pages of docs/ and those in ``OTHERS``. Links between them stay links
between pages, and pictures stay pictures. A link to any other file of the repository leads to the repository
on the web.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / ".ci" / "zensical.toml"
OTHERS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "cassettes/README.md": "cassettes.md",
}
"""The pages outside docs/, and the name of each in the site."""

_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_LOST = re.compile(r"^(?:[-*] |1\. |\|).*$", re.MULTILINE)


def pages() -> dict[str, str]:
    """Return the name in the site of each page, by its path in the repository."""
    return {f"docs/{page.name}": page.name for page in sorted(ROOT.glob("docs/*.md"))} | OTHERS


def pictures() -> dict[str, str]:
    """Return the name in the site of each picture, by its path in the repository."""
    return {f"docs/pictures/{file.name}": f"pictures/{file.name}" for file in ROOT.glob("docs/pictures/*")}


def relinked(text: str, page: str, names: Mapping[str, str], source: str) -> str:
    """Return a page's Markdown with its links as the site needs them.

    Args:
        text: the page's Markdown.
        page: its path in the repository; links are relative to it.
        names: the names in the site, as ``pages`` returns them.
        source: where the repository's files are on the web.
    """

    def link(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), found[1]))
        if not (ROOT / path).exists():  # an address, or code that looks like a link
            return found[0]
        return f"]({names.get(path, f'{source}/{path}')}{found[2] or ''})"

    return _LINK.sub(link, text)


def unlisted(names: Mapping[str, str], settings: str) -> list[str]:
    """Return the pages that the navigation in the settings leaves out."""
    return [page for page, name in names.items() if f'"{name}"' not in settings]


def lost_formats(html: str) -> Iterator[str]:
    """Yield each line of a list or table that became plain text, which the Markdown itself does not show."""
    for paragraph in _PARAGRAPH.findall(html):
        yield from _LOST.findall(paragraph)


def main() -> int:
    """Build the site; return the exit status."""
    names = pages()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = f"{project['urls']['Source']}/blob/main"
    settings = SETTINGS.read_text(encoding="utf-8")
    faults = [f"{page} is missing in 'nav' of .ci/zensical.toml" for page in unlisted(names, settings)]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(SETTINGS, work)
        (work / "docs").mkdir()
        shutil.copytree(ROOT / "docs" / "pictures", work / "docs" / "pictures")
        for page, name in names.items():
            text = (ROOT / page).read_text(encoding="utf-8")
            linked = relinked(text, page, names | pictures(), source)
            (work / "docs" / name).write_text(linked, encoding="utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        if status := subprocess.run(command, cwd=work, check=False).returncode:  # noqa: S603 - words of ours
            return status
        shutil.rmtree(ROOT / "site", ignore_errors=True)
        shutil.copytree(work / "site", ROOT / "site")
    for file in sorted((ROOT / "site").glob("*.html")):
        for line in lost_formats(file.read_text(encoding="utf-8")):
            faults.append(f"{file.stem}: put an empty line before this list or table: {line[:80]}")
    for fault in faults:
        print(fault)  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
