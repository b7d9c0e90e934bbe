"""The state of one attempt: its hold, what was received, and what the provider reports about it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from supernova_ai.characters import open_surrogate, well_formed
from supernova_ai.config import Timeout
from supernova_ai.ledger import End, Hold
from supernova_ai.litellm_adapter import token_bounds
from supernova_ai.litellm_adapter.key_transport import MayBeSent
from supernova_ai.litellm_adapter.price_terms import PriceTerms, read_price_terms
from supernova_ai.litellm_adapter.reasoning import ReasoningSplitter
from supernova_ai.litellm_adapter.usage import usage_of
from supernova_ai.money import to_usd
from supernova_ai.routing.deployments import Deployment
from supernova_ai.secret import Secret
from supernova_ai.traces import AttemptSpan
from supernova_ai.types import Attempt, Request, ToolCall, Usage

_CREDIBLE, _LEEWAY = 10, 10_000
"""A usage report is plausible up to this many times the bound, plus this many tokens. Some models ignore
``max_tokens``; some providers add a long system prompt."""

_BYTES_PER_TOKEN = 12
"""More than a tokenizer makes of prose in any language: 4 to 7. An answer that is longer is counted."""


@dataclass(slots=True)
class _Call:
    """A tool call, joined from the pieces received so far."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class AttemptState:
    """The state of one attempt.

    ``key_id`` tells its key from a later one in the same slot. ``answer`` is a whole answer; ``chunks`` are
    what LiteLLM received of a stream. ``text`` is all text of either, with reasoning, refusals and tool
    calls, because all of it is charged. ``unread`` is the part that is not shown yet. ``failure`` is an error
    that the answer itself reports.
    """

    request: Request
    deployment: Deployment
    hold: Hold
    max_tokens: int
    started: float
    streaming: bool = False
    timeout: Timeout = field(default_factory=Timeout)
    key: Secret | None = None  # kept during the call, so that it is redacted wherever it shows
    key_id: str | None = None
    key_may_be_sent: MayBeSent | None = None  # asked just before its request is sent
    messages: list[dict[str, Any]] = field(default_factory=list)  # as the provider gets them
    dropped: tuple[str, ...] = ()  # the parameters that it does not get
    answer: Any = None
    result: Any = None  # of an answer without text: vectors, or a ranking
    chunks: Sequence[Any] = ()
    unread: deque[str] = field(default_factory=deque)
    text: list[str] = field(default_factory=list)
    thoughts: ReasoningSplitter = field(default_factory=ReasoningSplitter)
    refusal: list[str] = field(default_factory=list)
    failure: Any = None
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    signed_thoughts: list[dict[str, Any]] = field(
        default_factory=list
    )  # Anthropic wants them back with tools
    _calls: list[_Call] = field(default_factory=list)
    _open_calls: dict[int, _Call] = field(default_factory=dict)  # the latest under each index
    first_token: float | None = None
    response: str | None = None
    span: AttemptSpan | None = None
    end: End | None = None
    _half: str = ""  # of a character: its other half is still to come

    def read(self, choices: Sequence[Any]) -> str:
        """Note all text of a whole answer or of a chunk; return the part that is the answer."""
        answer = ""
        for position, choice in enumerate(choices):
            message = _fields_of(choice.delta if self.streaming else choice.message)
            content = message.get("content") or ""
            if (choice.index if self.streaming else position) != 0:
                self.text.append(well_formed(content))  # charged, though it was not requested
                continue
            fields = message.get("provider_specific_fields") or {}
            if thought := well_formed(message.get("reasoning_content") or ""):
                self.text.append(thought)
                self.thoughts.add(thought)
            if refusal := well_formed(fields.get("refusal") or ""):
                self.text.append(refusal)
                self.refusal.append(refusal)
            self.failure = fields.get("error") or self.failure
            self._read_calls(message.get("tool_calls") or ())
            self._read_logprobs(_fields_of(choice).get("logprobs"))
            self._read_thinking(message.get("thinking_blocks") or ())
            content = self._half + content
            self._half = open_surrogate(content) if self.streaming else ""
            content = well_formed(content.removesuffix(self._half))
            if content:
                self.text.append(content)
            answer += self.thoughts.feed(content)
        return answer

    def _read_calls(self, calls: Sequence[Any]) -> None:
        """Join the pieces of tool calls: a stream sends their arguments bit by bit.

        Some providers give all calls the same index, or none, and LiteLLM then writes 0.
        """
        for position, call in enumerate(calls):
            function = getattr(call, "function", None)
            if function is None:
                continue
            index = getattr(call, "index", None)
            index = position if index is None else index
            call_id, name, written = _text(call.id), _text(function.name), _text(function.arguments)
            joined = self._open_calls.get(index)
            if joined is None or (name and _is_another(joined, call_id)):
                joined = self._open_calls[index] = _Call()
                self._calls.append(joined)
            joined.id = joined.id or call_id
            joined.name = joined.name or name
            joined.arguments += written
            self.text += filter(None, (name, written))

    def _read_logprobs(self, logprobs: Any) -> None:
        content = getattr(logprobs, "content", None) or ()
        self.logprobs += [one.model_dump() if hasattr(one, "model_dump") else dict(one) for one in content]

    def _read_thinking(self, blocks: Sequence[Any]) -> None:
        """Join the pieces of thoughts: a stream sends the signature of each at its end."""
        for block in map(dict, blocks):
            last = self.signed_thoughts[-1] if self.signed_thoughts else {}
            if block.get("type") != "thinking" or last.get("type") != "thinking" or last.get("signature"):
                self.signed_thoughts.append(block)
                continue
            last["thinking"] = (last.get("thinking") or "") + (block.get("thinking") or "")
            last["signature"] = block.get("signature")

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that the answer asks for, each with an id of its own."""
        calls: dict[str, ToolCall] = {}
        for number, call in enumerate(self._calls):
            given = call.id and call.id not in calls
            call_id = call.id if given else f"call_{self.hold.attempt[:8]}_{number}"
            calls[call_id] = ToolCall(call_id, call.name, call.arguments)
        return tuple(calls.values())

    @property
    def usage(self) -> Usage | None:
        """The largest token counts that the provider reported, None if none; LiteLLM would make a count up.

        Some providers report several times, and the last report may omit what an earlier one had.
        """
        reports = (getattr(answer, "usage", None) for answer in self._answers)
        usages = [usage for report in reports if report is not None and (usage := usage_of(report))]
        return Usage(*map(max, zip(*map(astuple, usages), strict=True))) if usages else None

    @property
    def price_terms(self) -> PriceTerms:
        """What the answer says about its price."""
        return read_price_terms(self._answers)

    @property
    def finish_reason(self) -> str | None:
        """Why the provider ended its answer, None if a stream did not say; LiteLLM would report "stop"."""
        reasons = [choice.finish_reason for choice in self._choices()]
        reason = next((reason for reason in reversed(reasons) if reason), None)
        if reason == "stop" and self._calls_tools:
            return "tool_calls"
        if reason == "tool_calls" and self.request.answer and not self._calls_tools:
            return "stop"  # the call was of LiteLLM's own tool, which carries a schema
        return reason

    @property
    def is_whole(self) -> bool:
        """Whether the whole answer was received.

        A stream ends with a finish reason or, where a server omits that, with its only report of usage.
        """
        if self.answer or self.finish_reason:
            return True
        *earlier, last = [None, *(usage_of(getattr(chunk, "usage", None)) for chunk in self.chunks)]
        return bool(self.text and len(earlier) > 1 and last and not any(earlier))

    @property
    def has_answer(self) -> bool:
        """Whether the answer has something for the caller: text, a refusal or a tool call."""
        return bool("".join(self.unread).strip() or self.refusal or self._calls_tools)

    def is_short(self, completion: int) -> bool:
        """Return whether the reported tokens are too few for the length of the text received."""
        return self._bytes > _BYTES_PER_TOKEN * completion

    def is_credible(self, usage: Usage) -> bool:
        """Return whether the reported numbers are plausible: a wrong report must not empty a budget."""
        most_read = _CREDIBLE * token_bounds.request_bound(self.request, self.deployment.model) + _LEEWAY
        most_said = _CREDIBLE * max(self.max_tokens, self._bytes) + _LEEWAY
        read = max(usage.prompt, usage.cached + usage.cache_write)
        return read <= most_read and max(usage.completion, usage.reasoning) <= most_said

    def report(self) -> Attempt:
        """Return the attempt for the ``Reply``; it has ended."""
        end = self.end
        assert end is not None
        return Attempt(
            id=self.hold.attempt,
            provider=self.deployment.provider,
            model=self.deployment.model,
            tier=self.deployment.tier,
            key_slot=self.deployment.slot,
            outcome=end.state,
            cost=to_usd(end.cost),
            cost_basis=end.basis,
            usage=end.usage,
            latency_s=(end.latency_ms or 0) / 1000,
            first_token_s=None if end.first_token_ms is None else end.first_token_ms / 1000,
            error=end.error,
        )

    def end_span(self) -> None:
        """End the attempt's span, if it has one; the attempt has ended."""
        if self.span is None:
            return
        try:
            model = next((answer.model for answer in self._answers if answer.model), None)
            self.span.note(
                self.report(), response=self.response, model=model, finish_reason=self.finish_reason
            )
        finally:
            self.span.end()

    @property
    def _bytes(self) -> int:
        return len("".join(self.text).encode())

    @property
    def _answers(self) -> Sequence[Any]:
        return [self.answer] if self.answer else self.chunks

    @property
    def _calls_tools(self) -> bool:
        choices = map(_fields_of, self._choices())
        messages = (_fields_of(choice.get("message") or choice["delta"]) for choice in choices)
        return any(one.get("tool_calls") or one.get("function_call") for one in messages)

    def _choices(self) -> Iterator[Any]:
        return (choice for answer in self._answers for choice in answer.choices)


def _fields_of(part: Any) -> dict[str, Any]:
    """Return the fields of a part of LiteLLM's answer: to ask the part for one it lacks takes far longer."""
    fields: dict[str, Any] = vars(part)
    return fields | (getattr(part, "__pydantic_extra__", None) or {})


def _is_another(joined: _Call, call_id: str) -> bool:
    """Return whether a piece with a name begins a call of its own: by its id, or after whole arguments."""
    if call_id and joined.id:
        return call_id != joined.id
    try:
        json.loads(joined.arguments)
    except ValueError:
        return False
    return True


def _text(value: Any) -> str:
    """Return what a provider sent for a text: some send arguments as an object."""
    if not isinstance(value, str):
        value = json.dumps(value) if value else ""
    return well_formed(value)
