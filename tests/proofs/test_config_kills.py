"""Edits of the configuration: killed at every write, and made by two processes at once."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peewee import SqliteDatabase

from supernova_ai import config as configuration
from supernova_ai.config.yaml_edit import has_value
from supernova_ai.operations.editing import Edited, Editor
from supernova_ai.secret import Secret
from tests.processes import FORK, kill_at, run_in_child

pytestmark = pytest.mark.proof

OLD = {
    "supernova.yaml": b"streaming: false # no\r\n",
    "environments/trial.yaml": b"routing: {retries: 1}\n",
    "prompts/mine.md": b"---\nname: mine\nversion: 1\ntask: chat\n---\nBe brief.\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of three files in an environment of its own, and a store with a master key."""
    monkeypatch.setenv("SUPERNOVA_ENV", "trial")
    monkeypatch.setenv("SUPERNOVA_MASTER_KEY_FILE", str(tmp_path / "master"))
    (tmp_path / "master").touch(0o600)
    (tmp_path / "master").write_text("5e" * 32)
    folder = tmp_path / "first"
    write(folder, OLD)
    enter(folder, monkeypatch)
    with Editor.open(None) as editor:
        editor.vault.add("openai", "primary", Secret("sk-test-0123456789abcdef"))
        editor.set({"streaming": "true"})
        editor.set({"streaming": "false"})
    return folder


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SUPERNOVA_HOME", str(folder))


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def content() -> dict[str, bytes]:
    """Return every file of the configuration that is there, temporary ones too."""
    base = Path("config")
    return {
        path.relative_to(base).as_posix(): path.read_bytes()
        for path in base.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def kill_at_write(number: int) -> None:
    """Kill this process at its n-th statement, commit, or change of a file."""
    database = (SqliteDatabase, ("execute_sql", "commit"))
    files = (os, ("open", "fsync", "replace", "unlink", "mkdir", "chown"))

    def counts(*args: Any) -> bool:
        return not str(args[1:2]).startswith(("('SELECT", "('PRAGMA"))  # reading needs no proof

    kill_at(number, (database, files), counts)


NEW = {
    "supernova.yaml": b"# another\nstreaming: true\n",
    "environments/trial.yaml": b"routing: {retries: 3}\n",
    "prompts/other.md": OLD["prompts/mine.md"].replace(b"mine", b"other"),
}

Case = tuple[dict[str, bytes], Callable[[Editor], Edited], dict[str, bytes]]

EDITS: dict[str, Case] = {
    "set": (
        OLD,
        lambda editor: editor.set({"streaming": "true"}),
        {**OLD, "supernova.yaml": b"streaming: true # no\r\n"},
    ),
    "apply": (
        OLD,
        lambda editor: editor.apply(Path("new.yaml").read_bytes(), "new.yaml"),
        {**OLD, "supernova.yaml": NEW["supernova.yaml"]},
    ),
    "rollback": (NEW, lambda editor: editor.rollback(1), OLD),
}


@pytest.mark.parametrize("command", EDITS)
def test_killed_at_every_write(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """After each kill the next start finds the old files or the new ones, and a version that has them."""
    old, edit, new = EDITS[command]
    shutil.rmtree(folder / "config")
    write(folder, old)
    (folder / "new.yaml").write_bytes(NEW["supernova.yaml"])
    configuration.load()
    outcomes = []
    for number in range(1000):
        place = tmp_path / str(number)
        shutil.copytree(folder, place)
        enter(place, monkeypatch)

        def work(number: int = number) -> None:
            with Editor.open(None) as editor:
                kill_at_write(number)
                edit(editor)
            os._exit(0)

        code = run_in_child(work)
        assert code in (0, -signal.SIGKILL)
        configuration.load()  # as the next start does
        found = content()
        assert found in (old, new), f"write {number}"
        outcomes.append(found == new)
        with Editor.open(None) as editor:
            assert editor.problem is None
            editor.versions.record(editor.loaded, "reload")
            latest = editor.versions.latest()
            assert latest
            assert editor.versions.texts(latest) == found
            assert editor.vault.verify_audit().ok
        shutil.rmtree(place)
        if code == 0:
            break
    assert outcomes == sorted(outcomes)  # once the new files win, they always do
    assert (outcomes[0], outcomes[-1]) == (False, True)
    print(f"{command}: {len(outcomes)} writes, the new files win at {outcomes.index(True)}")
    assert len(outcomes) > 20


def test_two_processes_edit_at_once(folder: Path, tmp_path: Path) -> None:
    """No edit of two processes is lost, and each is a version."""
    keys = {
        0: ["health.every", "health.idle", "alerts.spike.factor"],
        1: ["routing.wait", "routing.deadline", "cache.ttl"],
    }

    def edit(which: int) -> None:
        for key in keys[which]:
            with Editor.open(None) as editor:
                editor.set({key: "55"})

    processes = [FORK.Process(target=edit, args=(which,)) for which in keys]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert b"".join(content().values()).count(b"55") == 6
    base = (folder / "config" / "supernova.yaml").read_text()
    assert has_value(base, Path("x"), "cache.ttl")
    with Editor.open(None) as editor:
        assert [version.cause for version in editor.versions.newest(6)] == ["set"] * 6
