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
            and (limits.tpm is None or await self._add(self._key(name, "tpm"), 0) < limits.tpm)
            and (limits.rpm is None or await self._add(self._key(name, "rpm"), 0) < limits.rpm)
        )

    async def acquire(self, deployment: Deployment) -> str | None:
        """Count a request if the limits allow it; then ``release`` or ``cancel`` it.

        Returns:
            The key of the count of its minute, for ``cancel``; None if the limits do not allow the request.
        """
        limits, name = deployment.limits, deployment.id
        if limits.parallel is not None and self._running[name] >= limits.parallel:
            return None
        self._running[name] += 1  # before the first await: another may come in between
        key, entered = self._key(name, "rpm"), False
        try:
            entered = limits.rpm is None or await self._add(key, 1) <= limits.rpm
            if not entered:
                self._add_later(key, -1)
        finally:
            if not entered:
                self._running[name] -= 1
        return key if entered else None

    def cancel(self, deployment: Deployment, key: str) -> None:
        """Undo the count of a request that will not be sent; ``key`` is what ``acquire`` returned."""
        self._running[deployment.id] -= 1
        if deployment.limits.rpm is not None:
            self._add_later(key, -1)

    def release(self, deployment: Deployment, tokens: int) -> None:
        """Note that a request ended, and how many tokens it took."""
        self._running[deployment.id] -= 1
        if deployment.limits.tpm is not None and tokens:
            self._add_later(self._key(deployment.id, "tpm"), tokens)

    def _key(self, name: str, what: str) -> str:
        """Return the key of this minute's count."""
        return f"supernova:{name}:{what}:{int(self._clock() // 60)}"

    def _add_later(self, key: str, more: int) -> None:
        counting = asyncio.ensure_future(self._add(key, more))
        self._counting.add(counting)
        counting.add_done_callback(self._counting.discard)

    async def _add(self, key: str, more: int) -> int:
        """Add to a count and return it."""
        return int(await self._cache.async_increment_cache(key=key, value=more, ttl=_KEPT_S) or 0)
