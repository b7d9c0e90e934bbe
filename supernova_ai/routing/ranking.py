"""How the candidates of an attempt are ranked, best first: one class per ``routing.strategy``.

A strategy orders providers. The key slots of one provider follow each other: they stand by for the first, or
take turns where ``slots: share`` says so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from supernova_ai.litellm_adapter import prices
from supernova_ai.routing.deployments import Deployment
from supernova_ai.routing.latency import LatencyStats
from supernova_ai.types import Request, Usage

_USUAL_TOKENS = 500
"""Tokens of an answer as long as none of the deployment is known."""

_EXPLORE = 20
"""Every so many requests the latency strategy asks one it has not heard of for a while …"""

_STALE_S = 30.0
"""… which is so many seconds."""

Slots = Sequence[Deployment]
"""One provider's deployments of a tier, the slot to ask first at the front."""


class ByPriority:
    """By the configured priority of providers."""

    def __init__(self, book: LatencyStats) -> None:
        self._book = book
        self._turns: dict[str, int] = {}
        self._next = itertools.count(1)

    def rank(self, candidates: Iterable[Deployment], request: Request) -> list[Deployment]:
        """Return the candidates, best first."""
        providers: dict[str, list[Deployment]] = {}
        for deployment in sorted(candidates, key=lambda d: (self._turn(d) if d.shares else 0, d.rank)):
            providers.setdefault(deployment.provider, []).append(deployment)
        return [d for slots in self._order(list(providers.values()), request) for d in slots]

    def took(self, deployment: Deployment) -> None:
        """Note that the deployment was chosen."""
        self._turns[deployment.id] = self._turns[_group(deployment)] = next(self._next)

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:  # noqa: ARG002 - Cost needs it
        return sorted(providers, key=_rank)

    def _turn(self, deployment: Deployment) -> int:
        return self._turns.get(deployment.id, 0)


class ByTurn(ByPriority):
    """In turn: the one that was not asked for the longest goes first."""

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:  # noqa: ARG002 - Cost needs it
        return sorted(providers, key=lambda slots: (self._turns.get(_group(slots[0]), 0), _rank(slots)))


class ByCost(ByPriority):
    """By what the request is expected to cost, cheapest first; what has no known price comes last."""

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:
        def cost(slots: Slots) -> tuple[float, int]:
            price = slots[0].price
            prompt = prices.expected_prompt(request, slots[0].model)
            usual = self._book.of(slots[0].id).mean_tokens or _USUAL_TOKENS
            usage = Usage(prompt, min(request.max_tokens, round(usual)))
            return math.inf if price is None else price.cost(usage), _rank(slots)

        return sorted(providers, key=cost)


class ByLatency(ByPriority):
    """By the median time of recent answers, quickest first; one not heard of yet goes before them all.

    So that a slow one's recovery is noticed, every twentieth request first asks whoever was not heard of for
    the longest, if that is half a minute.
    """

    def __init__(self, book: LatencyStats) -> None:
        super().__init__(book)
        self._asked = itertools.count(1)

    def _order(self, providers: list[Slots], request: Request) -> list[Slots]:  # noqa: ARG002 - Cost needs it
        ranked = sorted(providers, key=lambda slots: (self._book.of(slots[0].id).latency, _rank(slots)))
        if next(self._asked) % _EXPLORE == 0:
            oldest = min(ranked, key=self._heard, default=())
            if oldest and self._book.clock() - self._heard(oldest) > _STALE_S:
                ranked.sort(key=lambda slots: slots is not oldest)
        return ranked

    def _heard(self, slots: Slots) -> float:
        return self._book.of(slots[0].id).heard


def _group(deployment: Deployment) -> str:
    """Return what a provider's deployments of a tier have in common."""
    return deployment.place._replace(slot="*").id


def _rank(slots: Slots) -> int:
    return min(deployment.rank for deployment in slots)


RANKINGS: dict[str, type[ByPriority]] = {
    "priority": ByPriority,
    "round_robin": ByTurn,
    "cost": ByCost,
    "latency": ByLatency,
}
