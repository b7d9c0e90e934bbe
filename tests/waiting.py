"""Waiting for what another thread does, which tells nobody: long enough for the busiest machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SENT_S = 1.0  # in this time a request has reached the stub: what is given up after it was sent
_PATIENCE_S = 60.0
_LOOK_AGAIN_S = 0.01


async def until(true: Callable[[], object]) -> None:
    """Wait until it is true.

    Raises:
        TimeoutError: it does not come true.
    """
    async with asyncio.timeout(_PATIENCE_S):
        while not true():  # noqa: ASYNC110 - it happens in a thread, which sets no event
            await asyncio.sleep(_LOOK_AGAIN_S)


def comes_true(true: Callable[[], object]) -> bool:
    """Say whether it is true in the end."""
    end = time.monotonic() + _PATIENCE_S
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_AGAIN_S)
    return True
