"""Processes that die or fork with a client open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import yaml

from supernova_ai.testing import Answer, StubProvider
from tests import desk

BUDGETS = [{"name": "daily", "limit": 10, "per": "day"}]


@pytest.fixture
def environ(tmp_path: Path, path: Path) -> Callable[[StubProvider], dict[str, str]]:
    """Write a configuration over a stub; return the environment of a process that uses it."""

    def write(stub: StubProvider) -> dict[str, str]:
        provider = {"api_base": f"{stub.url}/v1", "models": {"standard": "gpt-4o-mini"}}
        file = tmp_path / "supernova.yaml"
        config = {"database": str(path), "providers": {"openai": provider}, "budgets": BUDGETS}
        file.write_text(yaml.safe_dump(config | {"routing": {"priority": ["openai"], "retries": 0}}))
        return {**os.environ, "SUPERNOVA_CONFIG": str(file), "OPENAI_API_KEY": desk.key_of("openai")}

    return write


STREAMING = """
import asyncio, sys, supernova_ai

async def main():
    async with supernova_ai.stream("What now?", user_id="ann") as stream:
        async for token in stream:
            print(token, flush=True)

asyncio.run(main())
"""


COSTS = "from supernova_ai.cli import main; main()"


def test_killed_mid_stream_is_lost(
    environ: Callable[[StubProvider], dict[str, str]], stub_provider: Callable[..., StubProvider], path: Path
) -> None:
    """A process killed within a stream leaves its hold counted: the next `supernova costs` calls it lost."""
    stub = stub_provider(Answer("Diversify, always.", gate=Event()))
    env = environ(stub)
    with subprocess.Popen([sys.executable, "-c", STREAMING], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"Diversify,\n"
        process.kill()
    (row,) = desk.attempts(path)
    assert (row.state, row.cost) == ("held", 0)

    run = subprocess.run(
        [sys.executable, "-c", COSTS, "costs", "--json"], env=env, capture_output=True, check=True
    )
    shown = json.loads(run.stdout)
    (attempt,) = shown["attempts"]
    (daily,) = shown["budgets"]
    assert (attempt["state"], attempt["error"], attempt["user"]) == ("lost", "ProcessDied", "ann")
    assert attempt["cost"] == attempt["held"] == daily["lost"]
    assert (float(daily["settled"]), float(daily["held"])) == (0, 0)
    assert float(daily["lost"]) == row.held / 10**9 > 0


FORKING = """
import asyncio, os, supernova_ai

async def main(who):
    return (await supernova_ai.chat("What now?", user_id=who)).content

assert asyncio.run(main("parent")) == "Diversify, always."
child = os.fork()
assert asyncio.run(main("parent" if child else "child")) == "Diversify, always."
if not child:
    raise SystemExit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert asyncio.run(main("parent")) == "Diversify, always."
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_both_sides_of_a_fork_work(
    environ: Callable[[StubProvider], dict[str, str]], stub_provider: Callable[..., StubProvider], path: Path
) -> None:
    """After a fork the client serves the child and goes on serving the parent; all is settled."""
    stub = stub_provider("Diversify, always.")
    run = subprocess.run(
        [sys.executable, "-c", FORKING], env=environ(stub), capture_output=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    rows = desk.attempts(path)
    assert sorted(str(row.user) for row in rows) == ["child", "parent", "parent", "parent"]
    assert {row.state for row in rows} == {"settled"}
    assert len({row.process for row in rows}) == 2
    assert len(stub.requests) == 4
