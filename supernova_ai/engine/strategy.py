"""The routing strategy: the point every attempt passes, where it is chosen, paid for and given its key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from supernova_ai.engine.call import Call
from supernova_ai.engine.deployments import NO_KEY, Deployment
from supernova_ai.engine.ranking import Priority
from supernova_ai.engine.reservation import Reservations
from supernova_ai.errors import VaultError
from supernova_ai.keys import KeySource


class Strategy:
    """Chooses the deployment of each attempt, holds its worst price, and puts its key on it alone.

    Args:
        deployments: all of them, by id.
        ranking: of the candidates that were not tried yet.
        reservations: take the hold.
        keys: open the key.
    """

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        ranking: Priority,
        reservations: Reservations,
        keys: KeySource,
    ) -> None:
        self._deployments = deployments
        self._ranking = ranking
        self._reservations = reservations
        self._keys = keys

    async def choose(self, call: Call, candidates: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
        """Return the candidate to send to, a copy of the Router's own with key and bounds for this attempt.

        Args:
            last: no cheaper tier follows, so it is worth waiting for room.

        Raises:
            BudgetExceeded: no candidate can be borne.
            PriceUnknown: a budget applies and none that is left has a price.
            NoProvider: none has a key.
            VaultError: of the only candidate left, the key does not open.
        """
        offered = {candidate["model_info"]["id"]: candidate for candidate in candidates}
        ranked = self._ranked(call, map(self._deployments.__getitem__, offered))
        while True:
            taken = await self._reservations.take(call, ranked, may_wait=last)
            try:
                key = None if taken.key is None else self._keys.open(taken.key)
            except VaultError as error:  # one record that does not open must not take the others down
                call.failed(error)
                ranked.remove(taken.deployment)
                if not ranked:
                    raise
                continue
            call.flights[-1].key = key
            chosen = offered[taken.deployment.id]
            bounds = {"max_tokens": taken.max_tokens, "api_key": key.reveal() if key else NO_KEY}
            return chosen | {"litellm_params": chosen["litellm_params"] | bounds}

    def learn(self, call: Call) -> None:
        """Let the ranking know how a finished call's attempts went."""
        for flight in call.flights:
            if flight.end and flight.end.state == "settled" and flight.end.latency_ms is not None:
                self._ranking.learn(flight.deployment.id, flight.end.latency_ms / 1000)

    def _ranked(self, call: Call, candidates: Iterable[Deployment]) -> list[Deployment]:
        """Rank the candidates: first those this request has not tried, then the others in the order tried."""
        tried = [flight.deployment.id for flight in call.flights]
        pinned = [d for d in candidates if call.request.model in (None, d.model, f"{d.provider}/{d.model}")]
        fresh = self._ranking.rank(d for d in pinned if d.id not in tried)
        return fresh + sorted((d for d in pinned if d.id in tried), key=lambda d: tried.index(d.id))
