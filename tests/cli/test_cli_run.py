"""``supernova run``, ``maintain`` and ``jobs``."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from supernova_ai import config as configuration
from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.keys import open_vault
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.leader import Leader, current_holder
from supernova_ai.reload.versions import Versions
from supernova_ai.store import Store
from supernova_ai.testing import StubProvider
from tests.cli.conftest import KEY, Supernova
from tests.waiting import comes_true


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(configuration.load().database)


@pytest.fixture(autouse=True)
def _without_probes(configure: Callable[..., Path]) -> None:
    configure("http://127.0.0.1:9", health={"probes": "off"})


def test_jobs_are_listed(supernova: Supernova) -> None:
    """The list has each job, its schedule, and who leads; --check exits with 1 if nobody does."""
    listed = supernova("jobs")
    assert re.search(r"verify +Mondays 04:00 +- +- +never ran +due", listed.out)
    assert "leads: no process; start one with `supernova run`" in listed.out
    assert supernova("jobs", "--check").code == 1
    (off,) = [job for job in supernova("jobs", "--json").json["jobs"] if job["name"] == "probes"]
    assert (off["schedule"], off["state"], off["next"]) == (None, "never ran", None)


def test_due_jobs_run_once(supernova: Supernova) -> None:
    """All are due at first; each says what it did. Then only those that are due again run."""
    first = supernova("maintain")
    assert (first.code, first.err) == (0, "")
    assert "alerts: none sent: alerts.notify is empty\n" in first.out
    assert "verify: all right\n" in first.out
    done = {job["name"]: job["state"] for job in supernova("jobs", "--json").json["jobs"]}
    assert done["verify"] == "done"
    assert "verify" not in supernova("maintain").out


def test_a_failed_job_is_shown(supernova: Supernova, configure: Callable[..., Path], folder: Path) -> None:
    """The command exits with 1 and the reason, which `supernova jobs` and `supernova alerts` repeat."""
    (folder / "file").touch()
    configure("http://127.0.0.1:9", reports={"periods": ["day"], "folder": str(folder / "file" / "reports")})
    failed = supernova("maintain", "reports")
    assert (failed.code, failed.out.startswith("reports: FAILED: NotADirectoryError: ")) == (1, True)
    assert "reports failed: NotADirectoryError" in supernova("jobs").out
    assert "Write reports of costs: NotADirectoryError" in " ".join(supernova("alerts", "list").out.split())


def test_names_are_checked(supernova: Supernova) -> None:
    """A name that is no job, and a job that is switched off, are refused."""
    assert "'verfy' is no job. Did you mean 'verify'?" in supernova("maintain", "verfy").err
    assert "switches the job 'archive' off" in supernova("maintain", "archive").err


def test_a_leader_is_asked(supernova: Supernova, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process leads, it is named, and asked to run the named jobs."""
    monkeypatch.setattr("supernova_ai.operations.jobs.once.PATIENCE_NAMED_S", 0.0)
    leader = Leader(store)
    leader.claim()
    asked = supernova("maintain", "verify")
    assert asked.code == 1
    assert asked.out.splitlines() == [
        f"{leader.holder} runs the jobs",
        "it was asked to run verify, and has not done so yet: see 'supernova jobs'",
    ]
    assert f"leads: {leader.holder}" in supernova("jobs", "--check").out


@pytest.fixture
def start(script: str, folder: Path, store: Store) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start ``supernova run``, and wait until it is ready."""
    with ExitStack() as started:

        def run() -> subprocess.Popen[str]:
            listener = folder / "notify"
            told = started.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            told.bind(str(listener))
            told.settimeout(60)
            environ = {**os.environ, "NOTIFY_SOCKET": str(listener)}
            process = subprocess.Popen([script, "run"], env=environ, stderr=subprocess.PIPE, text=True)
            started.callback(process.kill)
            assert told.recv(100) == b"READY=1"
            return process

        yield run


@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_cleanly(
    start: Callable[[], subprocess.Popen[str]], store: Store, number: signal.Signals
) -> None:
    """The process leads and runs what is due; told to stop, it stops leading and exits with 0."""
    process = start()
    holder = store.read(current_holder)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert holder
    assert f"process {process.pid}" in holder.name
    warnings = [line for line in errors.splitlines() if "WARNING" in line]
    assert [line for line in warnings if "job.cut_short" not in line] == []  # it may be in the middle of one
    assert store.read(current_holder) is None


@pytest.mark.proof
def test_run_applies_edits(
    start: Callable[[], subprocess.Popen[str]], store: Store, configure: Callable[..., Path]
) -> None:
    """An edit is a version at once; a wrong one is refused with a notice. SIGHUP loads the files too."""

    def causes() -> list[str]:
        return [version.cause for version in Versions(store, open_vault(store)).newest(9)]

    process = start()
    assert causes() == ["start"]
    configure("http://127.0.0.1:9", health={"probes": "off"}, logs={"level": "warning"})
    assert comes_true(lambda: causes() == ["watch", "start"])
    configure("http://127.0.0.1:9", health={"probes": "of"})
    assert comes_true(lambda: [row.kind for row in store.read(list_alerts)][-1:] == ["config"])
    configure("http://127.0.0.1:9", health={"probes": "off"})
    process.send_signal(signal.SIGHUP)
    assert comes_true(lambda: len(causes()) == 3)


@pytest.mark.proof
def test_jobs_that_need_litellm_start_together(
    supernova: Supernova,
    start: Callable[[], subprocess.Popen[str]],
    store: Store,
    configure: Callable[..., Path],
    stub_provider: Callable[..., StubProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LiteLLM cannot be imported by two threads at once: at the first start, probes and keys are both due."""
    configure(stub_provider().url)
    master = os.environ["API_KEY_ENCRYPTION_KEY"]
    supernova("keys", "add", "openai", stdin=KEY)
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", master)  # the command took it out
    start()

    def ended() -> dict[str, str | None]:
        jobs = store.read(runner.rows)
        return {
            name: jobs[name].outcome for name in ("probes", "keys") if name in jobs and jobs[name].ended_ms
        }

    assert comes_true(lambda: len(ended()) == 2)
    assert ended()["probes"] == "1 of 1 key answered"
    assert "Error" not in str(ended()["keys"])


@pytest.mark.proof
def test_run_dumps_no_core(start: Callable[[], subprocess.Popen[str]]) -> None:
    """A core dump would contain keys: the process has forbidden itself one."""
    limits = Path(f"/proc/{start().pid}/limits").read_text(encoding="utf-8")
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
