"""A deployment's rate limits: requests and tokens per minute, and requests at once.

The counts are kept in LiteLLM's cache, which shares them between machines where Redis is configured. LiteLLM
would check them when an attempt is already being sent; here they are checked before money is held for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from supernova_ai.routing.deployments import Deployment

_KEPT_S = 120
"""How long the count of a minute is kept, in seconds."""


class RateLimits:
    """The counts of all deployments.

    Args:
        cache: a LiteLLM ``DualCache``.
        clock: Unix seconds; machines that share the counts share the minutes.
    """

    def __init__(self, cache: Any, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._counting: set[asyncio.Future[int]] = set()  # referenced, so that they are not garbage-collected

    async def has_room(self, deployment: Deployment) -> bool:
        """Return whether the limits allow one more request now."""
        limits, name = deployment.limits, deployment.id
        return (
            (limits.parallel is None or self._running[name] < limits.parallel)
            and (limits.tpm is None or await self._count(name, "tpm", 0) < limits.tpm)
            and (limits.rpm is None or await self._count(name, "rpm", 0) < limits.rpm)
        )

    async def acquire(self, deployment: Deployment) -> bool:
        """Count a request if the limits allow it, and return whether; then ``release`` or ``cancel`` it."""
        limits, name = deployment.limits, deployment.id
        if limits.parallel is not None and self._running[name] >= limits.parallel:
            return False
        self._running[name] += 1  # before the first await: another may come in between
        entered = False
        try:
            entered = limits.rpm is None or await self._count(name, "rpm", 1) <= limits.rpm
        finally:
            if not entered:
                self._running[name] -= 1
        return entered

    def cancel(self, deployment: Deployment) -> None:
        """Undo the count of a request that will not be sent."""
        self._running[deployment.id] -= 1
        if deployment.limits.rpm is not None:
            self._count_later(deployment.id, "rpm", -1)

    def release(self, deployment: Deployment, tokens: int) -> None:
        """Note that a request ended, and how many tokens it took."""
        self._running[deployment.id] -= 1
        if deployment.limits.tpm is not None and tokens:
            self._count_later(deployment.id, "tpm", tokens)

    def _count_later(self, name: str, what: str, more: int) -> None:
        counting = asyncio.ensure_future(self._count(name, what, more))
        self._counting.add(counting)
        counting.add_done_callback(self._counting.discard)

    async def _count(self, name: str, what: str, more: int) -> int:
        """Add to this minute's count and return it."""
        key = f"supernova:{name}:{what}:{int(self._clock() // 60)}"
        return int(await self._cache.async_increment_cache(key=key, value=more, ttl=_KEPT_S) or 0)
