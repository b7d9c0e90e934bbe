"""The engine: it sends requests through LiteLLM's Router, and every attempt ends its hold."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

from supernova_ai.concurrency import deadline_after
from supernova_ai.config import Config, check_tls, tls_unverified_by
from supernova_ai.errors import ExtraMissing, SupernovaError
from supernova_ai.execution import cache
from supernova_ai.execution.event_loop import EventLoopThread
from supernova_ai.execution.final_error import final_error
from supernova_ai.execution.monitor import Monitor
from supernova_ai.execution.probes import ProbedKey
from supernova_ai.execution.quotes import quote
from supernova_ai.execution.replies import reply_of
from supernova_ai.execution.request_state import RequestState, Versions
from supernova_ai.execution.reservations import Reservations
from supernova_ai.execution.selector import Selector
from supernova_ai.execution.stream_pieces import pieces_of
from supernova_ai.execution.text_requests import TextRequests
from supernova_ai.keys import KeySource
from supernova_ai.ledger import Ledger
from supernova_ai.litellm_adapter.router import Router
from supernova_ai.log import get_logger, in_request
from supernova_ai.pricing import price_map
from supernova_ai.routing import deployments as fleet
from supernova_ai.routing.deployments import Deployment
from supernova_ai.routing.provider_checks import check_providers
from supernova_ai.routing.rate_limits import RateLimits
from supernova_ai.routing.tiers import assign_tier
from supernova_ai.traces import answered, in_span
from supernova_ai.types import (
    PROBE,
    RERANK,
    TIERS,
    Embeddings,
    ModelGroup,
    Probe,
    Quote,
    Ranking,
    Reply,
    Request,
)

log = get_logger(__name__)


class Engine:
    """Answers requests. LiteLLM runs on one event loop; ``run`` reaches it from any loop and thread.

    Args:
        config_version: recorded with every attempt.
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
        self._unused: set[asyncio.Future[Any]] = set()  # holds of cancelled calls, being taken
        self._background.submit(self._open(config, config_version)).result()

    async def _open(self, config: Config, version: str) -> None:
        self._router = Router(config)
        self._limits = RateLimits(self._router.cache)
        self.monitor = Monitor(config, self._ledger, router=self._router, find_key=self._key, ask=self._ask)
        await self.apply(config, version)

    async def apply(self, config: Config, version: str) -> None:
        """Apply this configuration to new attempts, on the engine's loop; running attempts keep their own."""
        check_providers(config)
        check_tls(verify=config.verify_tls)
        if reason := tls_unverified_by():
            log.warning("engine.tls.unverified", reason=reason, then="any server could take the keys")
        self._applied = (config, version)
        self._versions = Versions(version, price_map.version(), config.environment)
        self._deployments = fleet.build(config)
        for model in sorted(
            {f"{d.provider}/{d.model}" for d in self._deployments.values() if d.price is None}
        ):
            log.warning("engine.price.unknown", model=model, then="not asked where a budget applies")
        self._cache.apply(config.cache, self._deployments.values())
        self.monitor.apply(config, self._deployments)
        never_asked = config.providers.keys() - set(config.active_providers)
        self._reservations = Reservations(
            self._ledger,
            self._keys,
            config.routing,
            self._versions,
            never_asked=never_asked,
            unused=self._unused,
        )
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

    def probe(self, *, pay: bool = False) -> list[Probe]:
        """Probe every key once, and wait for the results; without cost unless ``pay``."""
        return self._background.submit(self.monitor.prober.probe(pay=pay)).result()

    async def complete(self, request: Request) -> Reply:
        """Answer the request in one piece. Await it on the caller's own loop.

        Raises:
            SupernovaError: it could not be answered; every hold has ended.
        """
        with in_request(request), in_span(request):
            call = self._call(request)
            try:
                reply = await self.run(self._complete(call))
                answered(reply.cost)
                return reply
            finally:
                await call.durable()  # here: on the engine's loop it would queue behind LiteLLM's after-work

    async def _complete(self, call: RequestState) -> Reply:
        key, deadline = self._cache.cache_key(call.request), deadline_after(call.request.timeout)
        failure: Exception | None = None
        try:
            async with asyncio.timeout_at(deadline):
                if cached := await self._cache.look_up(call, key, self._versions):
                    return cached
                await self._router.ask(call, stream=False)
                call.settle_answer()
            await self._repair(call, deadline)
        except BaseException as error:
            failure = self._failed(call, error)
        finally:
            self._router.forget(call)
        if failure is not None:
            raise failure
        reply = reply_of(call)
        await self._cache.store(call, key, reply)
        return reply

    async def embed(self, request: Request) -> Embeddings:
        """Return the vectors of the request's texts; otherwise as ``complete``."""
        with in_request(request), in_span(request):
            return await self._text_requests().embed(self._assign_tier(request)[0])

    async def rerank(self, request: Request) -> Ranking:
        """Return the request's documents by their relevance; otherwise as ``complete``."""
        with in_request(request), in_span(request):
            return await self._text_requests().rerank(request)

    def _text_requests(self) -> TextRequests:
        return TextRequests(self.complete, self._cache, self.run, self._versions, self._timer)

    def quote(self, request: Request) -> Quote:
        """Return the most the request can cost at each deployment, and what its budgets have left."""
        return quote(self._assign_tier(request)[0], self._deployments.values(), self._ledger)

    async def stream(self, request: Request) -> AsyncGenerator[str | Reply, None]:
        """Yield the answer's text as it comes, and the finished ``Reply`` last.

        If the stream breaks and the request says ``resume``, another deployment continues it. Closing the
        generator early settles the hold for what was received.
        """
        call = self._call(request)
        key, deadline = self._cache.cache_key(call.request), deadline_after(call.request.timeout)
        failure: Exception | None = None
        try:
            async with asyncio.timeout_at(deadline):
                cached = await self._cache.look_up(call, key, self._versions)
            if cached:
                yield cached.content
                yield cached
                return
            while True:
                try:
                    async with aclosing(pieces_of(self._router, call, deadline)) as pieces:
                        async for piece in pieces:
                            yield piece
                    if rest := call.settle_stream():
                        yield rest
                    break
                except Exception as error:
                    call.failed(error)
                    # Out of time, or refused by this package: no other deployment is asked.
                    if isinstance(error, TimeoutError | SupernovaError) or not self._may_resume(call):
                        raise
                call.resume()
            await self._repair(call, deadline)
        except BaseException as error:
            failure = self._failed(call, error)
        finally:
            self._router.forget(call)
            await call.durable()
        if failure is not None:
            raise failure
        reply = reply_of(call)
        await self._cache.store(call, key, reply)
        yield reply

    async def _repair(self, call: RequestState, deadline: float | None) -> None:
        """Ask once more for an answer that does not have its schema; if that fails, the first one stays."""
        if not call.begin_repair():
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._router.ask(call, stream=False)
                call.settle_answer()
        except Exception as error:
            call.end_repair(self._failed(call, error))

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
        if self._unused:
            await asyncio.wait(self._unused)
        await self._router.aclose()
        await self._cache.aclose()

    async def _key(self, deployment: Deployment) -> ProbedKey:
        """Open the deployment's key for a probe."""
        found = await asyncio.to_thread(
            self._ledger.store.read, lambda database: self._reservations.find_key(database, deployment)
        )
        if found is None:
            return ProbedKey()
        may_be_sent = partial(self._keys.may_be_sent, found)
        return ProbedKey(self._keys.open(found), self._keys.id_of(found), may_be_sent)

    async def _ask(self, deployment: Deployment) -> None:
        """Request one token, or a vector, which is paid for; if the circuit is open this is its test."""
        self.monitor.breaker.half_open(deployment.id)
        chats = deployment.tier in TIERS
        request = Request(
            id=uuid.uuid4().hex,
            messages=({"role": "user", "content": "Hi"},) if chats else (),
            tier=deployment.tier,
            task=PROBE,
            max_tokens=1 if chats else 0,
            texts=() if chats else ("Hi",),
            query="Hi" if deployment.tier == RERANK else None,
            model=f"{deployment.provider}/{deployment.model}",
            timeout=deployment.timeout.total,
            cache=False,
        )
        with in_request(request), in_span(request):
            call = self._call(request)
            call.only = deployment.id
            try:
                await self._complete(call)
            finally:
                await call.durable()

    def _assign_tier(self, request: Request) -> tuple[Request, list[ModelGroup]]:
        return assign_tier(request, self._applied[0], self._deployments)

    def _call(self, request: Request) -> RequestState:
        request, below = self._assign_tier(request)
        if request.began_ms is None:
            request = replace(request, began_ms=self._ledger.now_ms())
        return RequestState(request, self._ledger, self._selector, self._timer, below=below)

    def _failed(self, call: RequestState, error: BaseException) -> Exception:
        """End the hold of the current attempt, and return the error to raise.

        Raise it outside the ``except`` block: LiteLLM's error and its frames may hold the key, and must not
        become the context of ours. A cancellation is raised from here.
        """
        call.failed(error)
        if not isinstance(error, Exception):
            raise error
        return final_error(call, error, self._deployments.values())
