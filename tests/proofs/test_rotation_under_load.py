"""Keys that change under load: two processes call all the time, and no call fails or sends an old key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple

import pytest

from supernova_ai import Supernova
from supernova_ai.config import Config
from supernova_ai.keys import Vault
from supernova_ai.operations import key_rotation
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.testing import Failure, StubProvider
from supernova_ai.testing.answers import Received
from tests import clients
from tests.processes import FORK
from tests.processes import end as end_all
from tests.waiting import comes_true

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("warm")]

PROCESSES, CALLERS, ROTATIONS = 2, 16, 20
GRACE_S = 8
SLOTS = ("primary", "backup")


class Sent(NamedTuple):
    """A request that arrived: when, and with which key."""

    at: float
    key: str


class Calls(NamedTuple):
    """What the callers of one process got."""

    answered: int
    failures: list[str]


@pytest.fixture
def arrivals() -> list[Sent]:
    """The chats that arrived at the provider."""
    return []


def call(config: Config, ready: Event, done: Event, tell: Connection) -> None:
    """Run one process: its callers make one call after another until done."""

    async def caller(nova: Supernova, failures: list[str]) -> int:
        answered = 0
        while not done.is_set():
            try:
                await nova.chat("What now?")
                answered += 1
                ready.set()
            except Exception as error:
                failures.append(repr(error))
        return answered

    async def callers() -> Calls:
        failures: list[str] = []
        async with Supernova(config, master=clients.MASTER) as nova:
            counts = await asyncio.gather(*(caller(nova, failures) for _ in range(CALLERS)))
        return Calls(sum(counts), failures)

    tell.send(asyncio.run(callers()))


@contextmanager
def callers_of(config: Config) -> Iterator[Callable[[], list[Calls]]]:
    """Let two processes call inside the block; the function ends them and returns what they got."""
    done = FORK.Event()
    started: list[tuple[Any, Connection, Event]] = []
    for _ in range(PROCESSES):
        hear, tell = FORK.Pipe(duplex=False)
        ready = FORK.Event()
        process = FORK.Process(target=call, args=(config, ready, done, tell))
        process.start()
        started.append((process, hear, ready))

    def end() -> list[Calls]:
        done.set()
        return [hear.recv() for _, hear, _ in started]

    try:
        for _, _, ready in started:
            assert ready.wait(60)
        yield end
    finally:
        done.set()
        end_all(process for process, _, _ in started)


def settings(where: str, stub: StubProvider) -> Config:
    return clients.configure(
        where,
        {"openai": {"url": stub.url, "keys": SLOTS, "timeout": {"total": GRACE_S}}},
        routing={"deadline": GRACE_S},
        budgets=[],
    )


def test_no_call_fails_while_keys_rotate(
    where: str, arrivals: list[Sent], stub_provider: Callable[..., StubProvider]
) -> None:
    """32 callers in 2 processes see 20 rotations: every call is answered, with a key that is not over.

    The provider deletes each key when its grace is over, and refuses it from then on. There is no backup.
    """
    over_at: dict[str, float] = {}

    def answer(request: Received) -> Any:
        now = time.time()
        if request.method != "GET":
            arrivals.append(Sent(now, request.key))
        return Failure(401) if now > over_at.get(request.key, now) else "Diversify."

    stub = stub_provider(answer)
    stub.probe = answer
    config = settings(where, stub)
    with Store(where) as store, callers_of(config) as end:
        vault = Vault(store, clients.MASTER)
        vault.remove("openai", "backup")
        key = clients.key_of("openai")
        for number in range(ROTATIONS):
            following = f"sk-rotated{number:010}"
            rotation = key_rotation.rotate(
                vault, config, "openai", "primary", Secret(following), grace_s=GRACE_S
            )
            assert rotation.grace_s == GRACE_S
            retiring = next(
                each for each in vault.list() if each.state == "retiring" and each.version == number + 1
            )
            assert retiring.until is not None
            over_at[key] = retiring.until.timestamp()
            key = following
            assert comes_true(lambda: any(sent.key == key for sent in arrivals))  # noqa: B023
        results = end()
        events = [event.event for event in vault.audit_events()]
        assert vault.verify_audit().ok
    assert [result.failures for result in results] == [[], []]
    assert all(result.answered > ROTATIONS for result in results)
    late = [sent for sent in arrivals if sent.at > over_at.get(sent.key, sent.at)]
    assert late == []
    assert len({sent.key for sent in arrivals}) == ROTATIONS + 1
    assert events.count("key.activated") == ROTATIONS


def test_no_request_has_a_revoked_key(
    where: str, arrivals: list[Sent], stub_provider: Callable[..., StubProvider]
) -> None:
    """Once ``revoke`` has returned, no process sends the key; the backup key answers every call."""

    def answer(request: Received) -> str:
        arrivals.append(Sent(time.time(), request.key))
        return "Diversify."

    config = settings(where, stub_provider(answer))
    with Store(where) as store, callers_of(config) as end:
        vault = Vault(store, clients.MASTER)
        began = time.time()
        key_rotation.revoke(vault, "openai", "primary")
        returned = time.time()
        seen = len(arrivals)
        assert comes_true(lambda: len(arrivals) >= seen + 4 * CALLERS)
        results = end()
    assert [result.failures for result in results] == [[], []]
    primary = [sent.at for sent in arrivals if sent.key == clients.key_of("openai")]
    assert primary
    assert max(primary) < returned
    assert max(primary) - began < key_rotation.SETTLE_S
    assert {sent.key for sent in arrivals if sent.at > returned} == {clients.key_of("openai", "backup")}
