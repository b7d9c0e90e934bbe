"""The end of a program whose calls still run: their holds end, and it exits at once without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import pytest

from supernova_ai.testing import Answer, StubProvider
from tests import clients
from tests.processes import running

Stub = Callable[..., StubProvider]

UNFINISHED = """
import sys, threading
from supernova_ai import SupernovaSync, chat_sync, stream_sync

nova = SupernovaSync("supernova.yaml")
half_read = nova.stream("What now?", user_id="never closed")
next(half_read)
dropped = stream_sync("What now?", user_id="left half-read")
next(dropped)

read = threading.Event()

def read_on():
    for _ in stream_sync("What now?", user_id="daemon, stream"):
        read.set()

def ask():
    next(stream_sync("What now?", user_id="daemon, dropped"))
    chat_sync("What now?", user_id="daemon, chat")

threading.Thread(target=read_on, daemon=True).start()
threading.Thread(target=ask, daemon=True).start()
read.wait()
sys.stdin.read()  # until the provider has all requests
"""

IMPORTING = """
import sys, threading
from supernova_ai import chat_sync

threading.Thread(target=chat_sync, args=("What now?",), daemon=True).start()
while "litellm.utils" not in sys.modules:
    threading.Event().wait(0.01)
"""

INTERRUPTED = """
import signal
from supernova_ai import chat_sync

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
try:
    chat_sync("What now?")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def stub(stub_provider: Stub) -> StubProvider:
    """A provider that sends one word of a stream, and never an end."""
    return stub_provider(Answer("Diversify, always.", gate=Event()))


@pytest.fixture
def start(
    stub: StubProvider, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], AbstractContextManager[subprocess.Popen[str]]]:
    """Start a program in a process of its own, whose only provider is the stub."""
    config = clients.configure(path, {"openai": stub.url})
    (tmp_path / "supernova.yaml").write_text(config.model_dump_json(exclude_unset=True))
    monkeypatch.setenv("SUPERNOVA_CONFIG", "supernova.yaml")
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", bytes(32).hex())

    def start(program: str) -> AbstractContextManager[subprocess.Popen[str]]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", program]
        return running(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    return start


Start = Callable[[str], AbstractContextManager[subprocess.Popen[str]]]


@pytest.mark.proof
def test_exit_ends_what_still_runs(start: Start, stub: StubProvider, path: Path) -> None:
    """At exit, clients that were never closed, half-read streams and calls of daemon threads end their holds.

    The program exits with 0 and prints nothing.
    """
    with start(UNFINISHED) as program:
        stub.wait_for_requests(5, 300)
        assert program.communicate("", 60) == ("", "")
    assert program.returncode == 0
    rows = {str(row.user): row.state for row in clients.attempts(path)}
    assert rows == {
        "never closed": "settled",
        "left half-read": "settled",
        "daemon, stream": "settled",
        "daemon, dropped": "settled",
        "daemon, chat": "lost",
    }
    assert clients.window(path).held == 0


def test_exit_during_the_first_call(start: Start, path: Path) -> None:
    """A program may exit while a daemon thread still imports LiteLLM; it prints nothing."""
    with start(IMPORTING) as program:
        assert program.communicate("", 300) == ("", "")
    assert program.returncode == 0
    assert clients.attempts(path) == []


@pytest.mark.proof
def test_ctrl_c_ends_the_call(start: Start, stub: StubProvider, path: Path) -> None:
    """Ctrl-C raises KeyboardInterrupt from the call, and the hold has ended when the program has."""
    with start(INTERRUPTED) as program:
        stub.wait_for_requests(1, 300)
        program.send_signal(signal.SIGINT)
        assert program.communicate("", 60) == ("interrupted\n", "")
    (row,) = clients.attempts(path)
    assert (row.state, row.error) == ("lost", "Cancelled")
