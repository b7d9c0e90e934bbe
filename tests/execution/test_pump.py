"""Tests of the pump: how far it reads ahead, and how it ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator

import pytest

from supernova_ai.execution.pump import Pump
from supernova_ai.types import ABANDONED


class Source:
    """Counts what is read from it, and keeps what ended it."""

    def __init__(self, count: int, then: Exception | None = None) -> None:
        self.count, self.then = count, then
        self.read = 0
        self.ended: BaseException | None = None

    async def pieces(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self.count):
                await asyncio.sleep(0)
                self.read += 1
                yield number
            if self.then:
                raise self.then
            await asyncio.Event().wait()
        except BaseException as error:
            self.ended = error
            raise


async def settle() -> None:
    """Let the tasks run until nothing more happens."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_bursts_grow_and_are_bounded() -> None:
    """The first piece comes alone; then the pump reads ahead, never by more than sixteen pieces."""
    source = Source(100)
    pump = Pump(source.pieces())
    bursts = []
    for _ in range(6):
        bursts.append(len(await pump.take()))
        await settle()
    assert bursts == [1, 2, 4, 8, 16, 16]
    assert source.read == sum(bursts) + 16
    await pump.close()
    assert isinstance(source.ended, GeneratorExit)


async def test_an_error_comes_after_the_pieces_before_it() -> None:
    """What was received is given before the error is raised; so it is with the end."""
    pump = Pump(Source(2, LookupError("broken")).pieces())
    assert await pump.take() == [0]
    assert await pump.take() == [1]
    with pytest.raises(LookupError, match="broken"):
        await pump.take()


async def test_closing_does_not_wait_for_the_next_piece() -> None:
    """A read that waits ends without a piece, and the stream is abandoned."""
    source = Source(1)
    pump = Pump(source.pieces())
    await pump.take()
    read = asyncio.create_task(pump.take())
    await settle()
    await pump.close()
    assert await read == []
    assert isinstance(source.ended, asyncio.CancelledError)
    assert source.ended.args == (ABANDONED,)


@pytest.mark.parametrize("how", ["closed", "dropped", "cancelled"])
async def test_leaving_ends_what_the_source_waits_for(how: str) -> None:
    """A reader that leaves or drops the pump abandons the stream; a cancelled read cancels it."""
    source = Source(1)
    pump = Pump(source.pieces())
    await pump.take()
    await settle()
    if how == "closed":
        await pump.close()
    elif how == "dropped":
        del pump
        gc.collect()
    else:
        read = asyncio.create_task(pump.take())
        await settle()
        read.cancel()
    await settle()
    assert isinstance(source.ended, asyncio.CancelledError)
    assert source.ended.args == (() if how == "cancelled" else (ABANDONED,))
