"""The selector: every attempt passes it to be given a deployment, a hold, and the deployment's key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from supernova_ai.config import Config
from supernova_ai.errors import (
    NoProvider,
    ParameterRefused,
    PriceUnknown,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    SupernovaError,
    VaultError,
)
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.request_state import RequestState
from supernova_ai.execution.reservations import Reservation, Reservations
from supernova_ai.keys import KeySource
from supernova_ai.litellm_adapter.error_mapping import MODEL_REFUSALS, REMEDIES
from supernova_ai.log import get_logger
from supernova_ai.routing.circuit_breaker import CircuitBreaker
from supernova_ai.routing.deployments import PLACEHOLDER_KEY, Deployment, prepare
from supernova_ai.routing.latency import LatencyStats, adaptive_timeout
from supernova_ai.routing.ranking import RANKINGS
from supernova_ai.routing.rate_limits import RateLimits
from supernova_ai.secret import Secret

log = get_logger(__name__)

_POLL_S = 0.05
"""How often a request that waits for a provider's rate limit checks it again, in seconds."""


class Selector:
    """Chooses the deployment of each attempt, holds the most it can cost, and adds its key.

    Args:
        deployments: all of them, by id.
        reservations: take the hold.
        keys: open the key.
        breaker: the circuits of the deployments.
        limits: requests and tokens per minute, and requests at once.
        stats: how long recent attempts took.
    """

    def __init__(
        self,
        config: Config,
        deployments: Mapping[str, Deployment],
        reservations: Reservations,
        keys: KeySource,
        breaker: CircuitBreaker,
        limits: RateLimits,
        stats: LatencyStats,
    ) -> None:
        self._wait = config.routing.wait
        self._retries = config.routing.retries
        self._deployments = deployments
        self._ranking = RANKINGS[config.routing.strategy](stats)
        self._reservations = reservations
        self._keys = keys
        self._breaker = breaker
        self._limits = limits
        self._stats = stats

    async def choose(
        self, call: RequestState, candidates: list[dict[str, Any]], *, last: bool
    ) -> dict[str, Any]:
        """Return the candidate to send to: a copy of the Router's, with key and bounds for this attempt.

        Args:
            last: no cheaper tier follows, so it may wait for a budget, a rate limit or a circuit.

        Raises:
            RequestRejected: the provider refused the request itself; for its length, all providers did.
            BudgetExceeded: no candidate fits into the budgets.
            PriceUnknown: a budget applies, and no candidate has a price.
            NoProvider: no candidate has a key, or all are in cooldown.
            RateLimited: the configured limits of all candidates are reached.
            VaultError: the key of the only candidate left cannot be decrypted.
        """
        offered = {candidate["model_info"]["id"]: candidate for candidate in candidates}
        fitting = self._fitting(call, offered)
        await self._close_circuits_of_new_keys(fitting)
        deadline = asyncio.get_running_loop().time() + (self._wait if last else 0)
        while True:
            await self._wait_for_untried(call, fitting, deadline)
            admitted = await self._admitted(fitting, deadline)
            try:
                taken = await self._reserve(call, admitted, last=last)
            except (NoProvider, PriceUnknown):  # those in cooldown may have a key or a price
                fitting = [d for d in fitting if d not in admitted]
                if not fitting:
                    raise
                continue
            if taken is None:
                continue
            try:
                key = None if taken.key is None else self._keys.open(taken.key)
            except VaultError as error:  # one damaged record must not take the others down
                call.failed(error)
                fitting.remove(taken.deployment)
                if not fitting:
                    raise
                continue
            return self._start(call, taken, key, offered[taken.deployment.id])

    def _start(
        self, call: RequestState, taken: Reservation, key: Secret | None, candidate: dict[str, Any]
    ) -> dict[str, Any]:
        """Start the attempt that holds the money; return the candidate with its key and bounds."""
        deployment, attempt = taken.deployment, call.attempts[-1]
        call.start_attempt(key, adaptive_timeout(deployment.timeout, self._stats.of(deployment.id)))
        if taken.key is not None:
            attempt.key_id = self._keys.id_of(taken.key)
            attempt.key_may_be_sent = partial(self._keys.may_be_sent, taken.key)
            self._keys.note_use(taken.key)
        prepared = prepare(deployment, call.request)
        attempt.messages, attempt.dropped = prepared.messages, prepared.dropped
        if prepared.dropped:
            log.info("engine.parameter.dropped", deployment=deployment.id, names=list(prepared.dropped))
        parameters = {
            **prepared.parameters,
            **({} if call.request.texts else {"max_tokens": taken.max_tokens}),
            "api_key": key.reveal() if key else PLACEHOLDER_KEY,
            "timeout": deployment.timeout.total,
        }
        return candidate | {"litellm_params": candidate["litellm_params"] | parameters}

    def _fitting(self, call: RequestState, offered: Iterable[str]) -> list[Deployment]:
        """Return the offered deployments that can answer the request; raises as ``choose`` does."""
        known = [self._deployments[name] for name in offered if name in self._deployments]
        fitting = [d for d in known if d.fits(call.request) and call.only in (None, d.id)]
        if not fitting:
            raise NoProvider(
                "no configured provider has a model for this tier; check 'providers' and 'routing'"
            )
        fitting = [d for d in fitting if d.id not in call.passed_over] or fitting
        if call.error is not None:
            refused = isinstance(call.error, RequestRejected) and not isinstance(call.error, MODEL_REFUSALS)
            fitting = [] if refused else _not_refused(call, fitting)
            if not fitting:
                raise call.error
        return fitting

    async def _close_circuits_of_new_keys(self, candidates: Iterable[Deployment]) -> None:
        """Close circuits that a refused key opened, where the slot has another key now."""
        refused = {d: key for d in candidates if (key := self._breaker.refused_key(d.id))}
        if not refused:
            return
        ids = await self._reservations.key_ids(refused)
        for deployment, key in refused.items():
            if ids.get(deployment.id, key) != key:
                self._breaker.close(deployment.id)

    async def _wait_for_untried(
        self, call: RequestState, candidates: list[Deployment], deadline: float
    ) -> None:
        """Wait for a deployment that this request has not tried, if its cooldown ends before the deadline."""
        tried = _failed_at(call)
        fresh = [d.id for d in candidates if d.id not in tried]
        if tried and fresh:
            await self._breaker.wait_for_admission(
                fresh, max(0.0, deadline - asyncio.get_running_loop().time())
            )

    async def _admitted(self, candidates: list[Deployment], deadline: float) -> list[Deployment]:
        """Return those that are neither in cooldown nor at their limits; wait for one until the deadline."""
        clock = asyncio.get_running_loop().time
        while True:
            if not await self._breaker.wait_for_admission(
                [d.id for d in candidates], max(0.0, deadline - clock())
            ):
                raise self._all_rest(candidates)
            admitted = [d for d in candidates if self._breaker.admits(d.id)]
            ready = [d for d in admitted if await self._limits.has_room(d)]
            if ready:
                return ready
            if clock() >= deadline:
                names = ", ".join(sorted({d.provider for d in admitted}))
                raise RateLimited(f"the configured limits of {names} are reached: raise 'limits', or wait")
            await asyncio.sleep(_POLL_S)

    def _all_rest(self, candidates: Iterable[Deployment]) -> NoProvider:
        """Return the error where all are in cooldown; what the user can fix comes first."""
        circuits = [(d, self._breaker.circuit(d.id)) for d in candidates]
        circuits.sort(key=lambda pair: pair[1].error not in REMEDIES)
        reasons = []
        for d, circuit in circuits:
            left = f"{circuit.left_s:.0f} s more" if circuit.left_s else "one request is testing it"
            reasons.append(f"{d.name} after {circuit.error} ({left})")
        remedy = REMEDIES.get(circuits[0][1].error or "")
        advice = remedy or "Try again later, or lower 'routing.breaker.cooldown'."
        tier = circuits[0][0].tier
        return NoProvider(f"all providers of tier {tier!r} are in cooldown: {'; '.join(reasons)}. {advice}")

    async def _reserve(
        self, call: RequestState, candidates: list[Deployment], *, last: bool
    ) -> Reservation | None:
        """Take a hold for the best candidate that fits the budgets; None if other requests were quicker.

        Limits and circuit of the best are acquired first: of many that wait for it, only one holds money.
        """
        ranked = self._ranked(call, candidates)
        best = ranked[0]
        self._ranking.chosen(best)  # before the first await: others rank in the meantime
        counted = await self._acquire(call, best)
        if counted is None:
            return None
        taken = None
        try:
            taken = await self._reservations.take(call, ranked, may_wait=last)
        finally:
            if taken is None or taken.deployment is not best:
                self._release(call, best, counted)
        if taken.deployment is best:
            return taken
        self._ranking.chosen(taken.deployment)
        counted = None
        try:
            counted = await self._acquire(call, taken.deployment)
        finally:
            if counted is None:
                call.withdraw_attempt()
        return None if counted is None else taken

    async def _acquire(self, call: RequestState, deployment: Deployment) -> str | None:
        """Count the request at the rate limits and the circuit, if both admit it; return as the limits do."""
        counted = await self._limits.acquire(deployment)
        if counted is not None and not self._breaker.acquire(deployment.id, call.request.id):
            self._limits.cancel(deployment, counted)
            return None
        return counted

    def _release(self, call: RequestState, deployment: Deployment, counted: str) -> None:
        """Undo ``_acquire``: the request will not be sent there."""
        self._breaker.failed(deployment.id, call.request.id, None)
        self._limits.cancel(deployment, counted)

    def retries(self, call: RequestState, tier: str) -> int:
        """Return how many attempts may follow a failed one: at least one per deployment of the tier."""
        if call.only:
            return 0
        served = [d for d in self._deployments.values() if d.tier == tier and d.fits(call.request)]
        return max(self._retries, len(served) - 1)

    def healthy(self, deployment: str) -> bool:
        """Return whether the deployment admits a request now, or soon enough that a request waits for it."""
        return self._breaker.admits_within(deployment, self._wait)

    def is_resting(self, deployment: str) -> bool:
        """Return whether this process's circuit of the deployment is open or half-open."""
        return self._breaker.circuit(deployment).state != "closed"

    def first_token(self, attempt: AttemptState) -> None:
        """Take note of an attempt's first token."""
        self._breaker.first_token(attempt.deployment.id, attempt.request.id)

    def ended(self, attempt: AttemptState, error: SupernovaError | None) -> None:
        """Take note of an attempt that ended."""
        end, name, request = attempt.end, attempt.deployment.id, attempt.request.id
        assert end is not None
        if isinstance(error, ParameterRefused):
            log.warning("engine.parameter.refused", deployment=name, reason=str(error))
        answered = end.state == "settled" and end.error is None
        if answered:
            self._breaker.succeeded(name, request)
        else:
            self._breaker.failed(name, request, error, attempt.key_id)
        latency_s = (end.latency_ms or 0) / 1000
        first_s = None if end.first_token_ms is None else end.first_token_ms / 1000
        if answered:
            self._stats.add(name, latency_s, first_s, end.usage.completion)
        elif isinstance(error, ProviderTimeout) and error.status is None:
            self._stats.add(name, latency_s, first_s or latency_s)
        self._limits.release(attempt.deployment, end.usage.prompt + end.usage.completion)

    def _ranked(self, call: RequestState, candidates: Iterable[Deployment]) -> list[Deployment]:
        """Rank the candidates: untried ones first, then the others in the order in which they were tried."""
        tried = _failed_at(call)
        fresh = self._ranking.rank([d for d in candidates if d.id not in tried], call.request)
        return fresh + sorted((d for d in candidates if d.id in tried), key=lambda d: tried.index(d.id))


def _failed_at(call: RequestState) -> list[str]:
    """Return the deployments at which the request has failed, in order."""
    return [one.deployment.id for one in call.attempts if one.end is None or one.end.error is not None]


def _not_refused(call: RequestState, candidates: Iterable[Deployment]) -> list[Deployment]:
    """Leave out candidates whose model refused the request's length or one of its parameters."""
    names = {kind.__name__ for kind in MODEL_REFUSALS}
    refused = [attempt.deployment for attempt in call.attempts if attempt.end and attempt.end.error in names]
    models = {(d.provider, d.model, d.address) for d in refused}
    return [d for d in candidates if (d.provider, d.model, d.address) not in models]
