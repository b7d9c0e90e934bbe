"""How the candidates of an attempt are ranked, best first: one class per ``routing.strategy``.

A strategy orders providers. The key slots of one provider follow each other: the first is preferred, or they
take turns where ``slots: share`` is set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from supernova_ai.litellm_adapter import token_bounds
from supernova_ai.routing.deployments import Deployment
from supernova_ai.routing.latency import LatencyStats
from supernova_ai.types import Request, Usage

_USUAL_TOKENS = 500
"""Expected tokens of an answer, as long as the deployment has not answered."""

_EXPLORE = 20
"""Every so many requests, ``latency`` first asks a deployment without a recent answer."""

_STALE_S = 30.0
"""Seconds after which an answer is no longer recent."""

Slots = Sequence[Deployment]
"""One provider's deployments of a tier, the slot to ask first at the front."""


class ByPriority:
    """By the configured priority of providers."""

    def __init__(self, stats: LatencyStats) -> None:
        self._stats = stats
        self._turns: dict[str, int] = {}
        self._next = itertools.count(1)

    def rank(self, candidates: Iterable[Deployment], request: Request) -> list[Deployment]:
        """Return the candidates, best first."""
        providers: dict[str, list[Deployment]] = {}
        for deployment in sorted(candidates, key=lambda d: (self._turn(d) if d.shares else 0, d.rank)):
            providers.setdefault(deployment.provider, []).append(deployment)
        return [d for slots in self._order(list(providers.values()), request) for d in slots]

    def chosen(self, deployment: Deployment) -> None:
        """Note that the deployment was chosen."""
        self._turns[deployment.id] = self._turns[_group(deployment)] = next(self._next)

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:  # noqa: ARG002 - Cost needs it
        return sorted(providers, key=_rank)

    def _turn(self, deployment: Deployment) -> int:
        return self._turns.get(deployment.id, 0)


class ByTurn(ByPriority):
    """In turn: the provider whose last request is the oldest goes first."""

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:  # noqa: ARG002 - Cost needs it
        return sorted(providers, key=lambda slots: (self._turns.get(_group(slots[0]), 0), _rank(slots)))


class ByCost(ByPriority):
    """By the expected cost of the request, cheapest first; an unknown price comes last."""

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:
        def cost(slots: Slots) -> tuple[float, int]:
            price = slots[0].price
            prompt = token_bounds.expected_prompt_tokens(request, slots[0].model)
            usual = self._stats.of(slots[0].id).mean_tokens or _USUAL_TOKENS
            usage = Usage(prompt, min(request.max_tokens, round(usual)))
            return math.inf if price is None else price.cost(usage), _rank(slots)

        return sorted(providers, key=cost)


class ByLatency(ByPriority):
    """By the median time of recent answers, fastest first; one without any goes before them all.

    So that the recovery of a slow provider is noticed, every twentieth request first asks the one whose last
    answer is the oldest, if it is older than half a minute.
    """

    def __init__(self, stats: LatencyStats) -> None:
        super().__init__(stats)
        self._asked = itertools.count(1)

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:  # noqa: ARG002 - Cost needs it
        ranked = sorted(providers, key=lambda slots: (self._stats.of(slots[0].id).latency, _rank(slots)))
        if next(self._asked) % _EXPLORE == 0:
            oldest = min(ranked, key=self._last_seen, default=())
            if oldest and self._stats.clock() - self._last_seen(oldest) > _STALE_S:
                ranked.sort(key=lambda slots: slots is not oldest)
        return ranked

    def _last_seen(self, slots: Slots) -> float:
        return self._stats.of(slots[0].id).last_seen


def _group(deployment: Deployment) -> str:
    """Return the id that a provider's deployments of a tier share."""
    return deployment.identity._replace(slot="*").id


def _rank(slots: Slots) -> int:
    return min(deployment.rank for deployment in slots)


RANKINGS: dict[str, type[ByPriority]] = {
    "priority": ByPriority,
    "round_robin": ByTurn,
    "cost": ByCost,
    "latency": ByLatency,
}
