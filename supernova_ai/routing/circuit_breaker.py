"""The circuit breaker: which deployments are in cooldown after failures, and how they return.

    closed ──failures in a row, or one permanent error──▶ open ──its time is over──▶ half-open
      ▲                                                     ▲                            │
      └──────────────────── one request is answered ────────┼────────────────────────────┤
                                                            └──── it fails as well ──────┘

LiteLLM's own cooldown is switched off: it has no cooldown for a provider that cannot be reached, admits all
requests at once afterwards, and forgets everything when the model list changes. Its cache still shares open
circuits with other machines, where Redis is configured.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from supernova_ai.config import Breaker as Settings
from supernova_ai.errors import (
    AccountRefused,
    AuthenticationFailed,
    ModelNotFound,
    ProviderError,
    RateLimited,
    RequestRejected,
    SupernovaError,
)
from supernova_ai.health import BreakerState

_MOST_REST_S = 3600.0
"""The longest "retry after" of a provider that is obeyed, in seconds."""

OF_KEY = (AuthenticationFailed.__name__, AccountRefused.__name__)
"""Errors that concern the key alone: another process, or a corrected slot, may have a valid one."""

_NOT_PROBED = (RateLimited.__name__, ModelNotFound.__name__, AccountRefused.__name__)
"""Errors that a free probe cannot clear: it is not rate-limited, names no model and needs no credit."""


class Circuit(NamedTuple):
    """A deployment's circuit: its state, failures in a row, seconds still open, the last error class."""

    state: BreakerState
    failures: int = 0
    left_s: float = 0.0
    error: str | None = None


@dataclass(slots=True)
class _State:
    failures: int = 0
    until: float | None = None  # open until then, on the breaker's clock; None: closed
    trial: str | None = None  # the request that tests a half-open circuit
    error: str | None = None
    key: str | None = None  # the id of the key it was asked with


class CircuitBreaker:
    """The circuits of all deployments, by id. It lives on the engine's loop and survives reloads.

    Args:
        settings: failures in a row that open a circuit, and seconds it stays open.
        changed: called for every circuit that opened, half-opened or closed.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        settings: Settings,
        changed: Callable[[str, Circuit], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._changed = changed
        self._clock = clock
        self._states: dict[str, _State] = {}
        self._changes = asyncio.Event()

    def admits(self, deployment: str) -> bool:
        """Return whether a request is admitted: the circuit is closed, or half-open and not being tested."""
        state = self._states.get(deployment)
        return state is None or state.until is None or (self._is_due(state) and state.trial is None)

    def admits_within(self, deployment: str, patience: float) -> bool:
        """Return whether it admits a request now, or may within ``patience`` seconds."""
        state = self._states.get(deployment)
        if state is None or state.until is None or state.trial is not None:
            return True
        return state.until <= self._clock() + patience

    def acquire(self, deployment: str, request: str) -> bool:
        """Admit a request if possible, and return whether; at a half-open circuit it becomes the test."""
        if not self.admits(deployment):
            return False
        state = self._states.get(deployment)
        if state is not None and state.until is not None:
            state.trial = request
            self._tell(deployment)
        return True

    def first_token(self, deployment: str, request: str) -> None:
        """Note the first token of an answer: if it is the test, the circuit closes; failures stay counted."""
        state = self._states.get(deployment)
        if state is not None and state.trial == request:
            state.until = state.trial = None
            self._tell(deployment)

    def succeeded(self, deployment: str, request: str) -> None:
        """Note a whole answer: earlier failures no longer count. An open circuit regards its test alone."""
        state = self._states.get(deployment)
        if state is not None and (state.until is None or state.trial == request):
            del self._states[deployment]
            if state.until is not None:
                self._tell(deployment)

    def failed(
        self, deployment: str, request: str, error: SupernovaError | None, key: str | None = None
    ) -> None:
        """Count a failure if it counts against the provider; None means that the caller left.

        Args:
            key: the id of the key that was sent.
        """
        state = self._states.setdefault(deployment, _State())
        tried = state.trial == request
        if tried:
            state.trial = None
            self._notify()
        if not isinstance(error, ProviderError) or isinstance(error, RequestRejected):
            return
        if state.until is not None and not tried:
            return  # it was sent before the circuit opened
        state.failures += 1
        if tried or _opens_at_once(error) or state.failures >= self.settings.failures:
            rest = self.settings.cooldown if error.retry_after is None else error.retry_after
            state.until = self._clock() + min(rest, _MOST_REST_S)
            state.error, state.key = type(error).__name__, key
            self._tell(deployment)

    def restore(self, deployment: str, error: str | None, seconds: float) -> None:
        """Open the circuit for the rest of the time for which another process opened it."""
        self._states[deployment] = _State(self.settings.failures, self._clock() + seconds, error=error)

    def refused_key(self, deployment: str) -> str | None:
        """Return the id of the key whose refusal opened the circuit, None if it is not open for that."""
        state = self._states.get(deployment)
        return None if state is None or state.until is None or state.error not in OF_KEY else state.key

    def close(self, deployment: str) -> None:
        """Close the circuit: its cause is fixed."""
        if self._states.pop(deployment, None):
            self._tell(deployment)

    def half_open(self, deployment: str) -> None:
        """Make an open circuit half-open after a successful probe, unless a probe cannot clear its error."""
        state = self._states.get(deployment)
        if state is None or state.until is None or state.error in _NOT_PROBED:
            return
        if not self._is_due(state):
            state.until = self._clock()
            self._tell(deployment)

    def circuit(self, deployment: str) -> Circuit:
        """Return the deployment's circuit."""
        state = self._states.get(deployment) or _State()
        if state.until is None:
            return Circuit("closed", state.failures, error=state.error)
        left = max(0.0, state.until - self._clock())
        return Circuit("open" if left else "half-open", state.failures, left, state.error)

    async def wait_for_admission(self, deployments: Sequence[str], patience: float) -> bool:
        """Wait until any of them admits a request; False if none does within ``patience`` seconds.

        It does not wait for one whose cooldown ends later.
        """
        end = self._clock() + patience
        while not any(map(self.admits, deployments)):
            resting = [self._states[name] for name in deployments]  # what does not admit has a state
            now = self._clock()
            soonest = min((s.until for s in resting if s.until and s.until > now), default=math.inf)
            if now >= end or (soonest > end and not any(s.trial for s in resting)):
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(min(soonest, end) - now):
                    await self._changes.wait()
        return True

    def _is_due(self, state: _State) -> bool:
        return state.until is not None and self._clock() >= state.until

    def _tell(self, deployment: str) -> None:
        self._notify()
        self._changed(deployment, self.circuit(deployment))

    def _notify(self) -> None:
        changes, self._changes = self._changes, asyncio.Event()
        changes.set()


def _opens_at_once(error: ProviderError) -> bool:
    """Return whether one such failure opens the circuit: an immediate retry could only fail."""
    if isinstance(error, RateLimited):
        return error.retry_after is not None
    return isinstance(error, AuthenticationFailed | AccountRefused | ModelNotFound)
