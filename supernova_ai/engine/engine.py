"""The engine: sends a request through LiteLLM's Router and sees to it that every attempt is accounted for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from supernova_ai.config import Config
from supernova_ai.engine import deployments as fleet
from supernova_ai.engine import faults, pricing
from supernova_ai.engine.call import Call, usage_of
from supernova_ai.engine.loop import Background
from supernova_ai.engine.ranking import RANKINGS
from supernova_ai.engine.reservation import Reservations
from supernova_ai.engine.router import Router
from supernova_ai.engine.strategy import Strategy
from supernova_ai.errors import (
    ExtraMissing,
    InvalidRequest,
    NoProvider,
    ProviderError,
    ProviderTimeout,
    StreamInterrupted,
)
from supernova_ai.keys import KeySource
from supernova_ai.ledger import Ledger
from supernova_ai.money import to_usd
from supernova_ai.types import Quote, Reply, Request


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
        self._ledger = ledger
        self._timer = timer
        self._deployments = fleet.build(config)
        strategy = Strategy(
            self._deployments,
            RANKINGS[config.routing.strategy](),
            Reservations(ledger, keys, config.routing, (config_version, pricing.version())),
            keys,
        )
        self._background = Background()
        self._router = self._background.submit(self._open(config, strategy)).result()
        self.run = self._background.run

    async def _open(self, config: Config, strategy: Strategy) -> Router:
        if config.redis and find_spec("redis") is None:
            raise ExtraMissing(
                "'redis' is configured and its driver is missing: pip install 'supernova-ai[redis]'"
            )
        return Router(config, self._deployments, strategy)

    async def complete(self, request: Request) -> Reply:
        """Answer the request in one piece.

        Raises:
            SupernovaError: why it could not be answered; every hold has ended then.
        """
        call = self._call(request)
        failure: Exception | None = None
        try:
            async with asyncio.timeout(request.timeout):
                response = await self._router.ask(call, stream=False)
            call.received(response.choices[0].message.content or "")
            call.answered(usage_of(response.usage), response.id)
        except BaseException as error:
            failure = self._failed(call, error)
        finally:
            self._router.forget(call)
            await call.closed()
        if failure is not None:
            raise failure
        return call.reply(response.choices[0].finish_reason)

    def quote(self, request: Request) -> Quote:
        """Return what the request could cost at each deployment of its tier, and its budgets' headroom."""
        request = self._pinned(request)
        prompt = pricing.prompt_bound(request.messages)
        served = [d for d in self._deployments.values() if d.tier == request.tier]
        room = self._ledger.headrooms({d.provider for d in served}, user=request.user_id, task=request.task)
        return Quote(
            tier=request.tier,
            max_tokens=request.max_tokens,
            worst_case={
                f"{d.provider}/{d.model}": to_usd(d.price.bound(prompt, request.max_tokens))
                if d.price
                else None
                for d in served
            },
            headroom={budget: to_usd(left) for budget, left in room.items()},
        )

    async def stream(self, request: Request) -> AsyncGenerator[str | Reply, None]:
        """Yield the answer's text as it comes, and the finished ``Reply`` last.

        Closing the generator early ends the attempt's hold at what was received.
        """
        call = self._call(request)
        deadline = None if request.timeout is None else asyncio.get_running_loop().time() + request.timeout
        failure: Exception | None = None
        response: Any = None
        finish_reason = None
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._router.ask(call, stream=True)
            ahead = call.flights[-1].ahead
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        chunk = ahead.popleft() if ahead else await anext(response)
                except StopAsyncIteration:
                    break
                for choice in chunk.choices:
                    if text := choice.delta.content:
                        call.received(text)
                        yield text
            finish_reason = call.finished()
        except BaseException as error:
            failure = self._failed(call, error)
        finally:
            self._router.forget(call)
            if response is not None:
                await response.aclose()
            await call.closed()
        if failure is not None:
            raise failure
        yield call.reply(finish_reason)

    def close(self) -> None:
        """End what is under way, each hold honestly, and stop the loop. Calling again does nothing."""
        self._background.close(self._router.aclose)

    def _call(self, request: Request) -> Call:
        return Call(self._pinned(request), self._ledger, self._timer)

    def _pinned(self, request: Request) -> Request:
        """Put a request that names a model into the tier that has it."""
        if request.model is None:
            return request
        names = {f"{d.provider}/{d.model}": d.tier for d in self._deployments.values()}
        for name, tier in names.items():
            if request.model in (name, name.partition("/")[2]):
                return replace(request, tier=tier)
        raise InvalidRequest(
            f"model {request.model!r} is not configured; choose one of: {', '.join(sorted(names))}"
        )

    def _failed(self, call: Call, error: BaseException) -> Exception:
        """End the hold of the attempt under way, and return the error to raise in its place.

        It is to be raised outside the ``except`` block: LiteLLM's own error, its words and its frames may
        hold the key, and must not hang on ours as its context or traceback. A cancellation is raised on from
        here.
        """
        call.failed(error)
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, TimeoutError):
            seconds = call.request.timeout
            return ProviderTimeout(f"no whole answer within {seconds:g} s", request_id=call.request.id)
        ours = faults.translate(error, request_id=call.request.id)
        if call.error and isinstance(ours, NoProvider | ProviderError):
            ours = call.error  # what failed last says more than that nobody is left to ask
        if call.flights and call.flights[-1].text and isinstance(ours, ProviderError):
            return StreamInterrupted("".join(call.flights[-1].text), ours)
        for reason in call.passed_over.values():
            if reason not in str(ours):
                ours.add_note(f"not asked: {reason}")
        ours.__context__ = None
        return ours.with_traceback(None)
