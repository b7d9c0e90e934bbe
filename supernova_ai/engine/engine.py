"""The engine: sends a request through LiteLLM's Router and sees to it that every attempt is accounted for."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec

from supernova_ai import health
from supernova_ai.config import Config
from supernova_ai.engine import cache, faults, pricing
from supernova_ai.engine import deployments as fleet
from supernova_ai.engine.breaker import Breaker, Circuit
from supernova_ai.engine.call import Call, usage_of
from supernova_ai.engine.deployments import Deployment
from supernova_ai.engine.limits import Limits
from supernova_ai.engine.loop import Background
from supernova_ai.engine.probe import Prober
from supernova_ai.engine.reservation import Reservations
from supernova_ai.engine.router import Router
from supernova_ai.engine.samples import Book
from supernova_ai.engine.strategy import Strategy
from supernova_ai.errors import (
    ExtraMissing,
    InvalidRequest,
    NoProvider,
    ProviderError,
    ProviderTimeout,
    StreamInterrupted,
    SupernovaError,
)
from supernova_ai.health import Sample, State
from supernova_ai.keys import KeySource
from supernova_ai.ledger import Ledger
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.secret import Secret
from supernova_ai.types import PROBE, Kind, Probe, Quote, Reply, Request

log = get_logger(__name__)

_READS: dict[Kind, str] = {"image": "images", "pdf": "PDF documents"}


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
        self._book = Book()
        self._cache = cache.build(config, ledger, timer)
        self._background = Background()
        self.run = self._background.run
        self._background.submit(self._open(config, config_version)).result()

    async def _open(self, config: Config, version: str) -> None:
        self._router = Router(config)
        self._breaker = Breaker(config.routing.breaker, self._changed)
        self._limits = Limits(self._router.cache)
        self._prober = Prober(self._breaker, self._book, self._key, self._ask, self._probed)
        await self.serve(config, version)
        self._probing = asyncio.create_task(self._prober.run())

    async def serve(self, config: Config, version: str) -> None:
        """Serve this configuration from now on; to be run on the loop. Calls under way finish as begun."""
        versions = (version, pricing.version())
        self._served = (config, version)
        self._deployments = fleet.build(config)
        self._cache.serve(config.cache, self._deployments.values(), versions)
        self._breaker.settings = config.routing.breaker
        self._prober.serve(config, self._deployments.values())
        self._reservations = Reservations(self._ledger, self._keys, config.routing, versions)
        self._strategy = Strategy(
            config,
            self._deployments,
            self._reservations,
            self._keys,
            self._breaker,
            self._limits,
            self._book,
        )
        self._router.serve(config, self._deployments, self._strategy)

    def reload(self, config: Config, version: str) -> None:
        """Serve this configuration from now on, or go on with the one before if LiteLLM will not have it."""
        before = self._served
        try:
            self._background.submit(self.serve(config, version)).result()
        except Exception:
            self._background.submit(self.serve(*before)).result()
            raise

    def recall(self, samples: Iterable[Sample], states: Iterable[State]) -> None:
        """Begin with what was known of the deployments before: how long they took, and which are open."""
        for sample in samples:
            if sample.ok and sample.latency_ms is not None:
                first = None if sample.first_token_ms is None else sample.first_token_ms / 1000
                self._book.recall(sample.deployment, sample.latency_ms / 1000, first)
        for state in states:
            left = (state.until_ms or 0) - self._ledger.now_ms()
            if state.state == "open" and left > 0:
                self._breaker.restore(state.deployment, state.error, left / 1000)

    async def complete(self, request: Request) -> Reply:
        """Answer the request in one piece; to be awaited on the caller's own loop.

        Raises:
            SupernovaError: why it could not be answered; every hold has ended then.
        """
        call = self._call(request)
        try:
            return await self.run(self._complete(call))
        finally:
            await call.closed()  # here: on the engine's loop it would queue behind LiteLLM's after-work

    async def _complete(self, call: Call) -> Reply:
        place = self._cache.place(call.request)
        if kept := await self._cache.answer(call, place):
            return kept
        failure: Exception | None = None
        try:
            async with asyncio.timeout(call.request.timeout):
                response = await self._router.ask(call, stream=False)
            call.received(response.choices[0].message.content or "")
            call.answered(usage_of(response.usage), response.id)
        except BaseException as error:
            failure = self._failed(call, error)
        finally:
            self._router.forget(call)
        if failure is not None:
            raise failure
        reply = call.reply(response.choices[0].finish_reason)
        await self._cache.keep(call, place, reply)
        return reply

    async def probe(self, *, pay: bool = False) -> list[Probe]:
        """Probe every deployment now; to be run on the loop. See ``Prober``."""
        return await self._prober.probe(pay=pay)

    def quote(self, request: Request) -> Quote:
        """Return what the request could cost at each deployment of its tier, and its budgets' headroom."""
        request = self._checked(request)
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
                    finish_reason, rest = call.finished()
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
            await call.closed()
        if failure is not None:
            raise failure
        reply = call.reply(finish_reason)
        await self._cache.keep(call, place, reply)
        yield reply

    async def _pieces(self, call: Call, deadline: float | None) -> AsyncGenerator[str, None]:
        """Yield the text of one stream as far as it goes, each piece in its time."""
        async with asyncio.timeout_at(deadline):
            response = await self._router.ask(call, stream=True)
        flight = call.flights[-1]
        try:
            while True:
                try:
                    patience = flight.timeout.between_tokens
                    async with asyncio.timeout_at(deadline), asyncio.timeout(patience) as silence:
                        chunk = flight.ahead.popleft() if flight.ahead else await anext(response)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if not silence.expired():
                        raise
                    raise faults.timed_out(flight.deployment) from None
                except Exception as error:
                    raise faults.in_stream(error, flight.deployment)  # noqa: B904 - it has its cause
                for choice in chunk.choices:
                    if (text := choice.delta.content) and (new := call.received(text)):
                        yield new
        finally:
            await response.aclose()

    def _may_resume(self, call: Call) -> bool:
        """Say whether a stream that broke goes on elsewhere: some was shown, and somebody is left to ask."""
        return bool(
            call.asked.on_interrupt == "resume"
            and call.flights
            and call.flights[-1].text
            and call.breaks < max(1, self._strategy.retries(call, call.flights[-1].deployment.tier))
        )

    def close(self) -> None:
        """End what is under way, each hold honestly, and stop the loop. Calling again does nothing."""
        self._background.close(self._aclose)

    async def _aclose(self) -> None:
        await self._router.aclose()
        await self._cache.aclose()

    def _changed(self, deployment: str, circuit: Circuit) -> None:
        """Let the store and other machines know of a circuit that opened, half-opened or closed."""
        provider = deployment.split("/")[1]
        known = self._deployments.get(deployment)
        now_ms = self._ledger.now_ms()
        log.info("engine.circuit.changed", deployment=deployment, **circuit._asdict())
        self._router.share(deployment, circuit)
        state = State(
            deployment=deployment,
            provider=provider,
            model=known.model if known else "",
            state=circuit.state,
            since_ms=now_ms,
            until_ms=now_ms + round(circuit.left_s * 1000) if circuit.left_s else None,
            failures=circuit.failures,
            error=circuit.error,
        )
        self._ledger.write(lambda database: health.record(database, state))

    def _probed(self, deployment: Deployment, found: Probe) -> None:
        """Let the store know what a probe found."""
        now_ms = self._ledger.now_ms()
        self._ledger.write(
            lambda database: health.record_probe(
                database,
                deployment.id,
                provider=deployment.provider,
                model=deployment.model,
                now_ms=now_ms,
                result=found.result,
            )
        )

    async def _key(self, deployment: Deployment) -> Secret | None:
        """Open the deployment's key for a probe."""
        found = await asyncio.wrap_future(
            self._ledger.write(lambda database: self._reservations.key(database, deployment))
        )
        return None if found is None else self._keys.open(found)

    async def _ask(self, deployment: Deployment) -> None:
        """Ask for a single token, at its price."""
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
        await self._complete(call)

    def _call(self, request: Request) -> Call:
        return Call(self._checked(request), self._ledger, self._strategy, self._timer)

    def _checked(self, request: Request) -> Request:
        """Refuse what nobody can read; put a request that names a model into the tier that has it."""
        request = self._pinned(request)
        tiers: list[str] = [request.tier]
        if request.may_degrade and request.model is None:
            tiers += fleet.cheaper(self._served[0], self._deployments).get(request.tier, [])
        asked = [d for d in self._deployments.values() if d.tier in tiers]
        if request.attachments and asked and not any(d.fits(request) for d in asked):
            kinds = " and ".join(sorted({_READS[one.kind] for one in request.attachments}))
            names = ", ".join(sorted({f"{d.provider}/{d.model}" for d in asked}))
            raise InvalidRequest(
                f"no model for this request can read {kinds}, as far as LiteLLM knows: not {names}. "
                f"Ask for another tier or model, or leave the attachments out"
            )
        return request

    def _pinned(self, request: Request) -> Request:
        """Put a request that names a model into the tier that has it."""
        if request.model is None:
            return request
        names = {f"{d.provider}/{d.model}": d.tier for d in self._deployments.values()}
        for name, tier in names.items():
            if request.model in (name, name.partition("/")[2]):
                return replace(request, tier=tier, tier_reason=f"model {request.model!r} was asked for")
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
        ours = faults.translate(error, request_id=call.request.id)
        if isinstance(error, TimeoutError):
            seconds = call.request.timeout
            ours = call.error = ProviderTimeout(
                f"no whole answer within {seconds:g} s", request_id=call.request.id
            )
        elif call.error and isinstance(ours, NoProvider | ProviderError):
            ours = call.error  # what failed last says more than that nobody is left to ask
        if call.shown and isinstance(call.error, ProviderError):
            return StreamInterrupted(call.shown, call.error)
        for reason in call.passed_over.values():
            if reason not in str(ours):
                ours.add_note(f"not asked: {reason}")
        ours.__context__ = None
        return ours.with_traceback(None)


def _worst(deployment: Deployment, request: Request) -> Decimal | None:
    """Return the most the request can cost there, in USD; None where no price is known."""
    if deployment.price is None:
        return None
    return to_usd(deployment.price.bound(pricing.bound(request, deployment.model), request.max_tokens))
