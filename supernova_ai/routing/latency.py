"""How long recent attempts took, in memory, for rankings and adaptive timeouts."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from supernova_ai.config import Timeout

KEPT = 200
"""Attempts kept per deployment."""

ENOUGH = 30
"""Attempts that must be known before timeouts adapt."""

_SLACK = 3.0
"""An adaptive timeout is this many times the 99th percentile."""

_RECENT = 20
"""Attempts whose median is the current latency."""


@dataclass(slots=True)
class Samples:
    """Seconds to the whole answer and to its first token, and tokens of the answer, newest last."""

    answers: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    firsts: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    tokens: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    last_seen: float = -math.inf  # when the latest ended, on ``LatencyStats.clock``

    @property
    def latency(self) -> float:
        """The median seconds of recent answers; 0 where none is known."""
        return percentile(list(self.answers)[-_RECENT:], 0.5) if self.answers else 0.0

    @property
    def mean_tokens(self) -> float | None:
        """Tokens of an answer on average, None where none is known."""
        return sum(self.tokens) / len(self.tokens) if self.tokens else None


class LatencyStats:
    """The samples of all deployments, by id. They survive reloads.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._samples: dict[str, Samples] = {}

    def of(self, deployment: str) -> Samples:
        """Return the deployment's samples."""
        return self._samples.setdefault(deployment, Samples())

    def add(self, deployment: str, answer: float, first: float | None, tokens: int | None = None) -> None:
        """Note how long an attempt took, in seconds.

        A timed-out attempt counts with its timeout, so that timeouts grow when a provider slows down.
        """
        samples = self.of(deployment)
        samples.last_seen = self.clock()
        samples.answers.append(answer)
        if first is not None:
            samples.firsts.append(first)
        if tokens is not None:
            samples.tokens.append(tokens)

    def restore(self, deployment: str, answer: float, first: float | None) -> None:
        """Note an attempt from before this process started."""
        self.add(deployment, answer, first)
        self.of(deployment).last_seen = -math.inf


def adaptive_timeout(settings: Timeout, samples: Samples) -> Timeout:
    """Return the next attempt's timeouts: three times the 99th percentile, within what is configured."""
    if not settings.adaptive:
        return settings
    bounds = {"first_token": samples.firsts, "total": samples.answers}
    return settings.model_copy(
        update={
            name: min(getattr(settings, name), max(settings.least, _SLACK * percentile(taken, 0.99)))
            for name, taken in bounds.items()
            if len(taken) >= ENOUGH
        }
    )


def percentile(values: Iterable[float], share: float) -> float:
    """Return the nearest-rank percentile of values that are not empty; ``share`` is 0 to 1.

    >>> percentile([3, 1, 2, 4], 0.5)
    2
    """
    ordered: Sequence[float] = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
