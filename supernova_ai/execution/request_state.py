"""One request in attempt: its attempts, and how each one's hold ends, exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import astuple, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from supernova_ai.characters import open_surrogate, well_formed
from supernova_ai.config import Timeout
from supernova_ai.errors import NoAnswer, ProviderError, SupernovaError
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.resume import ResumeJoiner, continuation
from supernova_ai.health import fingerprint
from supernova_ai.ledger import End, Hold, Ledger, lost
from supernova_ai.litellm_adapter import answer_errors, error_mapping, prices
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.routing.deployments import Deployment
from supernova_ai.secret import Secret
from supernova_ai.types import CostBasis, FailurePattern, Reply, Request, Tier, Usage, weakest

log = get_logger(__name__)

T = TypeVar("T")

PATIENCE_S = 3.0
"""How long an answer waits for the database to take its ends."""


class Observer(Protocol):
    """Learns from attempts as they go: the breaker, the limits and the rankings."""

    def answering(self, attempt: AttemptState, request: str) -> None:
        """Take note of an attempt's first token, or of its whole answer."""

    def ended(self, attempt: AttemptState, request: str, error: SupernovaError | None) -> None:
        """Take note of an attempt that is over; ``error`` is None for an answer and a caller who left."""


class RequestState:
    """The state of one request. It lives on the engine's loop and is used by one task at a time.

    Args:
        observer: told of every attempt.
        timer: seconds, monotonic.
        below: the cheaper tiers that may answer, in order.
    """

    def __init__(
        self,
        request: Request,
        ledger: Ledger,
        observer: Observer,
        timer: Callable[[], float],
        below: Sequence[Tier] = (),
    ) -> None:
        self.request = request
        self.below = below
        self.asked = request  # as the caller put it; ``request`` asks for the rest once a stream broke
        self.only: str | None = None  # the deployment that a probe is for
        self.streaming = False
        self.started = timer()
        self.limit: asyncio.Timeout | None = None  # of the attempt under way; the Router makes it
        self.attempts: list[AttemptState] = []
        self.error: SupernovaError | None = None
        self.errors: list[SupernovaError] = []  # why each attempt failed
        self.passed_over: dict[str, SupernovaError] = {}  # why a deployment cannot be asked at all, by its id
        self.unused_keys: list[str] = []  # providers that have a key and may not be asked, where none has one
        self.breaks = 0
        self._shown: list[str] = []
        self._seam: ResumeJoiner | None = None
        self._half = ""  # of a character
        self._ledger = ledger
        self._observer = observer
        self._timer = timer
        self._ends: list[Future[bool]] = []

    def begin(self, deployment: Deployment, hold: Hold, max_tokens: int) -> None:
        """Note that the hold is taken and the attempt is about to be sent."""
        if left := self.current:  # an error came between its hold and its sending
            self._end(left, partial(self._lost, left, "Abandoned"))
        self._half = ""
        self.attempts.append(AttemptState(deployment, hold, max_tokens, self._timer()))

    def withdraw(self) -> None:
        """Give the hold back: the attempt will not be sent after all."""
        self._ends.append(self._ledger.forgo(self.attempts.pop().hold))

    def depart(self, key: Secret | None, timeout: Timeout) -> None:
        """Note the attempt's key and timeouts; its time runs from now."""
        attempt = self.attempts[-1]
        attempt.key, attempt.timeout = key, timeout
        self._allow(timeout.first_token if self.streaming else timeout.total)

    @property
    def current(self) -> AttemptState | None:
        """The attempt under way, if there is one."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].end is None else None

    @property
    def shown(self) -> str:
        """The text that the caller has seen."""
        return "".join(self._shown)

    async def opened(self, stream: Any) -> None:
        """Read the stream up to its first text: if it breaks before, the attempt fails like any other."""
        attempt = self.attempts[-1]
        attempt.chunks = stream.chunks
        async for chunk in stream:
            attempt.response = well_formed(chunk.id or "") or None
            before = len(attempt.text)
            if text := self.heard(chunk.choices):
                attempt.ahead.append(text)
                break
            if len(attempt.text) > before:
                self._allow(attempt.timeout.between_tokens)  # it thinks
        else:
            self._check_end(attempt)
        self._observer.answering(attempt, self.request.id)

    def landed(self, response: Any) -> None:
        """Read a whole answer.

        Raises:
            ProviderError: there is none in it; its usage is charged.
        """
        attempt = self.attempts[-1]
        attempt.answer = response
        attempt.response = self._or(None, lambda: well_formed(response.id or "") or None)
        attempt.ahead.append(self.heard(response.choices) + attempt.thoughts.end())
        self._check_answer(attempt)

    def heard(self, choices: Sequence[Any]) -> str:
        """Note all that a whole answer, or a chunk of one, says; return what of it is the answer."""
        attempt, answer = self.attempts[-1], ""
        for place, choice in enumerate(choices):
            said = choice.delta if self.streaming else choice.message
            content = said.content or ""
            if (choice.index if self.streaming else place) != 0:
                attempt.text.append(well_formed(content))  # it is charged for; nobody asked for it
                continue
            fields = getattr(said, "provider_specific_fields", None) or {}
            if thought := well_formed(getattr(said, "reasoning_content", None) or ""):
                attempt.text.append(thought)
                attempt.thoughts.note(thought)
            if refusal := well_formed(fields.get("refusal") or ""):
                attempt.text.append(refusal)
                attempt.refusal.append(refusal)
            attempt.failure = fields.get("error") or attempt.failure
            content = self._half + content
            self._half = open_surrogate(content) if self.streaming else ""
            content = well_formed(content.removesuffix(self._half))
            if content:
                attempt.text.append(content)
            answer += attempt.thoughts.feed(content)
        return answer

    def received(self, text: str) -> str:
        """Note a piece of the answer; return what of it is new to the caller."""
        attempt = self.attempts[-1]
        if self.streaming and attempt.first_token is None:
            attempt.first_token = self._timer()
        return self._show(self._seam.feed(text) if self._seam else text)

    def resume(self) -> None:
        """Ask for the rest of an answer that broke."""
        self.breaks += 1
        self._half = ""  # it and what the seam holds back were not shown, and are not what was said
        left = self.asked.max_tokens - self._count(self.attempts[-1].deployment.model, self.shown)
        messages = continuation(self.asked.messages, self.shown)
        self.request = replace(self.asked, messages=messages, max_tokens=max(1, left))
        self._seam = ResumeJoiner(self.shown)

    def answered(self) -> None:
        """End the attempt of a whole answer as settled, at the usage it reports, or at an estimate."""
        attempt = self.attempts[-1]
        said = self._or(None, lambda: attempt.usage)
        self._end(attempt, lambda: self._settled(attempt, said))

    def finished(self) -> tuple[str | None, str]:
        """End the attempt of a stream that came to its end; return its finish reason and what was held back.

        Raises:
            litellm.ServiceUnavailableError: it just stopped, or says that it failed.
            ProviderError: there was no answer in it.
        """
        attempt = self.attempts[-1]
        self._check_end(attempt)
        rest = "".join(map(self.received, attempt.ahead))
        attempt.ahead.clear()
        if self._seam:
            rest += self._show(self._seam.end())
        reason = attempt.finish_reason or "stop"
        said = self._or(None, lambda: attempt.usage)
        self._end(attempt, lambda: self._settled(attempt, said))
        return reason, rest

    def failed(self, error: BaseException) -> None:
        """End the attempt under way, if any: by what it received, or by what the error says of its money."""
        attempt = self.current
        if attempt is None:
            return
        name = self._or(type(error).__name__, lambda: error_mapping.name(error))
        cause = None
        if isinstance(error, Exception):
            cause = self._or(None, lambda: error_mapping.translate(error, attempt.deployment))
            self.error = cause or self.error
            self.errors += [cause] if cause else []
        if type(cause) is NoAnswer:
            cause = None  # a model that says nothing is no provider in trouble
        if isinstance(error, TimeoutError) and self._or(False, lambda: self._is_early(attempt)):
            cause = None  # the caller's own deadline, too short to say anything of the provider
        self._end(attempt, lambda: self._failed(attempt, error, name), error=name, cause=cause)

    def spent(self) -> int:
        """Return what the attempts that have ended cost, in nano-USD."""
        return sum(attempt.end.cost for attempt in self.attempts if attempt.end)

    async def closed(self) -> None:
        """Wait a moment until every end is durable; what takes longer is owed, and the answer is given."""
        ends = {asyncio.wrap_future(end): end for end in self._ends}
        for waiting in ends:
            waiting.add_done_callback(lambda done: done.exception())  # the ledger owes those that failed
        _, late = await asyncio.wait(ends, timeout=PATIENCE_S) if ends else ((), ())
        if late:
            await asyncio.to_thread(self._ledger.owe, [ends[each] for each in late])

    def reply(self, finish_reason: str | None) -> Reply:
        """Return the finished answer, with the story of every attempt."""
        attempt = self.attempts[-1]
        assert attempt.end is not None
        ends = [each.end for each in self.attempts if each.end]
        basis = weakest(end.basis for end in ends if end.basis)
        assert basis is not None  # what answered was settled
        firsts = [each.first_token for each in self.attempts if each.first_token is not None]
        thoughts = [
            each.thoughts.text for each in self.attempts if each.first_token is not None or each is attempt
        ]
        refusal = "".join(attempt.refusal) or None
        return Reply(
            content=self.shown,
            provider=attempt.deployment.provider,
            model=attempt.deployment.model,
            tier=attempt.deployment.tier,
            cost=to_usd(self.spent()),
            cost_basis=basis,
            usage=Usage(*map(sum, zip(*(astuple(end.usage) for end in ends), strict=True))),
            latency_s=self._timer() - self.started,
            first_token_s=firsts[0] - self.started if firsts else None,
            request_id=self.request.id,
            attempts=tuple(each.report() for each in self.attempts),
            finish_reason="content_filter" if refusal else finish_reason,
            reasoning="\n\n".join(filter(None, thoughts)) or None,
            refusal=refusal,
            tier_reason=self._tier_reason(attempt.deployment.tier),
            fitted_to=attempt.max_tokens if attempt.max_tokens < self.request.max_tokens else None,
        )

    def _tier_reason(self, tier: Tier) -> str:
        """Return why this tier answered: why it was asked, and what became of a dearer one."""
        asked, reason = self.asked.tier, self.asked.tier_reason
        if tier == asked:
            return reason
        failed = any(attempt.deployment.tier == asked for attempt in self.attempts)
        return f"{reason}; {asked} {'failed' if failed else 'was resting or over budget'}, degraded to {tier}"

    def _allow(self, seconds: float) -> None:
        """Let the attempt under way take so many seconds more."""
        if self.limit is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + seconds)

    def _show(self, text: str) -> str:
        if text:
            self._shown.append(text)
        return text

    def _check_end(self, attempt: AttemptState) -> None:
        """Refuse a stream that ended without saying that this is its end."""
        if not attempt.is_whole:
            raise error_mapping.unavailable("the stream ended before its end", attempt.deployment)
        if held := attempt.thoughts.end():
            attempt.ahead.append(held)
        self._check_answer(attempt)

    def _check_answer(self, attempt: AttemptState) -> None:
        """Refuse an answer that says that it failed, and one with nothing in it."""
        if attempt.failure is not None:
            raise answer_errors.told(attempt.failure, attempt.deployment)
        # A probe asks for one token, and any sign of life will do.
        if self.only is None and not (self.shown or attempt.has_answer):
            raise answer_errors.empty(attempt)

    def _end(
        self,
        attempt: AttemptState,
        end_of: Callable[[], End],
        *,
        error: str | None = None,
        cause: SupernovaError | None = None,
    ) -> None:
        """End the attempt's hold whatever happens: as lost where ``end_of`` fails, with its cost unknown.

        Args:
            error: the name of what ended it.
            cause: what the provider is blamed for, if anything.
        """
        fallback = self._lost(attempt, error)
        end = self._or(fallback, end_of)
        failure = self._or(None, lambda: _failure(attempt, cause))
        attempt.end = self._or(end, lambda: self._detailed(attempt, end, failure))
        for known in (attempt.end, fallback):
            if ending := self._or(None, partial(self._ledger.end, attempt.hold, known)):
                self._ends.append(ending)
                break
        self._or(None, lambda: self._tell(attempt, cause))

    def _or(self, otherwise: T, step: Callable[[], T]) -> T:
        """Return what the step returns, or ``otherwise`` if it raises: no step may leave a hold open."""
        try:
            return step()
        except Exception as error:
            with suppress(Exception):
                log.error("engine.end.incomplete", request=self.request.id, error=error)
            return otherwise

    def _is_early(self, attempt: AttemptState) -> bool:
        return self._timer() - attempt.started < attempt.timeout.least

    def _failed(self, attempt: AttemptState, error: BaseException, name: str) -> End:
        """Return the end of an attempt that failed."""
        if attempt.is_whole:  # its answer was empty, or told of an error: it is charged all the same
            return self._settled(attempt, attempt.usage, error=name)
        if attempt.text:
            return self._settled(attempt, None, error=name)
        # What had begun to answer was accepted: no later error says that it was free.
        accepted = attempt.chunks or isinstance(error, NoAnswer)
        if not accepted and isinstance(error, Exception) and error_mapping.spent_nothing(error):
            return End("released", 0, None, Usage(), self._ledger.now_ms(), error=name)
        return self._lost(attempt, name)

    def _lost(self, attempt: AttemptState, error: str | None) -> End:
        """Return the end of an attempt whose cost nobody knows."""
        now_ms = self._or(time.time_ns() // 10**6, self._ledger.now_ms)
        return lost(attempt.hold, ended_ms=now_ms, error=error)

    def _settled(self, attempt: AttemptState, said: Usage | None, error: str | None = None) -> End:
        """Return the end of an attempt that gave an answer, or a part of one, by the usage reported."""
        # Where the tokens cannot be counted, or have no price that can be computed, the hold is the bound.
        bound: CostBasis = "bound"
        usage, known = self._or((Usage(), bound), lambda: self._measured(attempt, said))
        cost, basis = self._or((attempt.hold.amount, bound), lambda: _priced(attempt, usage, known))
        ended_ms = self._or(time.time_ns() // 10**6, self._ledger.now_ms)
        return End("settled", cost, basis, usage, ended_ms, error=error, response=attempt.response)

    def _measured(self, attempt: AttemptState, said: Usage | None) -> tuple[Usage, CostBasis]:
        """Return the attempt's tokens and how well they are known: reports are believed within reason."""
        if said is None:
            return self._estimate(attempt), "estimated"
        if not attempt.can_be(said, self.request):
            log.warning(
                "engine.usage.incredible",
                attempt=attempt.hold.attempt,
                deployment=attempt.deployment.id,
                prompt=said.prompt,
                completion=said.completion,
            )
            return self._estimate(attempt), "bound"
        if said.prompt and not attempt.is_short(said.completion):
            return said, "exact"
        counted = self._estimate(attempt)
        # Tokenizers differ, though seldom by half.
        short = counted.completion > 2 * said.completion
        completion = counted.completion if short else said.completion
        usage = replace(said, prompt=said.prompt or counted.prompt, completion=completion)
        return usage, "exact" if usage == said else "estimated"

    def _estimate(self, attempt: AttemptState) -> Usage:
        """Count tokens where the provider did not say: the prompt, and what was received of the answer."""
        model = attempt.deployment.model
        received = self._count(model, "".join(attempt.text))
        said = attempt.usage
        # Some say at the start what the prompt takes.
        if said is not None and said.prompt and attempt.can_be(said, self.request):
            return replace(said, completion=max(received, said.completion))
        messages = [dict(message) for message in self.request.messages]
        read = litellm.token_counter(model=model, messages=messages) + prices.attached(self.request, model)
        return Usage(prompt=read, completion=received)

    def _count(self, model: str, text: str) -> int:
        return int(litellm.token_counter(model=model, text=text))

    def _detailed(self, attempt: AttemptState, end: End, failure: FailurePattern | None) -> End:
        """Return the end with the attempt's latencies and the pattern of its failure."""

        def since_start(moment: float | None) -> int | None:
            return None if moment is None else round((moment - attempt.started) * 1000)

        first = since_start(attempt.first_token)
        return replace(end, latency_ms=since_start(self._timer()), first_token_ms=first, failure=failure)

    def _tell(self, attempt: AttemptState, cause: SupernovaError | None) -> None:
        """Tell the observer and the log of an attempt that has ended."""
        end, deployment = attempt.end, attempt.deployment.id
        assert end is not None
        self._observer.ended(attempt, self.request.id, cause)
        if end.error:
            log.info("engine.attempt.failed", request=self.request.id, deployment=deployment, error=end.error)
        if end.cost > attempt.hold.amount:
            log.warning(
                "ledger.overrun",
                attempt=attempt.hold.attempt,
                deployment=deployment,
                held=to_usd(attempt.hold.amount),
                cost=to_usd(end.cost),
            )


def _priced(attempt: AttemptState, usage: Usage, known: CostBasis) -> tuple[int, CostBasis]:
    """Return what the attempt's tokens cost, in nano-USD, and how well that is known.

    Args:
        known: how well the tokens are known.
    """
    held = attempt.hold.amount
    cost, basis = attempt.deployment.price_of(usage, attempt.said, held=held)
    if basis == "unknown":
        return cost, basis
    if known == "estimated" and attempt.deployment.hides_thoughts:
        known = "bound"  # it may have thought as much as it could
    if known == "bound":
        return max(cost, held), known
    return cost, known if basis == "exact" else basis


def _failure(attempt: AttemptState, cause: SupernovaError | None) -> FailurePattern | None:
    """Return the pattern of a failure that is the provider's."""
    if not isinstance(cause, ProviderError):
        return None
    return fingerprint(attempt.deployment.provider, type(cause).__name__, cause.status, str(cause))
