"""Processes that die or fork while a client is open."""

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
from supernova_ai import default_client
from supernova_ai.testing import Answer, StubProvider
from tests import clients
from tests.processes import FORK

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

BUDGETS = [{"name": "daily", "limit": 10, "per": "day"}]
COSTS = "from supernova_ai.cli import main; main()"


@pytest.fixture
def use(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make a stub the only provider of the default client of this process and its forks."""
    import supernova_ai.execution.engine  # noqa: F401 - now, so that no fork spends seconds on it

    def use(stub: StubProvider) -> None:
        provider = {"api_base": f"{stub.url}/v1", "models": {"standard": "gpt-4o-mini"}}
        file = tmp_path / "supernova.yaml"
        config = {"database": str(path), "providers": {"openai": provider}, "budgets": BUDGETS}
        file.write_text(yaml.safe_dump(config | {"routing": {"priority": ["openai"], "retries": 0}}))
        monkeypatch.setenv("SUPERNOVA_CONFIG", str(file))
        monkeypatch.setenv("OPENAI_API_KEY", clients.key_of("openai"))

    monkeypatch.setattr(default_client, "_default", None)
    yield use
    if default_client._default is not None:
        default_client._default.close()


def test_killed_mid_stream_is_lost(
    use: Callable[..., None], stub_provider: Callable[..., StubProvider], path: Path
) -> None:
    """The hold of a process that was killed within a stream is lost, and `supernova costs` shows it."""
    use(stub_provider(Answer("Diversify, always.", gate=Event())))
    receiver, sender = FORK.Pipe(duplex=False)

    async def read() -> None:
        async with supernova_ai.stream("What now?", user_id="ann") as stream:
            async for token in stream:
                sender.send(token)

    reading = FORK.Process(target=lambda: asyncio.run(read()))
    reading.start()
    sender.close()
    assert receiver.poll(60)
    assert receiver.recv() == "Diversify,"
    reading.kill()
    reading.join()
    (row,) = clients.attempts(path)
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
    use: Callable[..., None], stub_provider: Callable[..., StubProvider], path: Path
) -> None:
    """After a fork the client works in the child and in the parent, and all attempts are settled."""
    stub = stub_provider("Diversify, always.")
    use(stub)

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
    rows = clients.attempts(path)
    assert sorted(str(row.user) for row in rows) == ["child", "parent", "parent", "parent"]
    assert {row.state for row in rows} == {"settled"}
    assert len({row.process for row in rows}) == 2
    assert len(stub.requests) == 4
