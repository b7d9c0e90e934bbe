"""The state of one request: what was asked, its attempts so far, and what the caller has seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from typing import Any, NamedTuple

from supernova_ai.characters import well_formed
from supernova_ai.config import Timeout
from supernova_ai.errors import NoAnswer, SupernovaError
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.resume import ResumeJoiner, continuation
from supernova_ai.execution.settlement import Observer, Settlement
from supernova_ai.ledger import Hold, Ledger
from supernova_ai.litellm_adapter import answer_errors, error_mapping
from supernova_ai.litellm_adapter.usage import count_tokens
from supernova_ai.money import to_usd
from supernova_ai.routing.deployments import Deployment
from supernova_ai.secret import Secret
from supernova_ai.types import Reply, Request, Tier, Usage, weakest


class Versions(NamedTuple):
    """The versions of the configuration and of the price map that a request is answered with."""

    config: str
    prices: str


class RequestState:
    """The state of one request. It lives on the engine's loop and is used by one task at a time.

    Args:
        observer: notified of every attempt.
        timer: seconds, monotonic.
        versions: written to the ledger with each attempt.
        below: the cheaper tiers that may answer, in order.
    """

    def __init__(
        self,
        request: Request,
        ledger: Ledger,
        observer: Observer,
        timer: Callable[[], float],
        *,
        versions: Versions,
        below: Sequence[Tier] = (),
    ) -> None:
        self.request = request
        self.versions = versions
        self.below = below
        self.asked = request  # as the caller put it; ``request`` asks for the rest once a stream broke
        self.only: str | None = None  # the deployment that a probe is for
        self.streaming = False
        self.started = timer()
        self.limit: asyncio.Timeout | None = None  # of the current attempt; the Router makes it
        self.attempts: list[AttemptState] = []
        self.error: SupernovaError | None = None
        self.errors: list[SupernovaError] = []  # why each attempt failed
        self.passed_over: dict[str, SupernovaError] = {}  # why a deployment cannot be asked at all, by its id
        self.unused_keys: list[str] = []  # providers that have a key and may not be asked, where none has one
        self.breaks = 0
        self._shown: list[str] = []
        self._joiner: ResumeJoiner | None = None
        self._observer = observer
        self._timer = timer
        self._settlement = Settlement(request.id, ledger, observer, timer)

    def begin_attempt(self, deployment: Deployment, hold: Hold, max_tokens: int) -> None:
        """Note that the hold is taken and the attempt is about to be sent."""
        if unsent := self.current:  # an error came between its hold and its sending
            self._settlement.abandoned(unsent)
        attempt = AttemptState(
            self.request, deployment, hold, max_tokens, self._timer(), streaming=self.streaming
        )
        self.attempts.append(attempt)

    def withdraw_attempt(self) -> None:
        """Release the hold of the last attempt: it will not be sent."""
        self._settlement.withdrawn(self.attempts.pop())

    def start_attempt(self, key: Secret | None, timeout: Timeout) -> None:
        """Note the attempt's key and timeouts; its time runs from now."""
        attempt = self.attempts[-1]
        attempt.key, attempt.timeout = key, timeout
        self._allow(timeout.first_token if self.streaming else timeout.total)

    @property
    def current(self) -> AttemptState | None:
        """The attempt that has not ended, if there is one."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].end is None else None

    @property
    def shown(self) -> str:
        """The text that the caller has seen."""
        return "".join(self._shown)

    async def read_first_text(self, stream: Any) -> None:
        """Read the stream up to its first text: if it breaks before, the attempt fails like any other."""
        attempt = self.attempts[-1]
        attempt.chunks = stream.chunks
        async for chunk in stream:
            attempt.response = well_formed(chunk.id or "") or None
            before = len(attempt.text)
            if text := attempt.read(chunk.choices):
                attempt.unread.append(text)
                break
            if len(attempt.text) > before:
                self._allow(attempt.timeout.between_tokens)  # it thinks
        else:
            self._check_stream(attempt)
        self._observer.first_token(attempt)

    def read_answer(self, response: Any) -> None:
        """Read a whole answer.

        Raises:
            ProviderError: there is none in it; its usage is charged.
        """
        attempt = self.attempts[-1]
        attempt.answer = response
        attempt.response = self._settlement.attempt_or(None, lambda: well_formed(response.id or "") or None)
        attempt.unread.append(attempt.read(response.choices) + attempt.thoughts.end())
        self._check_answer(attempt)

    def add_text(self, text: str) -> str:
        """Note a piece of the answer; return what of it is new to the caller."""
        attempt = self.attempts[-1]
        if self.streaming and attempt.first_token is None:
            attempt.first_token = self._timer()
        return self._show(self._joiner.feed(text) if self._joiner else text)

    def resume(self) -> None:
        """Ask for the rest of an answer that broke."""
        self.breaks += 1
        left = self.asked.max_tokens - count_tokens(self.attempts[-1].deployment.model, text=self.shown)
        messages = continuation(self.asked.messages, self.shown)
        self.request = replace(self.asked, messages=messages, max_tokens=max(1, left))
        self._joiner = ResumeJoiner(self.shown)

    def settle_answer(self) -> None:
        """End the attempt of a whole answer as settled."""
        attempt = self.attempts[-1]
        self.add_text("".join(attempt.unread))
        self._settlement.answered(attempt)

    def settle_stream(self) -> tuple[str, str]:
        """End the attempt of a stream that came to its end; return its finish reason and what was held back.

        Raises:
            litellm.ServiceUnavailableError: it stopped without an end, or reports an error.
            ProviderError: there was no answer in it.
        """
        attempt = self.attempts[-1]
        self._check_stream(attempt)
        rest = "".join(map(self.add_text, attempt.unread))
        attempt.unread.clear()
        if self._joiner:
            rest += self._show(self._joiner.end())
        reason = attempt.finish_reason or "stop"
        self._settlement.answered(attempt)
        return reason, rest

    def failed(self, error: BaseException) -> None:
        """End the current attempt, if any: by what it received, or by what the error implies for its cost."""
        attempt = self.current
        if attempt is None:
            return
        attempt_or = self._settlement.attempt_or
        name = attempt_or(type(error).__name__, lambda: error_mapping.ledger_name(error))
        cause = None
        if isinstance(error, Exception):
            cause = attempt_or(None, lambda: error_mapping.translate(error, attempt.deployment))
            self.error = cause or self.error
            self.errors += [cause] if cause else []
        if type(cause) is NoAnswer:
            cause = None  # an empty answer does not mean that the provider is down
        if isinstance(error, TimeoutError) and attempt_or(False, lambda: self._is_early(attempt)):
            cause = None  # the caller's deadline was too short to blame the provider
        self._settlement.failed(attempt, error, name, cause)

    def spent(self) -> int:
        """Return what the attempts that have ended cost, in nano-USD."""
        return sum(attempt.end.cost for attempt in self.attempts if attempt.end)

    async def durable(self) -> None:
        """Wait a moment until the ends of all attempts are durable."""
        await self._settlement.durable()

    def reply(self, finish_reason: str | None) -> Reply:
        """Return the finished answer, with a report of every attempt."""
        last = self.attempts[-1]
        ends = [attempt.end for attempt in self.attempts if attempt.end]
        basis = weakest(end.basis for end in ends if end.basis)
        assert basis is not None  # what answered was settled
        firsts = [attempt.first_token for attempt in self.attempts if attempt.first_token is not None]
        answering = [one for one in self.attempts if one.first_token is not None or one is last]
        refusal = "".join(last.refusal) or None
        return Reply(
            content=self.shown,
            provider=last.deployment.provider,
            model=last.deployment.model,
            tier=last.deployment.tier,
            cost=to_usd(self.spent()),
            cost_basis=basis,
            usage=Usage(*map(sum, zip(*(astuple(end.usage) for end in ends), strict=True))),
            latency_s=self._timer() - self.started,
            first_token_s=firsts[0] - self.started if firsts else None,
            request_id=self.request.id,
            attempts=tuple(attempt.report() for attempt in self.attempts),
            finish_reason="content_filter" if refusal else finish_reason,
            reasoning="\n\n".join(filter(None, (one.thoughts.text for one in answering))) or None,
            refusal=refusal,
            tier_reason=self._tier_reason(last.deployment.tier),
            fitted_to=last.max_tokens if last.max_tokens < self.request.max_tokens else None,
        )

    def _tier_reason(self, tier: Tier) -> str:
        """Return why this tier answered: why it was asked, and what became of a dearer one."""
        asked, reason = self.asked.tier, self.asked.tier_reason
        if tier == asked:
            return reason
        failed = any(attempt.deployment.tier == asked for attempt in self.attempts)
        why = "failed" if failed else "was in cooldown or over budget"
        return f"{reason}; {asked} {why}, degraded to {tier}"

    def _allow(self, seconds: float) -> None:
        """Let the current attempt take so many seconds more."""
        if self.limit is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + seconds)

    def _show(self, text: str) -> str:
        if text:
            self._shown.append(text)
        return text

    def _check_stream(self, attempt: AttemptState) -> None:
        """Refuse a stream that ended without saying that this is its end."""
        if not attempt.is_whole:
            raise error_mapping.unavailable("the stream ended before its end", attempt.deployment)
        if rest := attempt.thoughts.end():
            attempt.unread.append(rest)
        self._check_answer(attempt)

    def _check_answer(self, attempt: AttemptState) -> None:
        """Refuse an answer that reports an error, and an empty one."""
        if attempt.failure is not None:
            raise answer_errors.reported(attempt.failure, attempt.deployment)
        # A probe asks for one token, and any sign of life will do.
        if self.only is None and not (self.shown or attempt.has_answer):
            raise answer_errors.empty(attempt)

    def _is_early(self, attempt: AttemptState) -> bool:
        return self._timer() - attempt.started < attempt.timeout.least
