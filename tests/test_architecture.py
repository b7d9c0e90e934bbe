"""docs/architecture.md names the file of each behaviour, and draws each folder and module."""

from __future__ import annotations

import re
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import pytest

import supernova_ai

ROOT = Path(supernova_ai.__file__).parent
PAGE = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = re.findall(r"^\| (.+?) \| `([\w/]+)\.py` \| `([\w.]+)` \|$", PAGE, re.MULTILINE)


def test_ten_behaviours_are_listed() -> None:
    """The page lists ten behaviours, such as placing a hold, finding a price or resuming a stream."""
    assert len(PLACES) == 10


@pytest.mark.parametrize(("behaviour", "file", "symbol"), PLACES)
def test_each_behaviour_is_where_the_page_says(behaviour: str, file: str, symbol: str) -> None:
    """The file defines the symbol itself: it does not import it from elsewhere."""
    module = import_module(f"supernova_ai.{file.replace('/', '.')}")
    assert attrgetter(symbol)(module).__module__ == module.__name__, behaviour


def test_every_folder_and_module_is_drawn() -> None:
    """Each folder and each module at the top of the package is in the drawing."""
    drawing = PAGE.partition("```text\n")[2].partition("```")[0]
    rooms = {f"{path.name}/" for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    modules = {path.name for path in ROOT.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert rooms | modules == set(re.findall(r"\b\w+(?:\.py\b|/(?= |$))", drawing, re.MULTILINE))


def test_every_file_named_in_a_page_exists() -> None:
    """A page that names a file is corrected when the file moves; NNNN and NAME stand for a name to choose."""
    root = ROOT.parent
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    named = {
        (page.name, path)
        for page in pages
        for path in re.findall(
            r"\b(?:supernova_ai|tests|benchmarks|examples)/[\w/.-]*\w", page.read_text("utf-8")
        )
    }
    assert [
        (page, path)
        for page, path in sorted(named)
        if not (root / path).exists() and not re.search("NNNN|NAME", path)
    ] == []
