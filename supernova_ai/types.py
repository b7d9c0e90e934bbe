"""The types of requests and replies: plain frozen records. A request validates only its identifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from supernova_ai.identifiers import identifier

Tier = Literal["economy", "standard", "premium"]
"""The quality a request asks for."""

TIERS: tuple[Tier, ...] = ("economy", "standard", "premium")
"""Every tier, cheapest first."""

Complexity = Literal["simple", "moderate", "complex", "critical", "auto"]
"""How hard a question is; "auto" derives it from the text."""

PROBE = "probe"
"""The task of paid probes."""

OnInterrupt = Literal["resume", "raise"]
"""What to do when a stream breaks after its first token: resume at another deployment, or raise."""

CostBasis = Literal["exact", "estimated", "bound", "unknown", "cached"]
"""exact: from the provider's usage; estimated: counted from the received text; bound: the upper bound;
unknown: the model has no known price, which no budget allows; cached: no provider was called."""

Kind = Literal["image", "pdf"]
"""The kind of an attachment."""

_WEAKEST: tuple[CostBasis, ...] = ("cached", "exact", "estimated", "bound", "unknown")


def weakest(bases: Iterable[CostBasis]) -> CostBasis | None:
    """Return the basis of a sum of costs: the weakest basis of its terms, None without terms.

    >>> weakest(["exact", "bound", "estimated"])
    'bound'
    """
    return max(bases, key=_WEAKEST.index, default=None)


Outcome = Literal["held", "settled", "released", "lost"]
"""The state of a hold: "held" while it is open, then settled, released or lost."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt.

    ``cached`` and ``cache_write`` are part of ``prompt``, ``reasoning`` of ``completion``. ``cache_write_1h``
    is the part of ``cache_write`` that is cached for an hour, at another price.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0


@dataclass(frozen=True, slots=True)
class FailurePattern:
    """Why an attempt failed: the name of our error class, the HTTP status if any, and the message.

    ``message`` contains no secrets, numbers or names, so that equal failures have equal ``fingerprint``.
    """

    fingerprint: str
    error: str
    status: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image, or a PDF document with its number of pages, that is sent with a request."""

    media_type: str
    data: bytes = field(repr=False)
    pages: int | None = None

    @property
    def kind(self) -> Kind:
        """The input that a model must support."""
        return "image" if self.pages is None else "pdf"


@dataclass(frozen=True, slots=True)
class Request:
    """One call by the user, complete before anything is sent. Timeouts in seconds, ``max_cost`` in USD.

    ``tier_reason`` says why the request has this tier; without ``may_degrade`` no cheaper tier may answer.
    ``cache`` allows an answer from the cache. Attachments belong to the last of ``messages``. ``began_ms`` is
    the store's time at the start of the call: if its user is erased later, the call stores nothing more.

    Raises:
        InvalidRequest: an identifier is not valid; see ``identifiers.identifier``.
    """

    id: str
    messages: tuple[Mapping[str, str], ...]
    tier: Tier
    task: str
    max_tokens: int
    user_id: str | None = None
    session_id: str | None = None
    temperature: float | None = None
    timeout: float | None = None
    max_cost: Decimal | None = None
    on_interrupt: OnInterrupt = "resume"
    model: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    prompt_name: str | None = None
    prompt_hash: str | None = None
    tier_reason: str = "asked for"
    may_degrade: bool = True
    cache: bool = True
    attachments: tuple[Attachment, ...] = ()
    began_ms: int | None = None
    asked_timeout: float | None = None  # the caller's timeout, if part of it was used before sending

    @property
    def allowed(self) -> float | None:
        """The caller's timeout in seconds, for the whole call."""
        return self.timeout if self.asked_timeout is None else self.asked_timeout

    def __post_init__(self) -> None:
        for name in _IDENTIFIERS:
            if (value := getattr(self, name)) is not None:
                identifier(name, value)
        for key in self.metadata:
            identifier("a key of metadata", key)


_IDENTIFIERS = ("id", "user_id", "session_id", "task", "model", "prompt_name")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended provider call of a request. Cost in USD, latencies in seconds."""

    id: str
    provider: str
    model: str
    tier: Tier
    key_slot: str | None
    outcome: Outcome
    cost: Decimal
    cost_basis: CostBasis | None
    usage: Usage
    latency_s: float
    first_token_s: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of probing one provider's key: "ok" or the error class, and the latency in seconds.

    ``reason`` is the error's message, None if the result is "ok".
    """

    provider: str
    key_slot: str | None
    result: str
    latency_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The maximum cost of a request, and the remaining amount of each budget, in USD; nothing is sent.

    ``worst_case`` is keyed by "provider/model", None if the price is unknown; ``headroom`` by budget.
    """

    tier: Tier
    max_tokens: int
    worst_case: Mapping[str, Decimal | None]
    headroom: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request.

    ``cost`` is the USD of all attempts and ``cost_basis`` their weakest basis. ``latency_s`` and
    ``first_token_s`` count from the start of the call, including retries. ``quality_score`` is 0 to 1, None
    if nothing was checked. ``fitted_to`` is the limit of the answer in tokens if a budget lowered the
    requested one. ``tier_reason`` says why this tier answered. A ``cached`` answer comes from the cache,
    without a provider call; its ``usage`` is that of the original call. ``sentiment``, from -1 to 1, is the
    result of a sentiment analysis; without one, ``no_sentiment`` says why. ``reasoning`` is the model's
    visible reasoning, which is not part of ``content``. ``refusal`` is the model's refusal to answer;
    ``finish_reason`` is then "content_filter".
    """

    content: str
    provider: str
    model: str
    tier: Tier
    cost: Decimal
    cost_basis: CostBasis
    usage: Usage
    latency_s: float
    first_token_s: float | None
    request_id: str
    attempts: tuple[Attempt, ...]
    finish_reason: str | None
    fitted_to: int | None = None
    cached: bool = False
    quality_score: float | None = None
    tier_reason: str = ""
    sentiment: float | None = None
    no_sentiment: str | None = None
    reasoning: str | None = None
    refusal: str | None = None

    def __str__(self) -> str:
        return self.content or self.refusal or ""
