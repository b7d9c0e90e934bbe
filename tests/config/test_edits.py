"""Writing several files of a configuration: all or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from supernova_ai.config import edits
from supernova_ai.errors import ConfigError


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "config" / "supernova.yaml"
    base.parent.mkdir()
    base.write_text("old")
    base.chmod(0o640)
    return base


def names(base: Path) -> set[str]:
    """Return the files beside the base file, without the lock."""
    return {path.name for path in base.parent.iterdir()} - {f".{base.name}.lock"}


def test_files_are_written_made_and_removed(base: Path) -> None:
    """Changed files keep their mode, new ones get that of the base file, and None removes one."""
    new, gone = base.parent / "prompts" / "new.md", base.parent / "gone.md"
    gone.write_text("gone")
    with edits.locked(base), edits.replacing(base, {base: b"new", new: b"made", gone: None}):
        pass
    assert (base.read_text(), new.read_text(), gone.exists()) == ("new", "made", False)
    assert [path.stat().st_mode & 0o777 for path in (base, new)] == [0o640, 0o640]
    assert names(base) == {"supernova.yaml", "prompts"}


def test_a_failure_brings_everything_back(base: Path) -> None:
    """If what follows fails, every file is as it was, and the error is raised."""
    new, gone = base.parent / "new.md", base.parent / "gone.md"
    gone.write_text("gone")
    files = {base: b"new", new: b"made", gone: None}
    with pytest.raises(ZeroDivisionError), edits.locked(base), edits.replacing(base, files):
        _ = 1 / 0
    assert (base.read_text(), gone.read_text()) == ("old", "gone")
    assert names(base) == {"supernova.yaml", "gone.md"}


def test_a_file_that_cannot_be_written(base: Path) -> None:
    """If one file cannot be written, none is changed, and the error names it."""
    (base.parent / "prompts").write_text("a file, where a folder must be")
    files = {base: b"new", base.parent / "prompts" / "new.md": b"made"}
    with pytest.raises(ConfigError, match="no file was changed"), edits.replacing(base, files):
        pass
    assert base.read_text() == "old"


def test_a_killed_edit_is_finished(base: Path) -> None:
    """The next start writes what the journal says, and removes an unfinished journal."""
    new = base.parent / "new.md"
    base.with_name(".supernova.yaml.journal").write_text(f'[["{base}", "new"], ["{new}", "\\udcff"]]')
    unfinished = base.with_name("..supernova.yaml.journal.new")
    unfinished.write_text("[[")
    edits.finish(base)
    assert (base.read_text(), new.read_bytes()) == ("new", b"\xff")
    assert not unfinished.exists()
    edits.finish(base)
