"""The line: one at a time for each name, in the order they came, whatever loop they are on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from supernova_ai.sessions.queue import TurnQueue


async def test_turns_come_in_order() -> None:
    """Who came first goes first, and names do not wait for each other."""
    line, order = TurnQueue(), []

    async def visit(name: str, number: int) -> None:
        mine = await line.enter(name)
        order.append((name, number))
        await asyncio.sleep(0)
        line.leave(name, mine)

    first = await line.enter("a")
    waiting = [asyncio.create_task(visit("a", n)) for n in range(3)]
    await visit("b", 0)
    assert order == [("b", 0)]
    line.leave("a", first)
    await asyncio.gather(*waiting)
    assert order == [("b", 0), ("a", 0), ("a", 1), ("a", 2)]
    assert line._waiting == {}


async def test_who_gives_up_is_passed_over() -> None:
    """A cancelled wait holds nobody up, be it at the front or behind."""
    line = TurnQueue()
    first = await line.enter("a")
    second, third, fourth = (asyncio.create_task(line.enter("a")) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    line.leave("a", first)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    line.leave("a", await fourth)
    assert line._waiting == {}


def test_turns_across_threads() -> None:
    """Loops of many threads take turns: never are two inside at once."""
    line = TurnQueue()
    inside: list[int] = []

    async def visit() -> None:
        for _ in range(50):
            mine = await line.enter("a")
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.clear()
            line.leave("a", mine)

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
    assert line._waiting == {}
