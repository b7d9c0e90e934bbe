"""The engine: it sends requests through LiteLLM's Router, and every attempt ends its hold."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec

from supernova_ai.config import Config, check_tls, tls_unverified_by
from supernova_ai.errors import (
    ExtraMissing,
    NoProvider,
    ProviderError,
    ProviderTimeout,
    StreamInterrupted,
    SupernovaError,
)
from supernova_ai.execution import cache
from supernova_ai.execution.event_loop import EventLoopThread
from supernova_ai.execution.monitor import Monitor
from supernova_ai.execution.request_state import RequestState, Versions
from supernova_ai.execution.reservations import Reservations
from supernova_ai.execution.selector import Selector
from supernova_ai.keys import KeySource
from supernova_ai.ledger import Ledger
from supernova_ai.litellm_adapter import error_mapping, prices, token_bounds
from supernova_ai.litellm_adapter.router import Router
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.routing import deployments as fleet
from supernova_ai.routing.deployments import Deployment
from supernova_ai.routing.rate_limits import RateLimits
from supernova_ai.routing.tiers import assign_tier
from supernova_ai.secret import Secret
from supernova_ai.types import PROBE, Quote, Reply, Request, Tier

log = get_logger(__name__)


class Engine:
    """Answers requests. LiteLLM runs on one event loop; ``run`` reaches it from any loop and thread.

    Args:
        config_version: cached on every attempt's row.
        timer: seconds, monotonic.
    """

    def __init__(
        self,
        config: Config,
        config_version: str,
        ledger: Ledger,
        keys: KeySource,
        *,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        if config.redis and find_spec("redis") is None:
            raise ExtraMissing(
                "'redis' is configured and its driver is missing: pip install 'supernova-ai[redis]'"
            )
        self._ledger = ledger
        self._keys = keys
        self._timer = timer
        self._cache = cache.build(config, ledger, keys, timer)
        self._background = EventLoopThread()
        self.run = self._background.run
        self._background.submit(self._open(config, config_version)).result()

    async def _open(self, config: Config, version: str) -> None:
        self._router = Router(config)
        self._limits = RateLimits(self._router.cache)
        self.monitor = Monitor(config, self._ledger, router=self._router, find_key=self._key, ask=self._ask)
        await self.apply(config, version)

    async def apply(self, config: Config, version: str) -> None:
        """Apply this configuration to new calls, on the engine's loop; running calls keep their own."""
        fleet.check_providers(config)
        check_tls(verify=config.verify_tls)
        if reason := tls_unverified_by():
            log.warning("engine.tls.unverified", reason=reason, then="any server could take the keys")
        self._applied = (config, version)
        self._versions = Versions(version, prices.version())
        self._deployments = fleet.build(config)
        for model in sorted(
            {f"{d.provider}/{d.model}" for d in self._deployments.values() if d.price is None}
        ):
            log.warning("engine.price.unknown", model=model, then="not asked where a budget applies")
        self._cache.apply(config.cache, self._deployments.values())
        self.monitor.apply(config, self._deployments)
        never_asked = config.providers.keys() - set(config.active_providers)
        self._reservations = Reservations(self._ledger, self._keys, config.routing, never_asked)
        self._selector = Selector(
            config,
            self._deployments,
            self._reservations,
            self._keys,
            self.monitor.breaker,
            self._limits,
            self.monitor.stats,
        )
        self._router.apply(
            config,
            fleet.model_list(config, self._deployments),
            fleet.price_entries(self._deployments),
            self._selector,
        )

    def reload(self, config: Config, version: str) -> None:
        """Apply this configuration, or keep the one before and raise if LiteLLM refuses it."""
        before = self._applied
        try:
            self._background.submit(self.apply(config, version)).result()
        except Exception:
            self._background.submit(self.apply(*before)).result()
            raise

    async def complete(self, request: Request) -> Reply:
        """Answer the request in one piece. Await it on the caller's own loop.

        Raises:
            SupernovaError: it could not be answered; every hold has ended.
        """
        call = self._call(request)
        try:
            return await self.run(self._complete(call))
        finally:
            await call.durable()  # here: on the engine's loop it would queue behind LiteLLM's after-work

    async def _complete(self, call: RequestState) -> Reply:
        key = self._cache.cache_key(call.request)
        if cached := await self._cache.look_up(call, key):
            return cached
        failure: Exception | None = None
        try:
            async with asyncio.timeout(call.request.timeout):
                await self._router.ask(call, stream=False)
            call.settle_answer()
        except BaseException as error:
            failure = self._failed(call, error)
        finally:
            self._router.forget(call)
        if failure is not None:
            raise failure
        reply = call.reply(call.attempts[-1].finish_reason)
        await self._cache.store(call, key, reply)
        return reply

    def quote(self, request: Request) -> Quote:
        """Return the most the request can cost at each deployment, and what its budgets have left."""
        request, _ = self._assign_tier(request)
        served = [d for d in self._deployments.values() if d.tier == request.tier and d.fits(request)]
        room = self._ledger.remaining_by_budget(
            {d.provider for d in served}, user=request.user_id, task=request.task
        )
        return Quote(
            tier=request.tier,
            max_tokens=request.max_tokens,
            worst_case={f"{d.provider}/{d.model}": _worst(d, request) for d in served},
            headroom={budget: to_usd(left) for budget, left in room.items()},
        )

    async def stream(self, request: Request) -> AsyncGenerator[str | Reply, None]:
        """Yield the answer's text as it comes, and the finished ``Reply`` last.

        If the stream breaks and the request says ``resume``, another deployment continues it. Closing the
        generator early settles the hold for what was received.
        """
        call = self._call(request)
        key = self._cache.cache_key(call.request)
        if cached := await self._cache.look_up(call, key):
            yield cached.content
            yield cached
            return
        deadline = None if request.timeout is None else asyncio.get_running_loop().time() + request.timeout
        failure: Exception | None = None
        finish_reason = None
        try:
            while True:
                try:
                    async with aclosing(self._pieces(call, deadline)) as pieces:
                        async for piece in pieces:
                            yield piece
                    finish_reason, rest = call.settle_stream()
                    if rest:
                        yield rest
                    break
                except Exception as error:
                    call.failed(error)
                    # Out of time, or refused by this package: no other deployment is asked.
                    if isinstance(error, TimeoutError | SupernovaError) or not self._may_resume(call):
                        raise
                call.resume()
        except BaseException as error:
            failure = self._failed(call, error)
        finally:
            self._router.forget(call)
            await call.durable()
        if failure is not None:
            raise failure
        reply = call.reply(finish_reason)
        await self._cache.store(call, key, reply)
        yield reply

    async def _pieces(self, call: RequestState, deadline: float | None) -> AsyncGenerator[str, None]:
        """Yield the text of one stream until it ends or breaks; each piece must come within its timeout."""
        async with asyncio.timeout_at(deadline):
            response = await self._router.ask(call, stream=True)
        attempt = call.attempts[-1]
        try:
            while True:
                try:
                    between = attempt.timeout.between_tokens
                    async with asyncio.timeout_at(deadline), asyncio.timeout(between) as silence:
                        text = attempt.unread.popleft() if attempt.unread else ""
                        text = text or attempt.read((await anext(response)).choices)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    if attempt.finish_reason:
                        return  # the answer is whole: only the end of the stream is missing
                    if not isinstance(error, TimeoutError):
                        raise error_mapping.stream_error(error, attempt.deployment)  # noqa: B904 - it has its cause
                    if not silence.expired():
                        raise
                    raise error_mapping.timed_out(attempt.deployment) from None
                if text and (new := call.add_text(text)):
                    yield new
        finally:
            await response.aclose()

    def _may_resume(self, call: RequestState) -> bool:
        """Say whether another deployment may continue a stream that broke after some text was shown."""
        return bool(
            call.asked.on_interrupt == "resume"
            and call.attempts
            and call.attempts[-1].first_token is not None
            and call.breaks < max(1, self._selector.retries(call, call.attempts[-1].deployment.tier))
        )

    def close(self) -> None:
        """Cancel running calls, settle their holds and stop the loop. Closing twice does nothing."""
        self._background.close(self._aclose)

    async def _aclose(self) -> None:
        await self._router.aclose()
        await self._cache.aclose()

    async def _key(self, deployment: Deployment) -> tuple[Secret | None, str | None]:
        """Open the deployment's key for a probe; return it with its id."""
        found = await asyncio.to_thread(
            self._ledger.store.read, lambda database: self._reservations.find_key(database, deployment)
        )
        return (None, None) if found is None else (self._keys.open(found), self._keys.id_of(found))

    async def _ask(self, deployment: Deployment) -> None:
        """Request one token, which is paid for; if the circuit is open this is its test."""
        self.monitor.breaker.half_open(deployment.id)
        request = Request(
            id=uuid.uuid4().hex,
            messages=({"role": "user", "content": "Hi"},),
            tier=deployment.tier,
            task=PROBE,
            max_tokens=1,
            model=f"{deployment.provider}/{deployment.model}",
            timeout=deployment.timeout.total,
            cache=False,
        )
        call = self._call(request)
        call.only = deployment.id
        try:
            await self._complete(call)
        finally:
            await call.durable()

    def _assign_tier(self, request: Request) -> tuple[Request, list[Tier]]:
        return assign_tier(request, self._applied[0], self._deployments)

    def _call(self, request: Request) -> RequestState:
        request, below = self._assign_tier(request)
        if request.began_ms is None:
            request = replace(request, began_ms=self._ledger.now_ms())
        return RequestState(
            request, self._ledger, self._selector, self._timer, below=below, versions=self._versions
        )

    def _failed(self, call: RequestState, error: BaseException) -> Exception:
        """End the hold of the current attempt, and return the error to raise.

        Raise it outside the ``except`` block: LiteLLM's error and its frames may hold the key, and must not
        become the context of ours. A cancellation is raised from here.
        """
        call.failed(error)
        if not isinstance(error, Exception):
            raise error
        ours = error_mapping.translate(error)
        if isinstance(error, TimeoutError):
            ours = call.error = ProviderTimeout(f"no whole answer within {call.request.allowed:g} s")
        elif call.error and isinstance(ours, NoProvider | ProviderError):
            ours = call.error  # the last failure says more than "no deployment is left"
        if call.shown and isinstance(call.error, ProviderError):
            ours = StreamInterrupted(call.shown, call.error)
        keyless = self._selector.no_key_error(call)
        ours = keyless or ours
        notes = [f"before that: {error}" for error in call.errors]
        notes += [f"not asked: {reason}" for reason in self._selector.not_asked(call)]
        for line in dict.fromkeys(notes):
            if keyless is None and line.partition(": ")[2] not in str(ours):
                ours.add_note(line)
        ours.request_id = call.request.id
        ours.__context__ = None
        return ours.with_traceback(None)


def _worst(deployment: Deployment, request: Request) -> Decimal | None:
    """Return the most the request can cost at the deployment, in USD; None where no price is known."""
    if deployment.price is None:
        return None
    return to_usd(
        deployment.price.bound(token_bounds.request_bound(request, deployment.model), request.max_tokens)
    )
