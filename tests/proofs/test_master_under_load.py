"""The master key is rotated while two processes call with sessions: no call fails, no exchange is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from supernova_ai import Supernova
from supernova_ai.config import Config
from supernova_ai.keys import open_vault
from supernova_ai.operations.master_rotation import rotate_master
from supernova_ai.sessions import SessionKey, history
from supernova_ai.sessions.history import ExchangeCipher
from supernova_ai.store import Store
from supernova_ai.testing import StubProvider
from tests import clients
from tests.processes import FORK
from tests.processes import end as end_all

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("warm")]

CALLERS, ROTATIONS = 4, 6


def call(config: Config, who: int, ready: Event, done: Event, tell: Connection) -> None:
    """Call in several sessions until done, and tell how many calls each had; an error ends it."""

    async def caller(nova: Supernova, session: int) -> int:
        for calls in count(1):
            await nova.chat(f"Question {calls}", user_id=who, session_id=session)
            if calls == 2:
                ready.set()
            if done.is_set():
                return calls
        raise AssertionError

    async def callers() -> list[int]:
        async with Supernova(config) as nova:
            return await asyncio.gather(*(caller(nova, session) for session in range(CALLERS)))

    try:
        tell.send(asyncio.run(callers()))
    except Exception as error:
        tell.send(repr(error))


@pytest.mark.parametrize("grace_s", [600, 0])
def test_no_call_fails_while_the_master_rotates(
    where: str,
    grace_s: float,
    tmp_path: Path,
    stub_provider: Callable[..., StubProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Processes that began with the first master end with the seventh; each exchange of theirs opens."""
    master = tmp_path / "master"
    master.touch(0o600)
    master.write_text(bytes(32).hex())  # clients.MASTER
    monkeypatch.setenv("SUPERNOVA_MASTER_KEY_FILE", str(master))
    config = clients.configure(
        where,
        {"openai": stub_provider("Diversify.").url},
        budgets=[],
        sessions={"history": True, "tokens": 100_000},
        cache={"type": "disk"},
    )
    done, started = FORK.Event(), []
    for who in range(2):
        hear, tell = FORK.Pipe(duplex=False)
        ready = FORK.Event()
        process = FORK.Process(target=call, args=(config, who, ready, done, tell))
        process.start()
        started.append((process, hear, ready))
    try:
        assert all(ready.wait(60) for _, _, ready in started)
        with Store(where) as store:
            for _ in range(ROTATIONS):
                assert not rotate_master(store, grace_s=grace_s, environ=os.environ).finished
        done.set()
        results = [hear.recv() for _, hear, _ in started]
    finally:
        done.set()
        end_all(process for process, _, _ in started)
    assert [result for result in results if isinstance(result, str)] == []
    with Store(where) as store:
        vault = open_vault(store, environ=os.environ)
        cipher = ExchangeCipher(vault.session_cipher(), store.id, os.urandom)
        for who, calls in enumerate(results):
            for session in range(CALLERS):
                key = SessionKey(str(who), str(session))
                kept = store.read(partial(history.read, cipher=cipher, key=key, since_ms=0))
                assert len(kept) == calls[session]
        assert vault.verify_audit().ok
        assert [event.event for event in vault.audit_events()].count("master.rotated") == ROTATIONS
