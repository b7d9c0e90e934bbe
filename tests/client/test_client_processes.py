"""Processes that die or fork with a client open."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
import yaml

import supernova_ai
from supernova_ai import client
from supernova_ai.testing import Answer, StubProvider
from tests import desk
from tests.forks import FORK

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

BUDGETS = [{"name": "daily", "limit": 10, "per": "day"}]
COSTS = "from supernova_ai.cli import main; main()"


@pytest.fixture
def serve(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make a stub the only provider of the client that this process and its forks have by default."""
    import supernova_ai.execution.engine  # noqa: F401 - here, so that no fork takes seconds for it

    def serve(stub: StubProvider) -> None:
        provider = {"api_base": f"{stub.url}/v1", "models": {"standard": "gpt-4o-mini"}}
        file = tmp_path / "supernova.yaml"
        config = {"database": str(path), "providers": {"openai": provider}, "budgets": BUDGETS}
        file.write_text(yaml.safe_dump(config | {"routing": {"priority": ["openai"], "retries": 0}}))
        monkeypatch.setenv("SUPERNOVA_CONFIG", str(file))
        monkeypatch.setenv("OPENAI_API_KEY", desk.key_of("openai"))

    monkeypatch.setattr(client, "_default", None)
    yield serve
    if client._default is not None:
        client._default.close()


def test_killed_mid_stream_is_lost(
    serve: Callable[..., None], stub_provider: Callable[..., StubProvider], path: Path
) -> None:
    """A process killed within a stream leaves its hold counted: the next `supernova costs` calls it lost."""
    serve(stub_provider(Answer("Diversify, always.", gate=Event())))
    hear, tell = FORK.Pipe(duplex=False)

    async def read() -> None:
        async with supernova_ai.stream("What now?", user_id="ann") as stream:
            async for token in stream:
                tell.send(token)

    reading = FORK.Process(target=lambda: asyncio.run(read()))
    reading.start()
    tell.close()
    assert hear.poll(60)
    assert hear.recv() == "Diversify,"
    reading.kill()
    reading.join()
    (row,) = desk.attempts(path)
    assert (row.state, row.cost) == ("held", 0)

    run = subprocess.run([sys.executable, "-c", COSTS, "costs", "--json"], capture_output=True, check=True)
    shown = json.loads(run.stdout)
    (attempt,) = shown["attempts"]
    (daily,) = shown["budgets"]
    assert (attempt["state"], attempt["error"], attempt["user"]) == ("lost", "ProcessDied", "ann")
    assert attempt["cost"] == attempt["held"] == daily["lost"]
    assert (float(daily["settled"]), float(daily["held"])) == (0, 0)
    assert float(daily["lost"]) == row.held / 10**9 > 0


def test_both_sides_of_a_fork_work(
    serve: Callable[..., None], stub_provider: Callable[..., StubProvider], path: Path
) -> None:
    """After a fork the client serves the child and goes on serving the parent; all is settled."""
    stub = stub_provider("Diversify, always.")
    serve(stub)

    def ask(who: str) -> None:
        reply = asyncio.run(supernova_ai.chat("What now?", user_id=who))
        assert reply.content == "Diversify, always."

    ask("parent")
    child = FORK.Process(target=ask, args=("child",), daemon=True)
    child.start()
    ask("parent")
    child.join(60)
    assert child.exitcode == 0
    ask("parent")
    rows = desk.attempts(path)
    assert sorted(str(row.user) for row in rows) == ["child", "parent", "parent", "parent"]
    assert {row.state for row in rows} == {"settled"}
    assert len({row.process for row in rows}) == 2
    assert len(stub.requests) == 4
