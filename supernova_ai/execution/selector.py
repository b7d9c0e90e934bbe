"""The routing strategy: the point every attempt passes, where it is chosen, paid for and given its key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from supernova_ai.config import Config
from supernova_ai.errors import (
    KeyNotFound,
    NoProvider,
    ParameterRefused,
    PriceUnknown,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SupernovaError,
    VaultError,
)
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.request_state import RequestState
from supernova_ai.execution.reservations import Reservations, Taken, no_key
from supernova_ai.keys import KeySource
from supernova_ai.litellm_adapter.error_mapping import OF_THE_MODEL, REMEDIES
from supernova_ai.log import get_logger
from supernova_ai.routing.circuit_breaker import CircuitBreaker
from supernova_ai.routing.deployments import NO_KEY, Deployment, is_local, parameters
from supernova_ai.routing.latency import LatencyStats, adapted
from supernova_ai.routing.ranking import RANKINGS
from supernova_ai.routing.rate_limits import RateLimits

log = get_logger(__name__)

_LOOK_AGAIN_S = 0.05
"""How often one who waits for a provider's own limits looks again."""


class Selector:
    """Chooses the deployment of each attempt, holds its worst price, and puts its key on it alone.

    Args:
        deployments: all of them, by id.
        reservations: take the hold.
        keys: open the key.
        breaker: knows which are left in peace.
        limits: knows which have enough to do.
        book: of what each took of late.
    """

    def __init__(
        self,
        config: Config,
        deployments: Mapping[str, Deployment],
        reservations: Reservations,
        keys: KeySource,
        breaker: CircuitBreaker,
        limits: RateLimits,
        book: LatencyStats,
    ) -> None:
        self._wait = config.routing.wait
        self._retries = config.routing.retries
        self._deployments = deployments
        self._ranking = RANKINGS[config.routing.strategy](book)
        self._reservations = reservations
        self._keys = keys
        self._breaker = breaker
        self._limits = limits
        self._book = book

    async def choose(
        self, call: RequestState, candidates: list[dict[str, Any]], *, last: bool
    ) -> dict[str, Any]:
        """Return the candidate to send to, a copy of the Router's own with key and bounds for this attempt.

        Args:
            last: no cheaper tier follows, so it is worth waiting for room.

        Raises:
            RequestRejected: it was the request that was refused; if for its length, by everyone.
            BudgetExceeded: no candidate can be borne.
            PriceUnknown: a budget applies and none that is left has a price.
            NoProvider: none has a key, or all are left in peace after failures.
            RateLimited: the configured limits of all are reached.
            VaultError: of the only candidate left, the key does not open.
        """
        offered = {candidate["model_info"]["id"]: candidate for candidate in candidates}
        fitting = self._fitting(call, offered)
        await self._close_where_the_key_is_new(fitting)
        patience = asyncio.get_running_loop().time() + (self._wait if last else 0)
        while True:
            await self._wait_for_another(call, fitting, patience)
            admitted = await self._open(fitting, patience)
            try:
                taken = await self._take(call, admitted, last=last)
            except (NoProvider, PriceUnknown):  # those that rest may have what these lack
                fitting = [d for d in fitting if d not in admitted]
                if not fitting:
                    raise
                continue
            if taken is None:
                continue
            try:
                key = None if taken.key is None else self._keys.open(taken.key)
            except VaultError as error:  # one record that does not open must not take the others down
                call.failed(error)
                fitting.remove(taken.deployment)
                if not fitting:
                    raise
                continue
            call.start_attempt(key, adapted(taken.deployment.timeout, self._book.of(taken.deployment.id)))
            call.attempts[-1].key_id = None if taken.key is None else self._keys.id_of(taken.key)
            chosen = offered[taken.deployment.id]
            bounds = {
                **parameters(taken.deployment, call.request),
                "max_tokens": taken.max_tokens,
                "api_key": key.reveal() if key else NO_KEY,
                "timeout": taken.deployment.timeout.total,
            }
            return chosen | {"litellm_params": chosen["litellm_params"] | bounds}

    def _fitting(self, call: RequestState, offered: Iterable[str]) -> list[Deployment]:
        """Return those of the offered that may answer the request; raises as ``choose`` does."""
        known = [self._deployments[name] for name in offered if name in self._deployments]
        fitting = [d for d in known if d.fits(call.request) and call.only in (None, d.id)]
        if not fitting:
            raise NoProvider(
                "no configured provider has a model for this tier; check 'providers' and 'routing'"
            )
        fitting = [d for d in fitting if d.id not in call.passed_over] or fitting
        if call.error is not None:
            refused = isinstance(call.error, RequestRejected) and not isinstance(call.error, OF_THE_MODEL)
            fitting = [] if refused else _not_refused(call, fitting)
            if not fitting:
                raise call.error
        return fitting

    async def _close_where_the_key_is_new(self, candidates: Iterable[Deployment]) -> None:
        """Close the circuits that a refused key opened and whose slot has another key by now."""
        refused = {d: key for d in candidates if (key := self._breaker.refused_key(d.id))}
        if not refused:
            return
        ids = await self._reservations.ids(refused)
        for deployment, key in refused.items():
            if ids.get(deployment.id, key) != key:
                self._breaker.close(deployment.id)

    async def _wait_for_another(
        self, call: RequestState, candidates: list[Deployment], patience: float
    ) -> None:
        """Rather than ask again who just failed, wait for one not tried by this request, if it is due."""
        tried = {attempt.deployment.id for attempt in call.attempts}
        fresh = [d.id for d in candidates if d.id not in tried]
        if tried and fresh:
            await self._breaker.room(fresh, max(0.0, patience - asyncio.get_running_loop().time()))

    async def _open(self, candidates: list[Deployment], patience: float) -> list[Deployment]:
        """Return those that are neither left in peace nor at their limits; wait a little for one."""
        clock = asyncio.get_running_loop().time
        while True:
            if not await self._breaker.room([d.id for d in candidates], max(0.0, patience - clock())):
                raise self._all_rest(candidates)
            admitted = [d for d in candidates if self._breaker.admits(d.id)]
            bearing = [d for d in admitted if await self._limits.bear(d)]
            if bearing:
                return bearing
            if clock() >= patience:
                names = ", ".join(sorted({d.provider for d in admitted}))
                raise RateLimited(f"the configured limits of {names} are reached: raise 'limits', or wait")
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _all_rest(self, candidates: Iterable[Deployment]) -> NoProvider:
        """Return the error where all are in cooldown, led by what the user can mend."""
        circuits = [(d, self._breaker.circuit(d.id)) for d in candidates]
        circuits.sort(key=lambda pair: pair[1].error not in REMEDIES)
        told = []
        for d, circuit in circuits:
            left = f"{circuit.left_s:.0f} s more" if circuit.left_s else "one request is testing it"
            told.append(f"{d.name} after {circuit.error} ({left})")
        remedy = REMEDIES.get(circuits[0][1].error or "")
        advice = remedy or "Try again later, or lower 'routing.breaker.cooldown'."
        tier = circuits[0][0].tier
        return NoProvider(f"all providers of tier {tier!r} are in cooldown: {'; '.join(told)}. {advice}")

    async def _take(self, call: RequestState, candidates: list[Deployment], *, last: bool) -> Taken | None:
        """Take a hold for the best candidate that can be borne; None if other requests were quicker.

        The best is entered before the hold: of many who wait for one place, only one is to hold money.
        """
        ranked = self._ranked(call, candidates)
        best = ranked[0]
        self._ranking.took(best)  # before the first await: others rank in the meantime
        if not await self._enter(call, best):
            return None
        taken = None
        try:
            taken = await self._reservations.take(call, ranked, may_wait=last)
        finally:
            if taken is None or taken.deployment is not best:
                self._leave(call, best)
        if taken.deployment is best:
            return taken
        self._ranking.took(taken.deployment)
        entered = False
        try:
            entered = await self._enter(call, taken.deployment)
        finally:
            if not entered:
                call.withdraw_attempt()
        return taken if entered else None

    async def _enter(self, call: RequestState, deployment: Deployment) -> bool:
        """Pass the limits and the breaker, if both let the request through."""
        if not await self._limits.enter(deployment):
            return False
        if not self._breaker.enter(deployment.id, call.request.id):
            self._limits.forgo(deployment)
            return False
        return True

    def _leave(self, call: RequestState, deployment: Deployment) -> None:
        """Undo having entered: the request will not be sent there, and another may try it."""
        self._breaker.failed(deployment.id, call.request.id, None)
        self._limits.forgo(deployment)

    def retries(self, call: RequestState, tier: str) -> int:
        """Return how many attempts may follow a failed one: enough to try each deployment once."""
        if call.only:
            return 0
        served = [d for d in self._deployments.values() if d.tier == tier and d.fits(call.request)]
        return max(self._retries, len(served) - 1)

    def healthy(self, deployment: str) -> bool:
        """Say whether the deployment may be asked now, or so soon that a request waits for it."""
        return self._breaker.admits_within(deployment, self._wait)

    def rests(self, deployment: str) -> bool:
        """Say whether our own breaker has the deployment rest, or on trial."""
        return self._breaker.circuit(deployment).state != "closed"

    def unasked(self, call: RequestState) -> Iterator[str]:
        """Yield why a provider was not asked in a tier at all, if that is for want of a key or a price."""
        groups: dict[tuple[str, str], list[SupernovaError | None]] = {}
        for d in self._deployments.values():
            groups.setdefault((d.tier, d.provider), []).append(call.passed_over.get(d.id))
        for reasons in groups.values():
            if reasons[0] and all(reasons):
                yield str(reasons[0])

    def without_key(self, call: RequestState) -> NoProvider | None:
        """Return the error of a request that only a local server could take, and that is not running.

        Ollama is in the default priority, used or not: what is wrong is that no other provider has a key.
        """
        tried = [attempt.deployment for attempt in call.attempts]
        missing = any(isinstance(reason, KeyNotFound) for reason in call.passed_over.values())
        unreachable = isinstance(call.error, ProviderUnavailable) and call.error.status is None
        if not (tried and missing and unreachable and all(is_local(d) for d in tried)) or call.spent():
            return None
        names = " or ".join(sorted({d.provider for d in tried}))
        return NoProvider(f"{no_key(call)}, or start {names}")

    def first_token(self, attempt: AttemptState) -> None:
        """Take note of an attempt's first token."""
        self._breaker.answering(attempt.deployment.id, attempt.request.id)

    def ended(self, attempt: AttemptState, error: SupernovaError | None) -> None:
        """Take note of an attempt that ended."""
        end, name, request = attempt.end, attempt.deployment.id, attempt.request.id
        assert end is not None
        if isinstance(error, ParameterRefused):
            log.warning("engine.parameter.refused", deployment=name, reason=str(error))
        answered = end.state == "settled" and end.error is None
        if answered:
            self._breaker.answered(name, request)
        else:
            self._breaker.failed(name, request, error, attempt.key_id)
        latency_s = (end.latency_ms or 0) / 1000
        first_s = None if end.first_token_ms is None else end.first_token_ms / 1000
        if answered:
            self._book.add(name, latency_s, first_s, end.usage.completion)
        elif isinstance(error, ProviderTimeout) and error.status is None:
            self._book.add(name, latency_s, first_s or latency_s)
        self._limits.leave(attempt.deployment, end.usage.prompt + end.usage.completion)

    def _ranked(self, call: RequestState, candidates: Iterable[Deployment]) -> list[Deployment]:
        """Rank the candidates: first those this request has not tried, then the others in the order tried."""
        tried = [attempt.deployment.id for attempt in call.attempts]
        fresh = self._ranking.rank([d for d in candidates if d.id not in tried], call.request)
        return fresh + sorted((d for d in candidates if d.id in tried), key=lambda d: tried.index(d.id))


def _not_refused(call: RequestState, candidates: Iterable[Deployment]) -> list[Deployment]:
    """Return the candidates whose model has not refused the request as too long, or a parameter of it."""
    names = {kind.__name__ for kind in OF_THE_MODEL}
    refused = [attempt.deployment for attempt in call.attempts if attempt.end and attempt.end.error in names]
    models = {(d.provider, d.model, d.address) for d in refused}
    return [d for d in candidates if (d.provider, d.model, d.address) not in models]
