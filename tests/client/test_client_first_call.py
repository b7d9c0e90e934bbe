"""Tests of the first call: what was imported for it, and when."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai.testing import Answer, StubProvider
from tests import clients

Stub = Callable[..., StubProvider]

FIRST_CALL = """
import asyncio, os, sys
from supernova_ai import SupernovaSync

nova = SupernovaSync()
child = os.fork()
if not child:
    os._exit("supernova_ai.runtime" not in sys.modules)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
nova.warm_up()
before = set(sys.modules)
nova.chat("What now?")
with nova.stream("And then?") as tokens:
    list(tokens)
print(sorted(set(sys.modules) - before))
"""

LEFT_AT_ONCE = """
import atexit, sys

atexit.register(lambda: print("supernova_ai.runtime" in sys.modules))  # called last
from supernova_ai import Supernova

Supernova()
"""


@pytest.fixture
def run(
    stub_provider: Stub, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a program in a process of its own, whose only provider answers."""
    stub = stub_provider(Answer("Diversify."))
    config = clients.configure(path, {"openai": stub.url})
    (tmp_path / "supernova.yaml").write_text(config.model_dump_json(exclude_unset=True))
    monkeypatch.setenv("SUPERNOVA_CONFIG", "supernova.yaml")
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", bytes(32).hex())

    def run(program: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.mark.proof
def test_import_begins_with_the_client_and_leaves_nothing_to_calls(run: Run) -> None:
    """A fork waits for the import that a client began to end. After ``warm_up`` calls import nothing."""
    done = run(FIRST_CALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n[]\n", "")


def test_exit_ends_the_import(run: Run) -> None:
    """A program that makes a client and exits at once does not wait for the whole import."""
    done = run(LEFT_AT_ONCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
