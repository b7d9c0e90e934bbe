"""The state of one request: what was asked, its attempts so far, and what the caller has seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from supernova_ai import traces
from supernova_ai.characters import well_formed
from supernova_ai.config import Timeout
from supernova_ai.errors import NoAnswer, SupernovaError
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.resume import ResumeJoiner, continuation, correction
from supernova_ai.execution.settlement import Observer, Settlement
from supernova_ai.ledger import Hold, Ledger
from supernova_ai.litellm_adapter import answer_errors, error_mapping, vector_answers
from supernova_ai.litellm_adapter.usage import count_tokens
from supernova_ai.money import to_nano
from supernova_ai.routing.deployments import Deployment
from supernova_ai.secret import Secret
from supernova_ai.types import EMBEDDING, ModelGroup, Request


class Versions(NamedTuple):
    """The configuration, its environment and the price map that a request is answered with."""

    config: str
    prices: str
    environment: str | None = None


class RequestState:
    """The state of one request. It lives on the engine's loop and is used by one task at a time.

    Args:
        observer: notified of every attempt.
        timer: seconds, monotonic.
        below: the cheaper tiers that may answer, in order.
    """

    def __init__(
        self,
        request: Request,
        ledger: Ledger,
        observer: Observer,
        timer: Callable[[], float],
        *,
        below: Sequence[ModelGroup] = (),
    ) -> None:
        self.request = request
        self.below = below
        self.asked = request  # as the caller put it; ``request`` asks for the rest once a stream broke
        self.only: str | None = None  # the deployment that a probe is for
        self.streaming = False
        self.started = timer() if request.started is None else request.started
        self.limit: asyncio.Timeout | None = None  # of the current attempt; the Router makes it
        self.attempts: list[AttemptState] = []
        self.error: SupernovaError | None = None
        self.errors: list[SupernovaError] = []  # why each attempt failed
        self.passed_over: dict[str, SupernovaError] = {}  # why a deployment cannot be asked at all, by its id
        self.unused_keys: list[str] = []  # providers that have a key and may not be asked, where none has one
        self.breaks = 0
        self._shown: list[str] = []
        self._joiner: ResumeJoiner | None = None
        self._parsed: tuple[str, Any] | None = None  # the text that was read, and its object
        self._rejected: list[str] = []  # the answer that did not have its schema
        self.repair_failure: Exception | None = None
        self._observer = observer
        self._timer = timer
        self._settlement = Settlement(request.id, ledger, observer, timer)
        self._trace = traces.current()

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
        if self._trace is not None:
            attempt.span = traces.AttemptSpan(
                self._trace,
                attempt.request,
                type_=attempt.deployment.type,
                model=attempt.deployment.model,
                address=attempt.deployment.address,
                max_tokens=attempt.max_tokens,
                streaming=attempt.streaming,
            )
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
        texts = self.request.texts
        # What it says of its cost is noted first: it is charged whether it can be read or not.
        attempt.answer = vector_answers.describe(response) if texts else response
        attempt.response = self._settlement.attempt_or(
            None, lambda: well_formed(attempt.answer.id or "") or None
        )
        if texts:
            embeds = self.request.tier == EMBEDDING
            read = vector_answers.read_vectors if embeds else vector_answers.read_ranking
            attempt.result = read(response, self.request, attempt.deployment)
            return
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
        # A model that has to keep to a schema would begin a new object.
        parameters = {
            name: value for name, value in self.asked.parameters.items() if name != "response_format"
        }
        self.request = replace(self.asked, messages=messages, max_tokens=max(1, left), parameters=parameters)
        self._joiner = ResumeJoiner(self.shown)

    def settle_answer(self) -> None:
        """End the attempt of a whole answer as settled."""
        attempt = self.attempts[-1]
        self.add_text("".join(attempt.unread))
        self._settlement.answered(attempt)

    def settle_stream(self) -> str:
        """End the attempt of a stream that came to its end; return what was held back.

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
        self._settlement.answered(attempt)
        return rest

    def parse(self) -> Any:
        """Return the object that the answer is, as its schema says; it is read once.

        Raises:
            ValueError: it does not have the schema.
        """
        assert self.asked.answer is not None
        if self._parsed is None or self._parsed[0] != self.shown:
            self._parsed = (self.shown, self.asked.answer.parse(self.shown))
        return self._parsed[1]

    def begin_repair(self) -> bool:
        """Ask for another answer if this one does not have its schema and may be mended; return whether."""
        last, answer = self.attempts[-1], self.asked.answer
        if answer is None or last.tool_calls or last.refusal or last.finish_reason == "length":
            return False
        try:
            self.parse()
        except ValueError as error:
            self._rejected = self._shown
            self._shown, self._joiner = [], None
            messages = correction(self.asked.messages, "".join(self._rejected), error, answer)
            self.request = replace(self.asked, messages=messages)
            return True
        return False

    def end_repair(self, failure: Exception) -> None:
        """Keep the answer that does not have its schema: there is no other."""
        self._shown, self.repair_failure = self._rejected, failure

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
            if cause and not isinstance(error, TimeoutError):  # which has no words, and ends the call
                self.errors.append(cause)
        if type(cause) is NoAnswer:
            cause = None  # an empty answer does not mean that the provider is down
        if isinstance(error, TimeoutError) and attempt_or(False, lambda: self._is_early(attempt)):
            cause = None  # the caller's deadline was too short to blame the provider
        self._settlement.failed(attempt, error, name, cause)

    def spent(self) -> int:
        """Return what the attempts that have ended cost, in nano-USD."""
        ended = sum(attempt.end.cost for attempt in self.attempts if attempt.end)
        return ended + sum(to_nano(attempt.cost) for attempt in self.asked.earlier)

    async def durable(self) -> None:
        """Wait a moment until the ends of all attempts are durable."""
        await self._settlement.durable()

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return self._timer() - self.started

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
