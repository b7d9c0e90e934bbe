"""How the candidates of an attempt are ranked, best first: one class per ``routing.strategy``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from supernova_ai.engine.deployments import Deployment


class Priority:
    """By the configured priority of providers, then by key slot."""

    def rank(self, candidates: Iterable[Deployment]) -> list[Deployment]:
        """Return the candidates, best first."""
        return sorted(candidates, key=lambda d: d.rank)

    def learn(self, deployment: str, latency_s: float) -> None:
        """Take note of how long an answered attempt took; only some rankings care."""


class RoundRobin(Priority):
    """In turn: each ranking starts one further than the last."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def rank(self, candidates: Iterable[Deployment]) -> list[Deployment]:
        """Return the candidates, the one whose turn it is first."""
        ranked = super().rank(candidates)
        start = next(self._turns) % len(ranked) if ranked else 0
        return ranked[start:] + ranked[:start]


class Cost(Priority):
    """By price for a typical exchange, cheapest first; what has no known price comes last."""

    def rank(self, candidates: Iterable[Deployment]) -> list[Deployment]:
        """Return the candidates, cheapest first."""

        def price(d: Deployment) -> tuple[bool, int, int]:
            return d.price is None, d.price.bound(1000, 500) if d.price else 0, d.rank

        return sorted(candidates, key=price)


class Latency(Priority):
    """By how long each took of late, quickest first; one not heard of yet goes before them all."""

    WEIGHT = 0.3  # of the newest answer in the moving average

    def __init__(self) -> None:
        self._average: dict[str, float] = {}

    def rank(self, candidates: Iterable[Deployment]) -> list[Deployment]:
        """Return the candidates, quickest first."""
        return sorted(candidates, key=lambda d: (self._average.get(d.id, 0.0), d.rank))

    def learn(self, deployment: str, latency_s: float) -> None:
        """Move the deployment's average towards its newest latency."""
        before = self._average.get(deployment, latency_s)
        self._average[deployment] = before + self.WEIGHT * (latency_s - before)


RANKINGS: dict[str, type[Priority]] = {
    "priority": Priority,
    "round_robin": RoundRobin,
    "cost": Cost,
    "latency": Latency,
}
