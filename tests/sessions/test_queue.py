"""The queue gives one turn at a time per name, in order of arrival, across event loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from supernova_ai.sessions.queue import TurnQueue


async def test_turns_come_in_order() -> None:
    """Turns follow the order of arrival, and names do not wait for each other."""
    queue, order = TurnQueue(), []

    async def visit(name: str, number: int) -> None:
        turn = await queue.enter(name)
        order.append((name, number))
        await asyncio.sleep(0)
        queue.leave(name, turn)

    first = await queue.enter("a")
    waiting = [asyncio.create_task(visit("a", n)) for n in range(3)]
    await visit("b", 0)
    assert order == [("b", 0)]
    queue.leave("a", first)
    await asyncio.gather(*waiting)
    assert order == [("b", 0), ("a", 0), ("a", 1), ("a", 2)]
    assert queue._waiting == {}


async def test_a_cancelled_wait_is_skipped() -> None:
    """A cancelled wait at the front or in the middle does not block the others."""
    queue = TurnQueue()
    first = await queue.enter("a")
    second, third, fourth = (asyncio.create_task(queue.enter("a")) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    queue.leave("a", first)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    queue.leave("a", await fourth)
    assert queue._waiting == {}


def test_turns_across_threads() -> None:
    """Event loops of many threads take turns: no two run at once."""
    queue = TurnQueue()
    inside: list[int] = []

    async def visit() -> None:
        for _ in range(50):
            turn = await queue.enter("a")
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.clear()
            queue.leave("a", turn)

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(visit())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert queue._waiting == {}
