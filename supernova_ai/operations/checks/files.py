"""Check that files which hold secrets or money belong to this user, and that nobody else can change them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from supernova_ai import config as configuration
from supernova_ai.keys.master_files import usual_file
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import Finding, Severity
from supernova_ai.paths import access_fault


def permissions(subject: Subject) -> Iterator[Finding]:
    """Check the owner and the mode of each file and folder that is used."""
    if os.name != "posix":
        yield Finding("files", "note", "permissions are not checked on this system")
        return
    wrong = 0
    for path, private in _files(subject):
        for finding in _one(path, private=private):
            wrong += 1
            yield finding
    if not wrong:
        yield Finding("files", "ok", "no other user can change the configuration or read keys and ledger")


def _files(subject: Subject) -> Iterator[tuple[Path, bool]]:
    """Yield each file and folder, and whether other users may not even read it."""
    store = subject.opened
    if store is not None and store.file is not None:
        yield from ((path, True) for path in store.file.parent.glob(f"{store.file.name}-*"))
    environ = configuration.read_environ()
    yield configuration.data_folder(environ), True
    yield usual_file(environ), True
    yield from subject.loaded.files.items()


def _one(path: Path, *, private: bool) -> Iterator[Finding]:
    if fault := access_fault(path, private=private):
        fix = None if fault.foreign else partial(path.chmod, fault.mode)
        severity: Severity = "error" if fault.foreign else "warning"
        yield Finding("files", severity, fault.reason, fault.remedy, fix=fix)
