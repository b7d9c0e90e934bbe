"""Every error class that an attempt can end with has a note, which docs/operations.md has too."""

from __future__ import annotations

import re
from pathlib import Path

from supernova_ai import errors
from supernova_ai.errors import KeyFormatError, ProviderError, VaultError
from supernova_ai.health import NOTES
from tests.terminal.test_output import every_command

RUNBOOK = Path(__file__).parents[2] / "docs" / "operations.md"
BY_CALLERS = {"Cancelled", "Abandoned", "Withdrawn", "ProcessDied"}
OF_THIS_MACHINE = {"StoreError", "NoProvider"}


def names(kind: type[Exception]) -> set[str]:
    public = [below for below in kind.__subclasses__() if below.__module__ == errors.__name__]
    return {kind.__name__}.union(*map(names, public))


def test_every_class_has_a_note() -> None:
    """Errors of providers, of keys and of this machine, and calls that were given up; nothing else."""
    never_sent = {KeyFormatError.__name__}
    known = names(ProviderError) | names(VaultError) | OF_THIS_MACHINE | BY_CALLERS
    assert set(NOTES) == known - never_sent


def test_the_runbook_has_the_same_notes() -> None:
    """Its table is this one, in the same order."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    notes = [(error, *note) for error, note in NOTES.items()]
    assert [row for row in rows if row[0] in NOTES] == notes


def test_commands_of_notes_exist() -> None:
    """A remedy names no command that there is not."""
    named = re.findall(r"`supernova (\w+ ?[\w-]*)", " ".join(note.remedy for note in NOTES.values()))
    assert {name.strip() for name in named} <= every_command()
