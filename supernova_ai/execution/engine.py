"""The engine: sends a request through LiteLLM's Router and sees to it that every attempt is accounted for."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec

from supernova_ai.config import Config, check_tls, unverified
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
from supernova_ai.execution.request_state import RequestState
from supernova_ai.execution.reservations import Reservations
from supernova_ai.execution.selector import Selector
from supernova_ai.keys import KeySource
from supernova_ai.ledger import Ledger
from supernova_ai.litellm_adapter import error_mapping, prices
from supernova_ai.litellm_adapter.router import Router
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.routing import deployments as fleet
from supernova_ai.routing.deployments import Deployment
from supernova_ai.routing.rate_limits import RateLimits
from supernova_ai.routing.tiers import placed
from supernova_ai.secret import Secret
from supernova_ai.types import PROBE, Quote, Reply, Request, Tier

log = get_logger(__name__)


class Engine:
    """Answers requests. All of LiteLLM runs on one loop of its own; ``run`` reaches it from anywhere.

    Args:
        config_version: kept on every attempt's row.
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
        self.vitals = Monitor(config, self._ledger, router=self._router, find_key=self._key, ask=self._ask)
        await self.serve(config, version)

    async def serve(self, config: Config, version: str) -> None:
        """Serve this configuration from now on; to be run on the loop. Calls under way finish as begun."""
        fleet.check(config)
        check_tls(verify=config.verify_tls)
        if reason := unverified():
            log.warning("engine.tls.unverified", reason=reason, then="any server could take the keys")
        versions = (version, prices.version())
        self._served = (config, version)
        self._deployments = fleet.build(config)
        for model in sorted(
            {f"{d.provider}/{d.model}" for d in self._deployments.values() if d.price is None}
        ):
            log.warning("engine.price.unknown", model=model, then="not asked where a budget applies")
        self._cache.serve(config.cache, self._deployments.values(), versions)
        self.vitals.serve(config, self._deployments)
        outside = config.providers.keys() - set(config.asked)
        self._reservations = Reservations(self._ledger, self._keys, config.routing, versions, outside)
        self._selector = Selector(
            config,
            self._deployments,
            self._reservations,
            self._keys,
            self.vitals.breaker,
            self._limits,
            self.vitals.book,
        )
        self._router.apply(
            config,
            fleet.model_list(config, self._deployments),
            fleet.unpriced(self._deployments),
            self._selector,
        )

    def reload(self, config: Config, version: str) -> None:
        """Serve this configuration from now on, or go on with the one before if LiteLLM will not have it."""
        before = self._served
        try:
            self._background.submit(self.serve(config, version)).result()
        except Exception:
            self._background.submit(self.serve(*before)).result()
            raise

    async def complete(self, request: Request) -> Reply:
        """Answer the request in one piece; to be awaited on the caller's own loop.

        Raises:
            SupernovaError: why it could not be answered; every hold has ended then.
        """
        call = self._call(request)
        try:
            return await self.run(self._complete(call))
        finally:
            await call.durable()  # here: on the engine's loop it would queue behind LiteLLM's after-work

    async def _complete(self, call: RequestState) -> Reply:
        place = self._cache.place(call.request)
        if kept := await self._cache.answer(call, place):
            return kept
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
        await self._cache.keep(call, place, reply)
        return reply

    def quote(self, request: Request) -> Quote:
        """Return what the request could cost at each deployment of its tier, and its budgets' headroom."""
        request, _ = self._placed(request)
        served = [d for d in self._deployments.values() if d.tier == request.tier and d.fits(request)]
        room = self._ledger.headrooms({d.provider for d in served}, user=request.user_id, task=request.task)
        return Quote(
            tier=request.tier,
            max_tokens=request.max_tokens,
            worst_case={f"{d.provider}/{d.model}": _worst(d, request) for d in served},
            headroom={budget: to_usd(left) for budget, left in room.items()},
        )

    async def stream(self, request: Request) -> AsyncGenerator[str | Reply, None]:
        """Yield the answer's text as it comes, and the finished ``Reply`` last.

        Where it breaks, the rest comes from another deployment if the request says ``resume``. Closing the
        generator early ends the attempt's hold at what was received.
        """
        call = self._call(request)
        place = self._cache.place(call.request)
        if kept := await self._cache.answer(call, place):
            yield kept.content
            yield kept
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
                    # Out of time, or refused by ourselves: nobody else is to be asked.
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
        await self._cache.keep(call, place, reply)
        yield reply

    async def _pieces(self, call: RequestState, deadline: float | None) -> AsyncGenerator[str, None]:
        """Yield the text of one stream as far as it goes, each piece in its time."""
        async with asyncio.timeout_at(deadline):
            response = await self._router.ask(call, stream=True)
        attempt = call.attempts[-1]
        try:
            while True:
                try:
                    patience = attempt.timeout.between_tokens
                    async with asyncio.timeout_at(deadline), asyncio.timeout(patience) as silence:
                        text = attempt.unread.popleft() if attempt.unread else ""
                        text = text or attempt.read((await anext(response)).choices)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    if attempt.finish_reason:
                        return  # all was said: only the line's own end is missing
                    if not isinstance(error, TimeoutError):
                        raise error_mapping.in_stream(error, attempt.deployment)  # noqa: B904 - it has its cause
                    if not silence.expired():
                        raise
                    raise error_mapping.timed_out(attempt.deployment) from None
                if text and (new := call.add_text(text)):
                    yield new
        finally:
            await response.aclose()

    def _may_resume(self, call: RequestState) -> bool:
        """Say whether a stream that broke goes on elsewhere: some was shown, and somebody is left to ask."""
        return bool(
            call.asked.on_interrupt == "resume"
            and call.attempts
            and call.attempts[-1].first_token is not None
            and call.breaks < max(1, self._selector.retries(call, call.attempts[-1].deployment.tier))
        )

    def close(self) -> None:
        """End what is under way, each hold honestly, and stop the loop. Calling again does nothing."""
        self._background.close(self._aclose)

    async def _aclose(self) -> None:
        await self._router.aclose()
        await self._cache.aclose()

    async def _key(self, deployment: Deployment) -> tuple[Secret | None, str | None]:
        """Open the deployment's key for a probe; return it with its id."""
        found = await asyncio.wrap_future(
            self._ledger.write(lambda database: self._reservations.key(database, deployment))
        )
        return (None, None) if found is None else (self._keys.open(found), self._keys.id_of(found))

    async def _ask(self, deployment: Deployment) -> None:
        """Ask for a single token, at its price; where the deployment rests this is the trial."""
        self.vitals.breaker.half_open(deployment.id)
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

    def _placed(self, request: Request) -> tuple[Request, list[Tier]]:
        return placed(request, self._served[0], self._deployments)

    def _call(self, request: Request) -> RequestState:
        request, below = self._placed(request)
        if request.began_ms is None:
            request = replace(request, began_ms=self._ledger.now_ms())
        return RequestState(request, self._ledger, self._selector, self._timer, below)

    def _failed(self, call: RequestState, error: BaseException) -> Exception:
        """End the hold of the attempt under way, and return the error to raise in its place.

        It is to be raised outside the ``except`` block: LiteLLM's own error, its words and its frames may
        hold the key, and must not hang on ours as its context or traceback. A cancellation is raised on from
        here.
        """
        call.failed(error)
        if not isinstance(error, Exception):
            raise error
        ours = error_mapping.translate(error)
        if isinstance(error, TimeoutError):
            ours = call.error = ProviderTimeout(f"no whole answer within {call.request.allowed:g} s")
        elif call.error and isinstance(ours, NoProvider | ProviderError):
            ours = call.error  # what failed last says more than that nobody is left to ask
        if call.shown and isinstance(call.error, ProviderError):
            ours = StreamInterrupted(call.shown, call.error)
        keyless = self._selector.without_key(call)
        ours = keyless or ours
        told = [f"before that: {error}" for error in call.errors]
        told += [f"not asked: {reason}" for reason in self._selector.unasked(call)]
        for line in dict.fromkeys(told):
            if keyless is None and line.partition(": ")[2] not in str(ours):
                ours.add_note(line)
        ours.request_id = call.request.id
        ours.__context__ = None
        return ours.with_traceback(None)


def _worst(deployment: Deployment, request: Request) -> Decimal | None:
    """Return the most the request can cost there, in USD; None where no price is known."""
    if deployment.price is None:
        return None
    return to_usd(deployment.price.bound(prices.bound(request, deployment.model), request.max_tokens))
