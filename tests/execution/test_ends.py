"""How holds end when the database is slow or fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from peewee import OperationalError, SqliteDatabase

from supernova_ai import ProviderTimeout, Supernova
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, StubProvider
from tests.waiting import SENT_S, until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]
Balance = Callable[[], tuple[int, int, int]]


async def test_hold_that_comes_too_late_is_released(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance
) -> None:
    """A hold that a busy database writes after the deadline, or after a cancellation, is released."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url})
    await nova.warm_up()
    busy = threading.Event()
    nova.store().write(lambda _: busy.wait(60))
    await nova.warm_up()
    with pytest.raises(ProviderTimeout):
        await nova.chat("What now?", timeout=SENT_S)
    queue = nova.store()._writer._jobs
    queued = queue.qsize()
    cancelled = asyncio.create_task(nova.chat("What now?"))
    await until(lambda: queue.qsize() > queued)
    for _ in range(2):
        cancelled.cancel()
        await asyncio.sleep(0)
    busy.set()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await until(lambda: [row.state for row in attempts()] == ["released"] * 2)
    assert (balance(), stub.requests) == ((0, 0, 0), [])


async def test_end_that_cannot_be_written_is_written_later(
    open_nova: Open, stub_provider: Stub, attempts: Rows, balance: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fails while an attempt is settled, the call is answered and the end is written later."""
    gate = threading.Event()
    stub = stub_provider(Answer("Diversify.", gate=gate))
    nova = open_nova({"openai": stub.url})
    asking = asyncio.create_task(nova.chat("What now?"))
    await asyncio.to_thread(stub.wait_for_requests, 1)

    def fail(*_: object) -> None:
        raise OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteDatabase, "commit", fail)
        gate.set()
        reply = await asking
    assert reply.content == "Diversify."
    assert [row.state for row in attempts()] == ["held"]
    nova.close()
    (row,) = attempts()
    assert (row.state, row.basis) == ("settled", "exact")
    assert balance() == (row.cost, 0, 0)
    assert row.cost == reply.cost * 10**9


async def test_request_waits_if_one_provider_may_become_affordable(
    open_nova: Open, stub_provider: Stub
) -> None:
    """If one provider's budget is spent and another's is only held, the request waits for the hold to end."""
    gate = threading.Event()
    spent, other = stub_provider("Unused."), stub_provider(Answer("Diversify.", gate=gate))
    nova = open_nova(
        {"openai": spent.url, "anthropic": other.url},
        routing={"wait": 30, "min_tokens": 80},
        budgets=[
            {"name": "openai-daily", "limit": "0.0000001", "per": "day", "provider": "openai"},
            {"name": "daily", "limit": "0.001", "per": "day"},
        ],
    )
    first = asyncio.create_task(nova.chat("What now?", max_tokens=80))
    await asyncio.to_thread(other.wait_for_requests, 1)
    second = asyncio.create_task(nova.chat("What now?", max_tokens=80))
    await until(nova._runtime.engine._reservations._queue.locked)  # it waits for the other's hold
    gate.set()
    assert [(await asked).provider for asked in (first, second)] == ["anthropic", "anthropic"]
