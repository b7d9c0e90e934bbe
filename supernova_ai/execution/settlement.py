"""How the hold of an attempt ends: settled at its cost, released or lost, exactly once.

Ending cannot fail half-way. Each step that raises is logged and replaced by what is certain: the cost is then
unknown, so the attempt ends as lost, or as settled at its whole hold.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from supernova_ai.characters import texts_in
from supernova_ai.errors import NoAnswer, ProviderError, SupernovaError
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.health import fingerprint
from supernova_ai.ledger import End, Ledger, lost_end
from supernova_ai.litellm_adapter import error_mapping, token_bounds
from supernova_ai.litellm_adapter.price_terms import AnswerCost
from supernova_ai.litellm_adapter.usage import count_tokens
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.types import CostBasis, FailurePattern, Message, Usage

log = get_logger(__name__)

T = TypeVar("T")

PATIENCE_S = 3.0
"""How long an answer waits until the ends of its holds are durable."""


class Observer(Protocol):
    """Learns from attempts: the circuit breaker, the rate limits and the rankings."""

    def first_token(self, attempt: AttemptState) -> None:
        """Take note of an attempt's first token, or of its whole answer."""

    def ended(self, attempt: AttemptState, error: SupernovaError | None) -> None:
        """Take note of an attempt that ended; ``error`` is None for an answer and a caller who left."""


class Settlement:
    """Ends the holds of one request's attempts.

    Args:
        request: its id, for the log.
        observer: notified of every attempt that ended.
        timer: seconds, monotonic.
    """

    def __init__(self, request: str, ledger: Ledger, observer: Observer, timer: Callable[[], float]) -> None:
        self._request = request
        self._ledger = ledger
        self._observer = observer
        self._timer = timer
        self._pending: list[Future[bool]] = []

    def answered(self, attempt: AttemptState) -> None:
        """Settle the hold of a whole answer: at the usage it reports, or at an estimate."""
        usage = self.attempt_or(None, lambda: attempt.usage)
        self._end(attempt, lambda: self._settled(attempt, usage))

    def failed(
        self, attempt: AttemptState, error: BaseException, name: str, cause: SupernovaError | None
    ) -> None:
        """End the hold by what was received, or by what the error implies for its cost.

        Args:
            name: what the ledger calls the error.
            cause: the error as one of ours, if it counts against the provider.
        """
        self._end(attempt, lambda: self._failed(attempt, error, name), error=name, cause=cause)

    def abandoned(self, attempt: AttemptState) -> None:
        """End the hold of an attempt that may have been sent, and of which nothing more will be known."""
        self._end(attempt, partial(self._lost, attempt, "Abandoned"))

    def withdrawn(self, attempt: AttemptState) -> None:
        """Release the hold of an attempt that will not be sent."""
        self._pending.append(self._ledger.release(attempt.hold))

    async def durable(self) -> None:
        """Wait a moment until every end is durable; the ledger writes later what takes longer."""
        ends = {asyncio.wrap_future(end): end for end in self._pending}
        for waiting in ends:
            waiting.add_done_callback(lambda done: done.exception())  # the ledger retries those that failed
        _, late = await asyncio.wait(ends, timeout=PATIENCE_S) if ends else ((), ())
        if late:
            await asyncio.to_thread(self._ledger.save_pending, [ends[each] for each in late])

    def attempt_or(self, otherwise: T, step: Callable[[], T]) -> T:
        """Return what the step returns, or ``otherwise`` if it raises: no step may leave a hold open."""
        try:
            return step()
        except Exception as error:
            with suppress(Exception):
                log.error("engine.end.incomplete", request=self._request, error=error)
            return otherwise

    def _end(
        self,
        attempt: AttemptState,
        end_of: Callable[[], End],
        *,
        error: str | None = None,
        cause: SupernovaError | None = None,
    ) -> None:
        fallback = self._lost(attempt, error)
        end = self.attempt_or(fallback, end_of)
        failure = self.attempt_or(None, lambda: _failure(attempt, cause))
        attempt.end = self.attempt_or(end, lambda: self._detailed(attempt, end, failure))
        for known in (attempt.end, fallback):
            if ending := self.attempt_or(None, partial(self._ledger.end, attempt.hold, known)):
                self._pending.append(ending)
                break
        self.attempt_or(None, lambda: self._report(attempt, cause))
        self.attempt_or(None, attempt.end_span)

    def _failed(self, attempt: AttemptState, error: BaseException, name: str) -> End:
        if attempt.is_whole:  # its answer was empty or reported an error, and is charged all the same
            return self._settled(attempt, attempt.usage, error=name)
        if attempt.text:
            return self._settled(attempt, None, error=name)
        # A request whose answer had begun was accepted: no later error makes it free.
        accepted = attempt.chunks or isinstance(error, NoAnswer)
        if not accepted and isinstance(error, Exception) and error_mapping.spent_nothing(error):
            return End("released", 0, None, Usage(), self._ledger.now_ms(), error=name)
        return self._lost(attempt, name)

    def _lost(self, attempt: AttemptState, error: str | None) -> End:
        return lost_end(attempt.hold, ended_ms=self._now_ms(), error=error)

    def _settled(self, attempt: AttemptState, reported: Usage | None, error: str | None = None) -> End:
        # Where the tokens cannot be counted, or have no price that can be computed, the hold is the bound.
        bound: CostBasis = "bound"
        usage, basis = self.attempt_or((Usage(), bound), lambda: _measured(attempt, reported))
        unpriced = AnswerCost(attempt.hold.amount, bound)
        cost, basis, saved = self.attempt_or(unpriced, lambda: _priced(attempt, usage, basis))
        return End(
            "settled", cost, basis, usage, self._now_ms(), error=error, response=attempt.response, saved=saved
        )

    def _now_ms(self) -> int:
        return self.attempt_or(time.time_ns() // 10**6, self._ledger.now_ms)

    def _detailed(self, attempt: AttemptState, end: End, failure: FailurePattern | None) -> End:
        """Return the end with the attempt's latencies and the pattern of its failure."""

        def since_start(moment: float | None) -> int | None:
            return None if moment is None else round((moment - attempt.started) * 1000)

        first = since_start(attempt.first_token)
        return replace(end, latency_ms=since_start(self._timer()), first_token_ms=first, failure=failure)

    def _report(self, attempt: AttemptState, cause: SupernovaError | None) -> None:
        """Tell the observer and the log of an attempt that ended."""
        end, deployment = attempt.end, attempt.deployment.id
        assert end is not None
        self._observer.ended(attempt, cause)
        if end.error:
            log.info("engine.attempt.failed", request=self._request, deployment=deployment, error=end.error)
        if end.cost > attempt.hold.amount:
            log.warning(
                "ledger.overrun",
                attempt=attempt.hold.attempt,
                deployment=deployment,
                held=to_usd(attempt.hold.amount),
                cost=to_usd(end.cost),
            )


def _measured(attempt: AttemptState, reported: Usage | None) -> tuple[Usage, CostBasis]:
    """Return the attempt's tokens and how well they are known: reports are believed within reason."""
    if attempt.deployment.charges_searches:
        return Usage(), "exact"  # its tokens cost nothing
    if reported is None:
        return _estimate(attempt), "estimated"
    if not attempt.is_credible(reported):
        log.warning(
            "engine.usage.incredible",
            attempt=attempt.hold.attempt,
            deployment=attempt.deployment.id,
            prompt=reported.prompt,
            completion=reported.completion,
        )
        return _estimate(attempt), "bound"
    if reported.prompt and not attempt.is_short(reported.completion):
        return reported, "exact"
    counted = _estimate(attempt)
    # Tokenizers differ, though seldom by half.
    short = counted.completion > 2 * reported.completion
    completion = counted.completion if short else reported.completion
    usage = replace(reported, prompt=reported.prompt or counted.prompt, completion=completion)
    return usage, "exact" if usage == reported else "estimated"


def _estimate(attempt: AttemptState) -> Usage:
    """Count tokens where the provider did not say: the prompt, and what was received of the answer."""
    model, request = attempt.deployment.model, attempt.request
    received = count_tokens(model, text="".join(attempt.text))
    reported = attempt.usage
    # Some say at the start what the prompt takes.
    if reported is not None and reported.prompt and attempt.is_credible(reported):
        return replace(reported, completion=max(received, reported.completion))
    if request.texts:
        queries = count_tokens(model, text=request.query) * len(request.texts) if request.query else 0
        return Usage(prompt=count_tokens(model, text="\n".join(request.texts)) + queries)
    read = count_tokens(model, messages=[_plain(message) for message in request.messages])
    if defined := request.parameters.get("tools"):
        read += count_tokens(model, text=json.dumps(defined))
    return Usage(prompt=read + token_bounds.attachment_tokens(request, model), completion=received)


def _plain(message: Message) -> Message:
    """Return the message with all of its texts as one: tokenizers know no attachments."""
    if isinstance(message.get("content"), str) and len(message) == 2:
        return message
    rest = {name: value for name, value in message.items() if name != "role"}
    return {"role": message["role"], "content": "\n".join(texts_in(rest))}


def _priced(attempt: AttemptState, usage: Usage, known: CostBasis) -> AnswerCost:
    """Return what the attempt's tokens cost.

    Args:
        known: how well the tokens are known.
    """
    held = attempt.hold.amount
    priced = attempt.deployment.price_of(usage, attempt.price_terms, held=held)
    if priced.basis == "unknown":
        return priced
    if known == "estimated" and attempt.deployment.hides_thoughts:
        known = "bound"  # it may have thought as much as it could
    if known == "bound":
        return priced._replace(cost=max(priced.cost, held), basis=known)
    return priced._replace(basis=known) if priced.basis == "exact" else priced


def _failure(attempt: AttemptState, cause: SupernovaError | None) -> FailurePattern | None:
    """Return the pattern of a failure that is the provider's."""
    if not isinstance(cause, ProviderError):
        return None
    return fingerprint(attempt.deployment.provider, type(cause).__name__, cause.status, str(cause))
