"""The routing strategy: the point every attempt passes, where it is chosen, paid for and given its key."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from peewee import Database

from supernova_ai.engine import pricing
from supernova_ai.engine.call import Call
from supernova_ai.engine.deployments import NO_KEY, Deployment
from supernova_ai.engine.ranking import Priority
from supernova_ai.errors import (
    BudgetExceeded,
    KeyNotFound,
    NoProvider,
    PriceUnknown,
    SupernovaError,
    VaultError,
)
from supernova_ai.keys import KeySource, SealedKey
from supernova_ai.ledger import Entry, Hold, Ledger
from supernova_ai.money import to_nano, to_usd
from supernova_ai.secret import Secret

Found = SealedKey | Secret | None


class Strategy:
    """Chooses the deployment of each attempt, holds its worst price, and puts its key on it alone.

    Args:
        deployments: all of them, by id.
        ranking: of the candidates that were not tried yet.
        versions: of the configuration and the price map, for the ledger.
    """

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        ranking: Priority,
        ledger: Ledger,
        keys: KeySource,
        *,
        versions: tuple[str, str],
    ) -> None:
        self._deployments = deployments
        self._ranking = ranking
        self._ledger = ledger
        self._keys = keys
        self._versions = versions

    async def choose(self, call: Call, candidates: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the candidate to send to, a copy of the Router's own with key and bounds for this attempt.

        Raises:
            BudgetExceeded: no candidate can be borne.
            PriceUnknown: a budget applies and none that is left has a price.
            NoProvider: none has a key.
        """
        offered = {candidate["model_info"]["id"]: candidate for candidate in candidates}
        ranked = self._ranked(call, map(self._deployments.__getitem__, offered))
        refusals: list[SupernovaError] = []
        while True:
            deployment, found = await self._hold(call, ranked, refusals)
            try:
                key = NO_KEY if found is None else self._keys.open(found).reveal()
            except VaultError as error:  # one record that does not open must not take the others down
                call.failed(error)
                refusals.append(error)
                ranked.remove(deployment)
                continue
            chosen = offered[deployment.id]
            bounds = {"max_tokens": call.request.max_tokens, "api_key": key}
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

    async def _hold(
        self, call: Call, ranked: list[Deployment], refusals: list[SupernovaError]
    ) -> tuple[Deployment, Found]:
        """Take a hold for the first candidate that has a key and that every budget can bear, in one step."""

        def operation(database: Database) -> tuple[Deployment, Found, Hold]:
            for deployment in ranked:
                try:
                    found = self._key(database, deployment)
                    return deployment, found, self._ledger.place(database, self._entry(call, deployment))
                except (BudgetExceeded, PriceUnknown, KeyNotFound) as refusal:
                    refusals.append(refusal)
            raise _worst(refusals)

        deployment, found, hold = await asyncio.wrap_future(self._ledger.write(operation))
        call.begin(deployment, hold)
        return deployment, found

    def _key(self, database: Database, deployment: Deployment) -> Found:
        if deployment.slot is None:
            return None
        found = self._keys.find(database, deployment.provider, deployment.slot)
        if found is None:
            raise KeyNotFound(
                f"no key for {deployment.provider} ({deployment.slot}): "
                f"run 'supernova keys add {deployment.provider}'"
            )
        return found

    def _entry(self, call: Call, deployment: Deployment) -> Entry:
        request = call.request
        amount = self._bound(call, deployment)
        return Entry(
            id=uuid.uuid4().hex,
            request=request.id,
            process="",
            user_id=request.user_id,
            session_id=request.session_id,
            task=request.task,
            tier=deployment.tier,
            provider=deployment.provider,
            model=deployment.model,
            key_slot=deployment.slot,
            held_nano=amount,
            started_ms=self._ledger.now_ms(),
            prompt_name=request.prompt_name,
            prompt_hash=request.prompt_hash,
            config_version=self._versions[0],
            price_version=self._versions[1],
        )

    def _bound(self, call: Call, deployment: Deployment) -> int:
        """Return the most the attempt can cost, in nano-USD, refusing what no limit could be kept for."""
        request = call.request
        if deployment.price is None:
            if request.max_cost is not None or self._ledger.is_bounded(
                provider=deployment.provider, user=request.user_id, task=request.task
            ):
                raise PriceUnknown(
                    f"no price is known for {deployment.provider}/{deployment.model} and a budget applies: "
                    f"write it under providers.{deployment.provider}.prices, or 'price: free' if it is"
                )
            return 0
        amount = deployment.price.bound(pricing.prompt_bound(request.messages), request.max_tokens)
        if request.max_cost is not None:
            spent = sum(flight.end.cost for flight in call.flights if flight.end)
            if spent + amount > to_nano(request.max_cost):
                raise BudgetExceeded(
                    budget="max_cost",
                    spent=to_usd(spent),
                    held=to_usd(0),
                    limit=request.max_cost,
                    needed=to_usd(amount),
                    resets_at=None,
                )
        return amount


def _worst(refusals: list[SupernovaError]) -> SupernovaError:
    """Return the refusal that tells the caller most: money before prices before keys."""
    for kind in (BudgetExceeded, PriceUnknown):
        for refusal in refusals:
            if isinstance(refusal, kind):
                return refusal
    if refusals:
        return NoProvider("; ".join(dict.fromkeys(map(str, refusals))))
    return NoProvider("no configured provider has a model for this tier; check 'providers' and 'routing'")
