"""Killed at any write, a backup or a restore has happened or has not; the next start tidies up."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.config import Loaded
from supernova_ai.operations.backup import snapshot
from supernova_ai.operations.backup.inspection import inspect
from supernova_ai.operations.backup.pending import finish_interrupted
from supernova_ai.operations.backup.retention import backups_in
from supernova_ai.store import Store
from tests.operations.backup.conftest import (
    MASTER,
    PASSPHRASE,
    Back,
    Restore,
    contents,
    no_temporary_files,
    vault_of,
)
from tests.processes import run_in_child
from tests.upkeep.sample_ledger import run

pytestmark = pytest.mark.proof

_WRITES = {"write", "fsync", "replace", "rename", "open", "mkdir", "unlink", "rmdir", "copyfile", "execute"}
"""The functions of C that change files or the database, or prepare to."""

each_engine = pytest.mark.parametrize(
    ("new_database", "most"), [("sqlite", 9), ("postgresql", 3)], indirect=["new_database"]
)
"""With how many deaths at most for each function, from its first call to its last."""


def _watch(see: Callable[[str], object], work: Callable[[], object]) -> None:
    """Do the work, and see the name of each write of any thread before it happens."""

    def before(_frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ in _WRITES:
            see(function.__name__)

    threading.setprofile(before)
    sys.setprofile(before)
    work()
    sys.setprofile(None)


def _die_at(name: str, number: int, work: Callable[[], object]) -> None:
    left = count(number, -1)

    def see(seen: str) -> None:
        if seen == name and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch(see, work)


def _count(work: Callable[[], object], tell: Path) -> None:
    seen: Counter[str] = Counter()
    _watch(lambda name: seen.update([name]), work)
    tell.write_text(json.dumps(seen))


def deaths(work: Callable[[], object], tell: Path, most: int) -> Iterator[None]:
    """Yield after the work was done, and after a child died in the middle of it, for each write."""
    assert run_in_child(partial(_count, work, tell)) == 0
    yield
    for name, times in json.loads(tell.read_text()).items():
        for number in sorted({round(index * (times - 1) / (most - 1)) for index in range(most)}):
            # The last of its writes may not come again: the database grows.
            assert run_in_child(partial(_die_at, name, number, work)) in (-signal.SIGKILL, 0)
            yield


@each_engine
def test_a_killed_backup_is_whole_or_absent(
    source: Store, loaded: Loaded, tmp_path: Path, where: str, most: int
) -> None:
    """Each file that has its name is whole, and after the next backup each is audited, and no other is."""
    folder = tmp_path / "backups"

    def work() -> None:
        with Store(where) as store:
            snapshot.create(store, vault_of(store), loaded, to=folder, passphrase=PASSPHRASE, master=MASTER)

    made: Counter[str] = Counter()
    for _ in deaths(work, tmp_path / "writes", most):
        for one in backups_in(folder):
            inspect(one.file, PASSPHRASE)
        work()
        made.update(one.file.name for one in backups_in(folder))
        events = [event for event in vault_of(source).audit_events() if event.event == "backup.created"]
        assert Counter(event.subject for event in events) == made
        assert {event.outcome for event in events} == {"done"}
        assert no_temporary_files(folder)
        for one in backups_in(folder):
            one.file.unlink()
    assert vault_of(source).verify_audit().ok


@each_engine
def test_a_killed_restore_has_happened_or_not(
    back_up: Back, restore_into: Restore, source: Store, where: str, tmp_path: Path, most: int
) -> None:
    """Database, configuration and master key are all as before or all restored, once the next command ran."""
    made = back_up()
    home = tmp_path / "home"
    config = home / "config" / "supernova.yaml"
    config.parent.mkdir(parents=True)
    run(source, "INSERT INTO journal (at_ms, event, before, after, reason) VALUES (1, 'x', '', '', 'later')")
    old = contents(source, without=("audit", "meta"))

    def reset() -> None:
        """Bring the state before back."""
        restore_into(before.file, where, replace=True, master_to="none")
        config.write_text("{}")
        (home / "master.key").unlink(missing_ok=True)

    before = back_up()
    work = partial(restore_into, made.file, where, replace=True)
    outcomes = set()
    reset()
    for _ in deaths(work, tmp_path / "writes", most):
        finish_interrupted(home)
        now = contents(source, without=("audit", "meta"))
        restored = now != old
        outcomes.add(restored)
        assert config.read_text() == (
            "{}" if not restored else (tmp_path / "config" / config.name).read_text()
        )
        assert (home / "master.key").exists() is restored
        assert len(now["journal"]) == len(old["journal"]) - restored
        assert vault_of(source).verify_audit().ok
        assert not list(home.glob(".restore-*"))
        for one in backups_in(home / "backups"):
            inspect(one.file, PASSPHRASE)
        if restored:
            reset()
    assert outcomes == {True, False}
    work()
    assert no_temporary_files(home)
