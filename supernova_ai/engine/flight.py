"""One attempt under way: what was reserved for it, what came of it, and what the provider said of that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from supernova_ai.config import Timeout
from supernova_ai.engine import pricing
from supernova_ai.engine.circumstances import Circumstances, circumstances
from supernova_ai.engine.deployments import Deployment
from supernova_ai.ledger import End, Hold
from supernova_ai.money import to_usd
from supernova_ai.secret import Secret
from supernova_ai.types import Attempt, Request, Usage

_CREDIBLE, _LEEWAY = 2, 1000
"""A provider's numbers are believed up to so many times what was to be expected, and so many tokens more."""


@dataclass(slots=True)
class Flight:
    """One attempt under way.

    ``answer`` is a plain one; ``chunks`` are all that LiteLLM received of a stream, and ``ahead`` those the
    caller has yet to see; ``text`` is the provider's own, before a resumed answer is joined.
    """

    deployment: Deployment
    hold: Hold
    max_tokens: int
    started: float
    timeout: Timeout = field(default_factory=Timeout)
    key: Secret | None = None  # kept while the call lives, so that it is known and redacted wherever it shows
    answer: Any = None
    chunks: Sequence[Any] = ()
    ahead: deque[Any] = field(default_factory=deque)
    text: list[str] = field(default_factory=list)
    first_token: float | None = None
    response: str | None = None
    end: End | None = None

    @property
    def usage(self) -> Usage | None:
        """What the provider itself said last of a stream's tokens; LiteLLM would make a count up."""
        usages = (usage_of(getattr(chunk, "usage", None)) for chunk in reversed(self.chunks))
        return next((usage for usage in usages if usage), None)

    @property
    def said(self) -> Circumstances:
        """What the provider said of the price."""
        return circumstances([self.answer] if self.answer else self.chunks)

    @property
    def finish_reason(self) -> str | None:
        """Why the provider ended a stream, None if it did not say; LiteLLM would make a "stop" up."""
        reasons = [choice.finish_reason for choice in self._choices()]
        return next((reason for reason in reversed(reasons) if reason), None)

    @property
    def thoughts(self) -> str:
        """What a stream told of the model's reasoning."""
        return "".join(getattr(choice.delta, "reasoning_content", None) or "" for choice in self._choices())

    def can_be(self, usage: Usage, request: Request) -> bool:
        """Say whether the provider's numbers can be true: one that counts wrongly must not empty a budget."""
        received = len("".join(self.text).encode())
        most_read = _CREDIBLE * pricing.bound(request, self.deployment.model) + _LEEWAY
        most_said = _CREDIBLE * max(self.max_tokens, received) + _LEEWAY
        read = max(usage.prompt, usage.cached + usage.cache_write)
        return read <= most_read and max(usage.completion, usage.reasoning) <= most_said

    def report(self) -> Attempt:
        """Return the attempt as the reply tells it; it has ended."""
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

    def _choices(self) -> Iterator[Any]:
        return (choice for chunk in self.chunks for choice in chunk.choices)


def usage_of(raw: Any) -> Usage | None:
    """Read LiteLLM's usage: its prompt tokens include the cached, its completion tokens the reasoning."""
    if raw is None or not getattr(raw, "total_tokens", None):
        return None
    read = getattr(raw, "prompt_tokens_details", None)
    spoken = getattr(raw, "completion_tokens_details", None)
    usage = Usage(
        prompt=raw.prompt_tokens or 0,
        completion=raw.completion_tokens or 0,
        cached=getattr(read, "cached_tokens", None) or 0,
        cache_write=getattr(raw, "cache_creation_input_tokens", None) or 0,
        reasoning=getattr(spoken, "reasoning_tokens", None) or 0,
    )
    return usage if min(astuple(usage)) >= 0 else None  # nonsense is as good as nothing
