"""One request in flight: its attempts, and how each one's hold ends, exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from supernova_ai.engine import faults
from supernova_ai.engine.deployments import Deployment
from supernova_ai.engine.lite import litellm
from supernova_ai.errors import SupernovaError
from supernova_ai.ledger import End, Hold, Ledger, lost
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.secret import Secret
from supernova_ai.types import Attempt, CostBasis, Reply, Request, Usage

log = get_logger(__name__)

_WEAKEST: tuple[CostBasis, ...] = ("exact", "estimated", "bound", "unknown")


@dataclass(slots=True)
class Flight:
    """One attempt under way: what was reserved for it and what was received of it.

    ``chunks`` are all that LiteLLM received of a stream; ``ahead`` those the caller has yet to see.
    """

    deployment: Deployment
    hold: Hold
    max_tokens: int
    started: float
    key: Secret | None = None  # kept while the call lives, so that it is known and redacted wherever it shows
    chunks: Sequence[Any] = ()
    ahead: deque[Any] = field(default_factory=deque)
    text: list[str] = field(default_factory=list)
    first_token: float | None = None
    response: str | None = None
    end: End | None = None


class Call:
    """The state of one request. It lives on the engine's loop and is used by one task at a time.

    Args:
        timer: seconds, monotonic.
    """

    def __init__(self, request: Request, ledger: Ledger, timer: Callable[[], float]) -> None:
        self.request = request
        self.started = timer()
        self.flights: list[Flight] = []
        self.error: SupernovaError | None = None
        self.passed_over: dict[str, str] = {}  # why a provider was not asked, for who wonders
        self._ledger = ledger
        self._timer = timer
        self._ends: list[Future[bool]] = []

    def begin(self, deployment: Deployment, hold: Hold, max_tokens: int) -> None:
        """Note that the hold is taken and the attempt is about to be sent."""
        self.flights.append(Flight(deployment, hold, max_tokens, self._timer()))

    @property
    def flight(self) -> Flight | None:
        """The attempt under way, if there is one."""
        return self.flights[-1] if self.flights and self.flights[-1].end is None else None

    async def opened(self, stream: Any) -> None:
        """Read the stream up to its first text: if it breaks before, the attempt fails like any other."""
        flight = self.flights[-1]
        flight.chunks = stream.chunks
        async for chunk in stream:
            flight.ahead.append(chunk)
            flight.response = chunk.id
            if any(choice.delta.content for choice in chunk.choices):
                return

    def received(self, text: str) -> None:
        """Note a piece of the answer."""
        flight = self.flights[-1]
        if flight.first_token is None:
            flight.first_token = self._timer()
        flight.text.append(text)

    def answered(self, usage: Usage | None, response: str | None) -> None:
        """End the attempt as settled, at the provider's own usage, or at an estimate where it gave none.

        ``response`` is the provider's own id of its answer.
        """
        self.flights[-1].response = response
        self._settle(usage)

    def finished(self) -> str | None:
        """End the attempt of a stream that came to its end; return its finish reason, None if it had none."""
        usage, reason = _said(self.flights[-1])
        self._settle(usage if reason else None)
        return reason

    def failed(self, error: BaseException) -> None:
        """End the attempt under way, if any: by what it received, or by what the error says of its money."""
        flight = self.flight
        if flight is None:
            return
        name = faults.name(error)
        if isinstance(error, Exception):
            self.error = faults.translate(error, flight.deployment, request_id=self.request.id)
        log.info(
            "engine.attempt.failed", request=self.request.id, deployment=flight.deployment.id, error=name
        )
        if flight.text:
            self._settle(None, error=name)
        elif isinstance(error, Exception) and faults.spent_nothing(error):
            self._end(flight, End("released", 0, None, Usage(), self._ledger.now_ms(), error=name))
        else:
            self._end(flight, lost(flight.hold, ended_ms=self._ledger.now_ms(), error=name))

    def spent(self) -> int:
        """Return what the attempts that have ended cost, in nano-USD."""
        return sum(flight.end.cost for flight in self.flights if flight.end)

    async def closed(self) -> None:
        """Wait until every end is durable."""
        await asyncio.gather(*(asyncio.wrap_future(end) for end in self._ends))

    def reply(self, finish_reason: str | None) -> Reply:
        """Return the finished answer, with the story of every attempt."""
        flight = self.flights[-1]
        assert flight.end is not None
        bases = [f.end.basis for f in self.flights if f.end and f.end.basis]
        return Reply(
            content="".join(flight.text),
            provider=flight.deployment.provider,
            model=flight.deployment.model,
            tier=flight.deployment.tier,
            cost=to_usd(self.spent()),
            cost_basis=max(bases, key=_WEAKEST.index),
            usage=flight.end.usage,
            latency_s=self._timer() - self.started,
            first_token_s=None if flight.first_token is None else flight.first_token - self.started,
            request_id=self.request.id,
            attempts=tuple(_attempt(f) for f in self.flights),
            finish_reason=finish_reason,
            fitted_to=flight.max_tokens if flight.max_tokens < self.request.max_tokens else None,
        )

    def _settle(self, usage: Usage | None, error: str | None = None) -> None:
        flight = self.flights[-1]
        price = flight.deployment.price
        basis: CostBasis = "exact"
        if usage is None:
            usage, basis = self._estimate(flight), "estimated"
        if price is None:
            basis = "unknown"
        cost = 0 if price is None else price.cost(usage)
        if cost > flight.hold.amount:
            log.warning(
                "ledger.overrun",
                attempt=flight.hold.attempt,
                deployment=flight.deployment.id,
                held=to_usd(flight.hold.amount),
                cost=to_usd(cost),
            )
        self._end(
            flight,
            End("settled", cost, basis, usage, self._ledger.now_ms(), error=error, response=flight.response),
        )

    def _estimate(self, flight: Flight) -> Usage:
        """Count tokens where the provider did not say: the prompt, and what was received of the answer."""
        model = flight.deployment.model
        thoughts = [getattr(c.delta, "reasoning_content", None) or "" for c in _choices(flight)]
        received = litellm.token_counter(model=model, text="".join(thoughts + flight.text))
        said, _ = _said(flight)
        if said is not None:  # some say at the start what the prompt takes
            return replace(said, completion=max(received, said.completion))
        messages = [dict(message) for message in self.request.messages]
        return Usage(prompt=litellm.token_counter(model=model, messages=messages), completion=received)

    def _end(self, flight: Flight, end: End) -> None:
        def since_start(moment: float | None) -> int | None:
            return None if moment is None else round((moment - flight.started) * 1000)

        flight.end = replace(
            end, latency_ms=since_start(self._timer()), first_token_ms=since_start(flight.first_token)
        )
        self._ends.append(self._ledger.end(flight.hold, flight.end))


def usage_of(raw: Any) -> Usage | None:
    """Read LiteLLM's usage: its prompt tokens include the cached, its completion tokens the reasoning."""
    if raw is None or not getattr(raw, "total_tokens", None):
        return None
    read = getattr(raw, "prompt_tokens_details", None)
    spoken = getattr(raw, "completion_tokens_details", None)
    return Usage(
        prompt=raw.prompt_tokens or 0,
        completion=raw.completion_tokens or 0,
        cached=getattr(read, "cached_tokens", None) or 0,
        cache_write=getattr(raw, "cache_creation_input_tokens", None) or 0,
        reasoning=getattr(spoken, "reasoning_tokens", None) or 0,
    )


def _said(flight: Flight) -> tuple[Usage | None, str | None]:
    """Read what the provider itself said in a stream: its latest usage, and why it finished.

    Where it said neither, the last chunks that LiteLLM gives have a usage it counted and a "stop" it made up.
    """
    usages = [usage_of(getattr(chunk, "usage", None)) for chunk in flight.chunks]
    reasons = [choice.finish_reason for choice in _choices(flight)]
    return (
        next((usage for usage in reversed(usages) if usage), None),
        next((reason for reason in reversed(reasons) if reason), None),
    )


def _choices(flight: Flight) -> Iterator[Any]:
    return (choice for chunk in flight.chunks for choice in chunk.choices)


def _attempt(flight: Flight) -> Attempt:
    end = flight.end
    assert end is not None
    return Attempt(
        id=flight.hold.attempt,
        provider=flight.deployment.provider,
        model=flight.deployment.model,
        tier=flight.deployment.tier,
        key_slot=flight.deployment.slot,
        outcome=end.state,
        cost=to_usd(end.cost),
        cost_basis=end.basis,
        usage=end.usage,
        latency_s=(end.latency_ms or 0) / 1000,
        first_token_s=None if end.first_token_ms is None else end.first_token_ms / 1000,
        error=end.error,
    )
