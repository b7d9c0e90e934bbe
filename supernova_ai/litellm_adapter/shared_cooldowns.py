"""Circuits that open on one machine and are in cooldown on the others, through Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from litellm.router_utils.cooldown_cache import CooldownCache

from supernova_ai.log import get_logger

log = get_logger(__name__)


class SharedCooldowns(CooldownCache):  # type: ignore[misc]  # untyped base
    """LiteLLM's cooldowns in Redis, without those on which this process's own breaker decides.

    Nothing is shared if the Router has no Redis.
    """

    decides_here: Callable[[str], bool]
    """Says whether this process's breaker decides on a deployment; set before the first request."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._writes: set[asyncio.Future[None]] = set()  # a task without a reference may be collected

    async def async_get_active_cooldowns(self, *args: Any, **kwargs: Any) -> list[tuple[str, Any]]:
        """Return the cooldowns that only other machines know of, by deployment."""
        found = await super().async_get_active_cooldowns(*args, **kwargs)
        return [(deployment, cooldown) for deployment, cooldown in found if not self.decides_here(deployment)]

    def share_open(self, deployment: str, error: str | None, rest_s: float) -> None:
        """Share that a circuit opened for ``rest_s`` seconds."""
        whole_s = math.ceil(rest_s)  # Redis has whole seconds
        self._write(partial(self.add_deployment_to_cooldown, deployment, error, 0, whole_s))

    def share_closed(self, deployment: str) -> None:
        """Share that a circuit closed."""
        self._write(partial(self.cooldown_store.delete_cache, self.get_cooldown_cache_key(deployment)))

    def _write(self, write: Callable[[], None]) -> None:
        if self.cache.redis_cache is not None:
            writing = asyncio.ensure_future(_try(write))
            self._writes.add(writing)
            writing.add_done_callback(self._writes.discard)


async def _try(write: Callable[[], None]) -> None:
    """Write to Redis on a thread: it may be slow or unreachable."""
    try:
        await asyncio.to_thread(write)
    except Exception as error:  # of a driver that may not be installed
        log.warning("engine.circuit.not_shared", reason=str(error))
